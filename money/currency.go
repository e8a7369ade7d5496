package money

import (
	"fmt"
	"strings"
)

// Currency is the canonical spelling of a currency, CODE/scale or
// CODE/scale@issuer; the package comment has the grammar. A Currency that did not
// come from ParseCurrency may be anything: ask Valid.
type Currency string

const (
	minCode   = 2  // one letter would be taken for an abbreviation of a name
	maxCode   = 12 // room for words like HOUR or LETSGRAZ, and fits a column
	issuerLen = 52 // 256 bits of a key at 5 bits a character, rounded up

	// zAlphabet is z-base-32, in which ident writes keys. This package imports
	// nothing, so it knows the alphabet too.
	zAlphabet = "ybndrfg8ejkmcpqxot1uwisza345h769"
	// zLast are the characters whose low four bits are zero: 52 characters carry
	// 260 bits, and the last four mean nothing.
	zLast = "yo"

	// shownIssuer is how much of an issuer a printed amount shows: 40 bits tell
	// circles apart on a screen and are as many as a friend's key prefix has.
	shownIssuer = 8
)

// ParseCurrency accepts exactly the canonical spelling of a currency.
func ParseCurrency(s string) (Currency, error) {
	fail := func(why string) (Currency, error) {
		return "", fmt.Errorf("currency %q: %s", s, why)
	}
	code, rest, slash := strings.Cut(s, "/")
	if !validCode(code) {
		return fail("the code is 2 to 12 of A–Z and 0–9 and begins with a letter; write e.g. EUR/2")
	}
	if !slash {
		return fail(fmt.Sprintf("the number of decimals is missing; write e.g. %s/2", code))
	}
	scale, issuer, at := strings.Cut(rest, "@")
	if len(scale) != 1 || !digit(scale[0]) {
		return fail(fmt.Sprintf("the number of decimals is one digit; write e.g. %s/2", code))
	}
	if at && !validIssuer(issuer) {
		return fail("the issuer after @ is a key of 52 characters of z-base-32, the last of them y or o")
	}
	return Currency(s), nil
}

// Valid says whether c is the canonical spelling of a currency.
func (c Currency) Valid() bool {
	code, rest, slash := strings.Cut(string(c), "/")
	scale, issuer, at := strings.Cut(rest, "@")
	return slash && validCode(code) && len(scale) == 1 && digit(scale[0]) && (!at || validIssuer(issuer))
}

// Code returns the part before the slash, "EUR" of EUR/2; "" if c is not valid.
func (c Currency) Code() string {
	if !c.Valid() {
		return ""
	}
	code, _, _ := strings.Cut(string(c), "/")
	return code
}

// Scale returns the number of decimals, 0 to 9; 0 if c is not valid.
func (c Currency) Scale() int {
	if !c.Valid() {
		return 0
	}
	return int(c[strings.IndexByte(string(c), '/')+1] - '0')
}

// Issuer returns the key of the circle that issues c, in z-base-32; "" if c has
// no issuer or is not valid.
func (c Currency) Issuer() string {
	if !c.Valid() {
		return ""
	}
	_, issuer, _ := strings.Cut(string(c), "@")
	return issuer
}

// makeCurrency joins parts that were checked already.
func makeCurrency(code string, scale int, issuer string) Currency {
	c := fmt.Sprintf("%s/%d", code, scale)
	if issuer != "" {
		c += "@" + issuer
	}
	return Currency(c)
}

func validCode(s string) bool {
	if len(s) < minCode || len(s) > maxCode || digit(s[0]) {
		return false
	}
	for i := range len(s) {
		if !digit(s[i]) && (s[i] < 'A' || s[i] > 'Z') {
			return false
		}
	}
	return true
}

func validIssuer(s string) bool {
	return len(s) == issuerLen && inAlphabet(s) && strings.IndexByte(zLast, s[issuerLen-1]) >= 0
}

func inAlphabet(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(zAlphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
