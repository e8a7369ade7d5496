package ident

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tyler-smith/go-bip39"
)

// wordCount is what 32 bytes and 8 bits of checksum take at 11 bits a word.
const wordCount = 24

// NewWords returns the recovery phrase of a master seed: its 256 bits as 24 words
// of BIP-39's English list, separated by single spaces. (The words encode the
// seed itself; BIP-39's step from words to a wallet seed is not used.)
func NewWords(master [32]byte) string {
	words, err := bip39.NewMnemonic(master[:])
	if err != nil {
		panic(fmt.Sprintf("ident: 32 bytes always make 24 words: %v", err))
	}
	return words
}

// ParseWords returns the master seed of a recovery phrase. Capitals and extra
// white space are forgiven, and so is all that stands around words that are numbered
// from 1 to 24, as they were printed. Errors name the word that is not in the list and its
// position, or the number of words, or say that the checksum does not fit; they
// contain no other word.
func ParseWords(s string) (master [32]byte, err error) {
	words := strings.Fields(strings.ToLower(s))
	if list := numbered(words); len(list) == wordCount {
		words = list
	}
	if len(words) != wordCount {
		return master, fmt.Errorf("recovery phrase has %d words, not %d", len(words), wordCount)
	}
	for i, word := range words {
		if _, ok := bip39.GetWordIndex(word); !ok {
			return master, fmt.Errorf("recovery phrase: word %d, %q, is not in the English BIP-39 list", i+1, shorten(word))
		}
	}
	entropy, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if errors.Is(err, bip39.ErrChecksumIncorrect) {
		return master, errors.New("recovery phrase: the checksum does not fit; a word is wrong, or two changed places")
	}
	if err != nil {
		return master, fmt.Errorf("recovery phrase: %w", err)
	}
	return [32]byte(entropy), nil
}

// numbered gives the words that follow the numbers 1, 2, 3 and so on.
func numbered(fields []string) []string {
	list := map[int]string{}
	for i := range len(fields) - 1 {
		if n, err := strconv.Atoi(strings.TrimRight(fields[i], ".):")); err == nil && n > 0 && n <= wordCount {
			if _, is := bip39.GetWordIndex(fields[i+1]); is {
				list[n] = fields[i+1]
			}
		}
	}
	var words []string
	for n := 1; list[n] != ""; n++ {
		words = append(words, list[n])
	}
	return words
}

// shorten keeps an error readable; the longest word of the list has 8 letters.
func shorten(word string) string {
	if runes := []rune(word); len(runes) > 20 {
		return string(runes[:20]) + "…"
	}
	return word
}
