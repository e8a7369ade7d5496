package ident

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWords(t *testing.T) { // BIP-39's own vectors of 256 bits
	for _, v := range vectors.Words {
		if got := NewWords(v.Master.arr()); got != v.Words {
			t.Errorf("NewWords(%x) = %s", []byte(v.Master), got)
		}
		for _, s := range []string{
			v.Words,
			strings.ToUpper(v.Words),
			"\n " + strings.ReplaceAll(v.Words, " ", " \t\r\n ") + "  ",
		} {
			if got, err := ParseWords(s); err != nil || got != v.Master.arr() {
				t.Errorf("ParseWords(%q) = %x, %v", s, got, err)
			}
		}
	}
}

func TestRefusedWords(t *testing.T) {
	good := strings.Fields(vectors.Words[4].Words)
	with := func(i int, word string) string {
		changed := append([]string(nil), good...)
		changed[i] = word
		return strings.Join(changed, " ")
	}
	swapped := append([]string(nil), good...)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	for _, c := range []struct{ name, words, says string }{
		{"nothing", "", "0 words, not 24"},
		{"one missing", strings.Join(good[:23], " "), "23 words, not 24"},
		{"one too many", strings.Join(good, " ") + " art", "25 words, not 24"},
		{"12 words, valid elsewhere", strings.Repeat("abandon ", 11) + "about", "12 words, not 24"},
		{"unknown word", with(6, "heavvy"), `word 7, "heavvy"`},
		{"first word unknown", with(0, "kula"), `word 1, "kula"`},
		{"last word unknown", with(23, "kula"), `word 24, "kula"`},
		{"beginning of a word", with(3, "suff"), `word 4, "suff"`},
		{"very long word", with(3, strings.Repeat("ä", 1000)), `word 4, "` + strings.Repeat("ä", 20) + `…"`},
		{"another word", with(3, "zoo"), "checksum"},
		{"two changed places", strings.Join(swapped, " "), "checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseWords(c.words)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("error %v, want one with %s", err, c.says)
			}
			if got != ([32]byte{}) {
				t.Errorf("an error came with the seed %x", got)
			}
			if strings.Contains(err.Error(), good[10]) {
				t.Errorf("the error tells another word: %v", err)
			}
		})
	}
}

func TestWordsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		master := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "master"))
		words := NewWords(master)
		if n := len(strings.Fields(words)); n != wordCount {
			t.Fatalf("%d words", n)
		}
		if got, err := ParseWords(words); err != nil || got != master {
			t.Fatalf("%x, %v", got, err)
		}
	})
}

func FuzzParseWords(f *testing.F) {
	for _, v := range vectors.Words {
		f.Add(v.Words)
	}
	f.Add("")
	f.Add("K " + vectors.Words[0].Words)
	f.Fuzz(func(t *testing.T, s string) {
		master, err := ParseWords(s)
		if err != nil {
			return
		}
		if want := strings.Join(strings.Fields(strings.ToLower(s)), " "); NewWords(master) != want {
			t.Fatalf("%q was read as %q", s, NewWords(master))
		}
	})
}
