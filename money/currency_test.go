package money

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCurrencies(t *testing.T) {
	for _, v := range vectors.Currencies {
		c, err := ParseCurrency(v.Text)
		if err != nil || string(c) != v.Text || !c.Valid() {
			t.Errorf("ParseCurrency(%q) = %q, %v", v.Text, c, err)
		}
		if c.Code() != v.Code || c.Scale() != v.Scale || c.Issuer() != v.Issuer {
			t.Errorf("%s: code %q, scale %d, issuer %q", c, c.Code(), c.Scale(), c.Issuer())
		}
		if made := makeCurrency(v.Code, v.Scale, v.Issuer); made != c {
			t.Errorf("made %s, want %s", made, c)
		}
	}
}

func TestRefusedCurrencies(t *testing.T) {
	for _, v := range vectors.BadCurrencies {
		t.Run(v.Name, func(t *testing.T) {
			if c, err := ParseCurrency(v.Text); err == nil || c != "" {
				t.Errorf("ParseCurrency(%q) = %q, %v", v.Text, c, err)
			}
			c := Currency(v.Text)
			if c.Valid() || c.Code() != "" || c.Scale() != 0 || c.Issuer() != "" {
				t.Errorf("%q: %v, code %q, scale %d, issuer %q", v.Text, c.Valid(), c.Code(), c.Scale(), c.Issuer())
			}
		})
	}
}

// currencies draws valid ones.
func currencies() *rapid.Generator[Currency] {
	return rapid.Custom(func(t *rapid.T) Currency {
		code := rapid.StringMatching(`[A-Z][A-Z0-9]{1,11}`).Draw(t, "code")
		issuer := ""
		if rapid.Bool().Draw(t, "issued") {
			issuer = rapid.StringMatching(`[`+zAlphabet+`]{51}[yo]`).Draw(t, "issuer")
		}
		return makeCurrency(code, rapid.IntRange(0, 9).Draw(t, "scale"), issuer)
	})
}

func TestCurrencyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := currencies().Draw(t, "currency")
		got, err := ParseCurrency(string(c))
		if err != nil || got != c || !c.Valid() {
			t.Fatalf("%q, %v", got, err)
		}
		if again := makeCurrency(c.Code(), c.Scale(), c.Issuer()); again != c {
			t.Fatalf("its parts make %s", again)
		}
	})
}

func FuzzParseCurrency(f *testing.F) {
	for _, v := range vectors.Currencies {
		f.Add(v.Text)
	}
	for _, v := range vectors.BadCurrencies {
		f.Add(v.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCurrency(s)
		if (err == nil) != Currency(s).Valid() {
			t.Fatalf("ParseCurrency(%q): %v; Valid %v", s, err, Currency(s).Valid())
		}
		if err != nil {
			return
		}
		if string(c) != s || makeCurrency(c.Code(), c.Scale(), c.Issuer()) != c {
			t.Fatalf("%q was read as %q", s, c)
		}
		if strings.ContainsAny(s, " \n\t\x00") {
			t.Fatalf("%q has spaces", s)
		}
	})
}
