// Package money holds amounts, currencies and fees: checked integers, one
// spelling for each currency, and the reading and printing of amounts as people
// write them.
//
// # Amounts
//
// An Amount is an int64 count of minor units (cents for EUR/2). There are no
// floats anywhere. Arithmetic never wraps: every operation that can overflow
// returns ok=false, and its first result is then 0 and means nothing.
//
// # Currencies
//
// A Currency is spelled CODE/scale or CODE/scale@issuer:
//
//	currency = code "/" scale [ "@" issuer ]
//	code     = A–Z, then 1 to 11 of A–Z and 0–9
//	scale    = one digit, the number of decimals
//	issuer   = 52 characters of z-base-32: the key of the circle that issues it
//
// Two currencies are equal only if code, scale and issuer are all equal, so a
// Currency is compared with ==. Only this spelling is accepted; the last
// character of an issuer is y or o, because 52 characters carry 260 bits and a
// key has 256. Whether the issuer is a usable key is for package ident to say.
//
// # JSON
//
// A Value is an object in the style of Open Payments:
//
//	{"value":"-1250","assetCode":"EUR","assetScale":2,"assetIssuer":"…"}
//
// value is a string, because JSON numbers lose digits above 2^53, and has one
// spelling: no plus sign, no leading zero, no "-0". assetIssuer is absent when
// there is none. Unknown members are ignored, so that members can be added.
//
// # Amounts as people write them
//
// See Parse. Points and commas are both decimal separators and neither ever
// groups thousands: a text in which a separator could be misread is refused, not
// guessed.
//
// # Fees
//
// A Fee is base + parts per million of the amount forwarded, rounded up to a
// minor unit. See Fee.Of.
//
// The package never rounds except in Fee.Of, never converts between currencies,
// and never keeps a list of currencies.
package money

import (
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// Amount is a number of minor units of some currency.
type Amount int64

// MaxLimit is the largest credit limit and the largest base fee. 2^53 is the
// largest count that every JSON reader keeps exactly, and it leaves room for
// 1,023 such limits in one int64 sum.
const MaxLimit Amount = 1 << 53

// Add returns a+b, or ok=false if that does not fit an int64.
func (a Amount) Add(b Amount) (sum Amount, ok bool) {
	sum = a + b
	// The sum is out of range exactly if it moved against the sign of b.
	if (b > 0) != (sum > a) && b != 0 {
		return 0, false
	}
	return sum, true
}

// Sub returns a-b, or ok=false if that does not fit an int64.
func (a Amount) Sub(b Amount) (difference Amount, ok bool) {
	difference = a - b
	if (b > 0) != (difference < a) && b != 0 {
		return 0, false
	}
	return difference, true
}

// Neg returns -a, or ok=false for the smallest int64, which has no opposite.
func (a Amount) Neg() (opposite Amount, ok bool) {
	if a == math.MinInt64 {
		return 0, false
	}
	return -a, true
}

// million is the whole of which Fee.Ppm counts parts.
const million = 1_000_000

// Fee is what a node charges one friend for carrying a payment onward.
type Fee struct {
	Base Amount // minor units per payment part, 0 to MaxLimit
	Ppm  uint32 // parts per million of the forwarded amount, 0 to 1,000,000
}

// Of returns the fee for forwarding an amount of minor units:
//
//	Base + ceil(forwarded × Ppm / 1,000,000)
//
// ok is false if forwarded is negative, if Base or Ppm is out of its range, or if
// the fee does not fit an int64.
func (f Fee) Of(forwarded Amount) (fee Amount, ok bool) {
	if forwarded < 0 || f.Base < 0 || f.Base > MaxLimit || f.Ppm > million {
		return 0, false
	}
	// The product has up to 83 bits. Its high word is below 2^19, less than the
	// divisor, so Div64 cannot panic; and the quotient is at most forwarded.
	hi, lo := bits.Mul64(uint64(forwarded), uint64(f.Ppm))
	quotient, remainder := bits.Div64(hi, lo, million)
	if remainder > 0 {
		quotient++ // at most forwarded: a remainder means Ppm < 1,000,000
	}
	return f.Base.Add(Amount(quotient))
}

// ParsePpm reads a fee rate: a whole number of parts per million ("5000"), or a
// percentage ("0.5%", "0,5 %"). The result is at most 1,000,000, which is 100 %.
// A percentage finer than 0.0001 %, one part per million, is an error: a rate is
// never rounded.
func ParsePpm(s string) (uint32, error) {
	number, percent := s, false
	if n := len(s); n > 0 && s[n-1] == '%' {
		number, percent = strings.TrimRight(s[:n-1], " "), true
	}
	whole, fraction, rest, err := scanNumber(number)
	if err != nil {
		return 0, fmt.Errorf("fee rate %q: %w; write a percentage like 0.5%%, or millionths like 5000", s, err)
	}
	if rest != "" {
		return 0, fmt.Errorf("fee rate %q: %q after the number; write a percentage like 0.5%%, or millionths like 5000", s, rest)
	}
	scale := 0
	if percent {
		scale = 4 // 1 % is 10^4 parts per million
	} else if fraction != "" {
		return 0, fmt.Errorf("fee rate %q: millionths are whole; did you mean %s%%?", s, number)
	}
	fraction = strings.TrimRight(fraction, "0")
	if len(fraction) > scale {
		return 0, fmt.Errorf("fee rate %q is finer than 0.0001%%, one millionth", s)
	}
	ppm, ok := scaled(whole, fraction, scale)
	if !ok || ppm > million {
		return 0, fmt.Errorf("fee rate %q is more than 100%%, which is 1000000 millionths", s)
	}
	return uint32(ppm), nil
}
