package money

import (
	"encoding/json"
	"math"
	"math/big"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// vectors are those of spec/vectors/money.json.
var vectors = readVectors()

type currencyVector struct {
	Text, Code, Issuer string
	Scale              int
}

type valueVector struct {
	Amount   Amount `json:",string"`
	Currency Currency
	Prints   string
	JSON     string
}

// textVector is a text to read, and the amount or a part of the error.
type textVector struct {
	Text     string
	Minor    bool
	Known    []Currency
	Currency Currency
	Amount   Amount `json:",string"`
	Error    string
}

type feeVector struct {
	Name      string
	Base      Amount `json:",string"`
	Ppm       uint32
	Forwarded Amount `json:",string"`
	Fee       Amount `json:",string"`
}

type vectorFile struct {
	Currencies    []currencyVector
	BadCurrencies []struct{ Name, Text string }
	Values        []valueVector
	BadValues     []struct{ Name, JSON string }
	Parse         []textVector
	BadParse      []textVector
	ParseIn       []textVector
	BadParseIn    []textVector
	Fees          []feeVector
	BadFees       []feeVector
	Ppm           []struct {
		Text string
		Ppm  uint32
	}
	BadPpm []struct{ Text, Error string }
}

func readVectors() vectorFile {
	data, err := os.ReadFile("../spec/vectors/money.json")
	if err != nil {
		panic(err)
	}
	var f vectorFile
	if err := json.Unmarshal(data, &f); err != nil {
		panic(err)
	}
	return f
}

// amounts draws mostly from the places where something can go wrong.
func amounts() *rapid.Generator[Amount] {
	return rapid.OneOf(
		rapid.Map(rapid.Int64(), func(n int64) Amount { return Amount(n) }),
		rapid.Map(rapid.Int64Range(-3, 3), func(n int64) Amount { return Amount(n) }),
		rapid.Map(rapid.Int64Range(0, 3), func(n int64) Amount { return math.MaxInt64 - Amount(n) }),
		rapid.Map(rapid.Int64Range(0, 3), func(n int64) Amount { return math.MinInt64 + Amount(n) }),
		rapid.Map(rapid.Int64Range(-3, 3), func(n int64) Amount { return MaxLimit + Amount(n) }),
	)
}

func big64(a Amount) *big.Int { return big.NewInt(int64(a)) }

// checked compares an amount and its ok with the exact result.
func checked(t *rapid.T, what string, got Amount, ok bool, want *big.Int) {
	t.Helper()
	if ok != want.IsInt64() || ok && int64(got) != want.Int64() || !ok && got != 0 {
		t.Fatalf("%s = %d, %v; exactly %s", what, got, ok, want)
	}
}

func TestArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := amounts().Draw(t, "a"), amounts().Draw(t, "b")
		sum, ok := a.Add(b)
		checked(t, "a+b", sum, ok, new(big.Int).Add(big64(a), big64(b)))
		difference, ok := a.Sub(b)
		checked(t, "a-b", difference, ok, new(big.Int).Sub(big64(a), big64(b)))
		opposite, ok := a.Neg()
		checked(t, "-a", opposite, ok, new(big.Int).Neg(big64(a)))
	})
}

