package money

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Value is an amount of a currency.
type Value struct {
	Amount   Amount
	Currency Currency
}

// valueJSON is the JSON form of a Value; see the package comment.
type valueJSON struct {
	Value  *string `json:"value"`
	Code   *string `json:"assetCode"`
	Scale  *int    `json:"assetScale"`
	Issuer string  `json:"assetIssuer,omitempty"`
}

// MarshalJSON writes v as the package comment says. A currency that is not valid
// is an error: an amount of nothing in particular must not leave the program.
func (v Value) MarshalJSON() ([]byte, error) {
	if !v.Currency.Valid() {
		return nil, fmt.Errorf("amount %d has no valid currency: %q", v.Amount, string(v.Currency))
	}
	value, code, scale := strconv.FormatInt(int64(v.Amount), 10), v.Currency.Code(), v.Currency.Scale()
	return json.Marshal(valueJSON{&value, &code, &scale, v.Currency.Issuer()})
}

// UnmarshalJSON reads the form that MarshalJSON writes. On an error v is
// unchanged.
func (v *Value) UnmarshalJSON(data []byte) error {
	var j valueJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return fmt.Errorf("amount: %w", err)
	}
	if j.Value == nil || j.Code == nil || j.Scale == nil {
		return fmt.Errorf(`amount: value, assetCode and assetScale are needed, as in {"value":"1250","assetCode":"EUR","assetScale":2}`)
	}
	n, err := strconv.ParseInt(*j.Value, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != *j.Value {
		return fmt.Errorf("amount: value %q is not a whole number of minor units between -2^63 and 2^63-1", *j.Value)
	}
	spelled := fmt.Sprintf("%s/%d", *j.Code, *j.Scale)
	if j.Issuer != "" {
		spelled += "@" + j.Issuer
	}
	c, err := ParseCurrency(spelled)
	if err != nil {
		return fmt.Errorf("amount: %w", err)
	}
	*v = Value{Amount(n), c}
	return nil
}

// String prints v for people: "12.50 EUR", and "12.50 LETS@abcdefgh" with the
// first 8 characters of the issuer. The scale shows as the number of decimals.
func (v Value) String() string {
	if !v.Currency.Valid() {
		return fmt.Sprintf("%d minor units of %q", v.Amount, string(v.Currency))
	}
	s := decimal(v.Amount, v.Currency.Scale()) + " " + v.Currency.Code()
	if issuer := v.Currency.Issuer(); issuer != "" {
		s += "@" + issuer[:shownIssuer]
	}
	return s
}

// decimal writes a with scale decimals and a point.
func decimal(a Amount, scale int) string {
	digits, sign := strconv.FormatInt(int64(a), 10), ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	if scale == 0 {
		return sign + digits
	}
	point := len(digits) - scale
	return sign + digits[:point] + "." + digits[point:]
}
