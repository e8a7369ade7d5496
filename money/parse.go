package money

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Parse reads an amount with its currency as people write it:
//
//	12.50 EUR      12,50 EUR      12.50EUR      50 LETS@abcdefgh      1250 EUR/2 (minor)
//
// The number is digits with at most one point or comma between digits, which is
// the decimal separator. It has at most as many decimals as the currency. With
// minor set it counts minor units and has no decimals. It is never negative.
//
// The currency is a canonical spelling, or a code (EUR), or a code with the first
// 8 or more characters of an issuer (LETS@abcdefgh, as Value.String prints it).
// The latter two are looked up with known, which returns all currencies known
// with a code, in any order; exactly one must fit. A nil known knows none. A
// canonical spelling need not be known.
//
// Errors say what to write instead.
func Parse(s string, minor bool, known func(code string) []Currency) (Value, error) {
	whole, fraction, name, err := scanNumber(s)
	if err != nil {
		return Value{}, fmt.Errorf("amount %q: %w", s, err)
	}
	if name == "" {
		return Value{}, fmt.Errorf("amount %q: the currency code is missing; write e.g. %q", s, s+" EUR")
	}
	c, err := resolve(name, known)
	if err != nil {
		return Value{}, fmt.Errorf("amount %q: %w", s, err)
	}
	a, err := toMinor(whole, fraction, c, minor)
	if err != nil {
		return Value{}, fmt.Errorf("amount %q: %w", s, err)
	}
	return Value{a, c}, nil
}

// ParseIn reads an amount of a currency that is already known: a bare number
// ("100", "12,50"), or a number with a currency that means c (its code, its code
// with the beginning of its issuer, or its whole spelling). The number is as for
// Parse.
func ParseIn(s string, c Currency, minor bool) (Amount, error) {
	if !c.Valid() {
		return 0, fmt.Errorf("amount %q: %q is not a currency", s, string(c))
	}
	whole, fraction, name, err := scanNumber(s)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", s, err)
	}
	if name != "" {
		if meant, err := resolve(name, func(string) []Currency { return []Currency{c} }); err != nil || meant != c {
			return 0, fmt.Errorf("amount %q: the currency here is %s, not %q", s, c, name)
		}
	}
	a, err := toMinor(whole, fraction, c, minor)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", s, err)
	}
	return a, nil
}

// resolve finds the currency that name means; see Parse.
func resolve(name string, known func(code string) []Currency) (Currency, error) {
	if strings.ContainsRune(name, '/') {
		return ParseCurrency(name)
	}
	code, prefix, at := strings.Cut(name, "@")
	if !validCode(code) {
		if upper := strings.ToUpper(code); validCode(upper) {
			return "", fmt.Errorf("codes are in capitals: write %s", upper)
		}
		return "", fmt.Errorf("%q is not a currency; write the number, then a code like EUR or EUR/2", name)
	}
	if at && (len(prefix) < shownIssuer || len(prefix) > issuerLen || !inAlphabet(prefix)) {
		return "", fmt.Errorf("%q: after @ stand at least the first %d characters of the issuer's key", name, shownIssuer)
	}
	var fits []Currency
	if known != nil {
		for _, c := range known(code) {
			if c.Code() == code && strings.HasPrefix(c.Issuer(), prefix) {
				fits = append(fits, c)
			}
		}
	}
	slices.Sort(fits) // an error's text must not depend on the caller's order
	fits = slices.Compact(fits)
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) > 1:
		return "", fmt.Errorf("%s may be any of %s; write one of them in full, e.g. %s", name, list(fits), fits[0])
	case at:
		return "", fmt.Errorf("no currency %s is known here; write it in full, CODE/scale@issuer", name)
	}
	return "", fmt.Errorf("no currency %s is known here; write its number of decimals too, e.g. %s/2", code, code)
}

func list(cs []Currency) string {
	names := make([]string, len(cs))
	for i, c := range cs {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}

// toMinor turns digits into minor units of c.
func toMinor(whole, fraction string, c Currency, minor bool) (Amount, error) {
	scale := c.Scale()
	if minor {
		if fraction != "" {
			return 0, fmt.Errorf("minor units are whole: without decimals, or leave --minor out")
		}
		scale = 0
	}
	if len(fraction) > scale {
		if scale == 0 {
			return 0, fmt.Errorf("%s has no decimals", c)
		}
		return 0, fmt.Errorf("%s has %d decimals, not %d; a point or comma is always the decimal one", c, scale, len(fraction))
	}
	a, ok := scaled(whole, fraction, scale)
	if !ok {
		return 0, fmt.Errorf("more than %s, the largest amount there is", Value{math.MaxInt64, c})
	}
	return a, nil
}

// scaled returns whole.fraction × 10^scale for a fraction of at most scale
// digits; ok is false if it does not fit an int64.
func scaled(whole, fraction string, scale int) (a Amount, ok bool) {
	digits := whole + fraction + strings.Repeat("0", scale-len(fraction))
	for i := range len(digits) {
		d := Amount(digits[i] - '0')
		if a > (math.MaxInt64-d)/10 {
			return 0, false
		}
		a = a*10 + d
	}
	return a, true
}

// maxText bounds the texts read here: an issuer takes 52 characters, a number 20,
// and what is longer is a mistake that need not be repeated in an error.
const maxText = 200

// scanNumber splits s into the digits before and after the decimal separator and
// what follows the number, spaces trimmed.
func scanNumber(s string) (whole, fraction, rest string, err error) {
	fail := func(text string) (string, string, string, error) { return "", "", "", errors.New(text) }
	if len(s) > maxText {
		return fail(fmt.Sprintf("%d bytes are too many, at most %d", len(s), maxText))
	}
	s = strings.Trim(s, " ")
	if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "−") {
		return fail("it is negative; amounts are written without a sign")
	}
	whole, s = digitsOf(s)
	if whole == "" {
		return fail("it does not begin with a digit; write e.g. 12.50 EUR")
	}
	if s != "" && separator(s[0]) {
		fraction, rest = digitsOf(s[1:])
		if fraction == "" {
			return fail("a digit is missing after the decimal separator")
		}
		if rest != "" && separator(rest[0]) {
			return fail("it has two separators; write thousands without one and decimals after a point or comma, as in 1250.00")
		}
		s = rest
	}
	rest = strings.Trim(s, " ")
	if len(rest) > 1 && rest[0] == 'e' && strings.Trim(rest[1:], "+-0123456789") == "" {
		return fail("numbers are written out, e.g. 1000 for 1e3")
	}
	if rest != "" && (digit(rest[0]) || rest[0] == '\'' || rest[0] == '_') {
		return fail("the number is broken up; write thousands without a separator, as in 1250.00")
	}
	return whole, fraction, rest, nil
}

func digitsOf(s string) (digits, rest string) {
	n := 0
	for n < len(s) && digit(s[n]) {
		n++
	}
	return s[:n], s[n:]
}

func separator(c byte) bool { return c == '.' || c == ',' }