func TestArithmeticAtTheEdges(t *testing.T) {
	const lo, hi = Amount(math.MinInt64), Amount(math.MaxInt64)
	for _, c := range []struct {
		name string
		f    func() (Amount, bool)
		want Amount
		ok   bool
	}{
		{"0+0", func() (Amount, bool) { return Amount(0).Add(0) }, 0, true},
		{"hi+0", func() (Amount, bool) { return hi.Add(0) }, hi, true},
		{"hi+1", func() (Amount, bool) { return hi.Add(1) }, 0, false},
		{"hi+hi", func() (Amount, bool) { return hi.Add(hi) }, 0, false},
		{"hi+lo", func() (Amount, bool) { return hi.Add(lo) }, -1, true},
		{"lo+lo", func() (Amount, bool) { return lo.Add(lo) }, 0, false},
		{"lo-1", func() (Amount, bool) { return lo.Sub(1) }, 0, false},
		{"0-lo", func() (Amount, bool) { return Amount(0).Sub(lo) }, 0, false},
		{"-1-lo", func() (Amount, bool) { return Amount(-1).Sub(lo) }, hi, true},
		{"lo-lo", func() (Amount, bool) { return lo.Sub(lo) }, 0, true},
		{"-lo", func() (Amount, bool) { return lo.Neg() }, 0, false},
		{"-hi", func() (Amount, bool) { return hi.Neg() }, lo + 1, true},
	} {
		if got, ok := c.f(); got != c.want || ok != c.ok {
			t.Errorf("%s = %d, %v; want %d, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestFees(t *testing.T) {
	for _, v := range vectors.Fees {
		if got, ok := (Fee{v.Base, v.Ppm}).Of(v.Forwarded); !ok || got != v.Fee {
			t.Errorf("%d + %d ppm of %d = %d, %v; want %d", v.Base, v.Ppm, v.Forwarded, got, ok, v.Fee)
		}
	}
	for _, v := range vectors.BadFees {
		if got, ok := (Fee{v.Base, v.Ppm}).Of(v.Forwarded); ok || got != 0 {
			t.Errorf("%s: got %d, %v", v.Name, got, ok)
		}
	}
}

func TestFeeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Fee{amounts().Draw(t, "base"), rapid.Uint32Range(0, million+1).Draw(t, "ppm")}
		x := amounts().Draw(t, "forwarded")
		got, ok := f.Of(x)
		if x < 0 || f.Base < 0 || f.Base > MaxLimit || f.Ppm > million {
			if ok || got != 0 {
				t.Fatalf("out of range: %d, %v", got, ok)
			}
			return
		}
		// ceil(a/b) = (a + b - 1) / b
		want := new(big.Int).Mul(big64(x), big.NewInt(int64(f.Ppm)))
		want.Add(want, big.NewInt(million-1)).Div(want, big.NewInt(million)).Add(want, big64(f.Base))
		checked(t, "fee", got, ok, want)
		if more, okMore := f.Of(x / 2); ok && (!okMore || more > got) {
			t.Fatalf("half of it costs %d, all of it %d", more, got)
		}
	})
}

func TestPpm(t *testing.T) {
	for _, v := range vectors.Ppm {
		if got, err := ParsePpm(v.Text); err != nil || got != v.Ppm {
			t.Errorf("ParsePpm(%q) = %d, %v; want %d", v.Text, got, err, v.Ppm)
		}
	}
	for _, v := range vectors.BadPpm {
		if got, err := ParsePpm(v.Text); err == nil || got != 0 || !strings.Contains(err.Error(), v.Error) {
			t.Errorf("ParsePpm(%q) = %d, %v; want an error with %q", v.Text, got, err, v.Error)
		}
	}
}

func FuzzParsePpm(f *testing.F) {
	for _, v := range vectors.Ppm {
		f.Add(v.Text)
	}
	for _, v := range vectors.BadPpm {
		f.Add(v.Text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParsePpm(s)
		if err != nil {
			return
		}
		// Read it again with exact fractions.
		number, percent := strings.CutSuffix(s, "%")
		exact, ok := new(big.Rat).SetString(strings.ReplaceAll(strings.Trim(number, " "), ",", "."))
		if !ok {
			t.Fatalf("%q is no number, and was read as %d", s, got)
		}
		if percent {
			exact.Mul(exact, big.NewRat(10_000, 1))
		}
		if got > million || exact.Cmp(new(big.Rat).SetInt64(int64(got))) != 0 {
			t.Fatalf("%q was read as %d, it is %s", s, got, exact)
		}
	})
}
