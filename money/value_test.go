package money

import (
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestValues(t *testing.T) {
	for _, v := range vectors.Values {
		value := Value{v.Amount, v.Currency}
		if got := value.String(); got != v.Prints {
			t.Errorf("String %q, want %q", got, v.Prints)
		}
		data, err := json.Marshal(value)
		if err != nil || string(data) != v.JSON {
			t.Errorf("JSON %s, %v; want %s", data, err, v.JSON)
		}
		var got Value
		if err := json.Unmarshal([]byte(v.JSON), &got); err != nil || got != value {
			t.Errorf("%s is %v, %v; want %v", v.JSON, got, err, value)
		}
	}
}

func TestRefusedValues(t *testing.T) {
	for _, v := range vectors.BadValues {
		t.Run(v.Name, func(t *testing.T) {
			before := Value{7, "EUR/2"}
			got := before
			if err := got.UnmarshalJSON([]byte(v.JSON)); err == nil || got != before {
				t.Errorf("%s was read as %v, %v", v.JSON, got, err)
			}
		})
	}
	for _, c := range []Currency{"", "EUR", "EUR/2@x"} {
		if data, err := json.Marshal(Value{1, c}); err == nil {
			t.Errorf("currency %q was written: %s", c, data)
		}
	}
	if got := (Value{1250, "EUR"}).String(); got != `1250 minor units of "EUR"` {
		t.Errorf("String without a valid currency: %s", got)
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	var got Value
	err := json.Unmarshal([]byte(`{"value":"1","assetCode":"EUR","assetScale":2,"approximately":"1.08 USD"}`), &got)
	if err != nil || got != (Value{1, "EUR/2"}) {
		t.Errorf("%v, %v", got, err)
	}
}

func knowing(cs []Currency) func(string) []Currency {
	return func(code string) []Currency {
		return slices.DeleteFunc(slices.Clone(cs), func(c Currency) bool { return c.Code() != code })
	}
}

func TestParse(t *testing.T) {
	for _, v := range vectors.Parse {
		want := Value{v.Amount, v.Currency}
		if got, err := Parse(v.Text, v.Minor, knowing(v.Known)); err != nil || got != want {
			t.Errorf("Parse(%q, %v) = %v, %v; want %v", v.Text, v.Minor, got, err, want)
		}
		// A caller may as well return all it knows.
		if got, err := Parse(v.Text, v.Minor, func(string) []Currency { return v.Known }); err != nil || got != want {
			t.Errorf("Parse(%q, %v) = %v, %v with all known currencies; want %v", v.Text, v.Minor, got, err, want)
		}
	}
	if _, err := Parse("5 EUR", false, nil); err == nil || !strings.Contains(err.Error(), "no currency EUR is known") {
		t.Errorf("knowing nothing: %v", err)
	}
}

func TestParseRefusals(t *testing.T) {
	for _, v := range vectors.BadParse {
		got, err := Parse(v.Text, v.Minor, knowing(v.Known))
		if err == nil || got != (Value{}) || !strings.Contains(err.Error(), v.Error) {
			t.Errorf("Parse(%q, %v) = %v, %v; want an error with %q", v.Text, v.Minor, got, err, v.Error)
		}
	}
}

func TestParseIn(t *testing.T) {
	for _, v := range vectors.ParseIn {
		if got, err := ParseIn(v.Text, v.Currency, v.Minor); err != nil || got != v.Amount {
			t.Errorf("ParseIn(%q, %s, %v) = %d, %v; want %d", v.Text, v.Currency, v.Minor, got, err, v.Amount)
		}
	}
	for _, v := range vectors.BadParseIn {
		got, err := ParseIn(v.Text, v.Currency, v.Minor)
		if err == nil || got != 0 || !strings.Contains(err.Error(), v.Error) {
			t.Errorf("ParseIn(%q, %s, %v) = %d, %v; want an error with %q", v.Text, v.Currency, v.Minor, got, err, v.Error)
		}
	}
}

// What is printed can be typed; what is written can be read.
func TestValueRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := Value{amounts().Draw(t, "amount"), currencies().Draw(t, "currency")}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var got Value
		if err := json.Unmarshal(data, &got); err != nil || got != v {
			t.Fatalf("%s was read as %v, %v", data, got, err)
		}
		known := knowing([]Currency{v.Currency})
		for _, text := range []string{v.String(), strings.Replace(v.String(), ".", ",", 1)} {
			got, err = Parse(text, false, known)
			bare, errIn := ParseIn(text, v.Currency, false)
			if v.Amount < 0 {
				if err == nil || errIn == nil {
					t.Fatalf("%q was read as %v, %d", text, got, bare)
				}
			} else if err != nil || errIn != nil || got != v || bare != v.Amount {
				t.Fatalf("%q was read as %v, %v; %d, %v", text, got, err, bare, errIn)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, v := range slices.Concat(vectors.Parse, vectors.BadParse, vectors.ParseIn, vectors.BadParseIn) {
		f.Add(v.Text, v.Minor)
	}
	known := knowing([]Currency{"EUR/2", "HOUR/2", "HOUR/3", "JPY/0", vectors.Currencies[6].currency()})
	f.Fuzz(func(t *testing.T, s string, minor bool) {
		v, err := Parse(s, minor, known)
		if err != nil {
			if v != (Value{}) {
				t.Fatalf("an error came with %v", v)
			}
			return
		}
		if v.Amount < 0 || !v.Currency.Valid() {
			t.Fatalf("%q was read as %v", s, v)
		}
		// The same by exact fractions of the digits before the currency.
		number := strings.TrimLeft(s, " ")
		number = number[:len(number)-len(strings.TrimLeft(number, "0123456789.,"))]
		exact, ok := new(big.Rat).SetString(strings.Replace(number, ",", ".", 1))
		if !ok {
			t.Fatalf("%q begins with no number, and was read as %v", s, v)
		}
		if !minor {
			ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(v.Currency.Scale())), nil)
			exact.Mul(exact, new(big.Rat).SetInt(ten))
		}
		if exact.Cmp(new(big.Rat).SetInt64(int64(v.Amount))) != 0 {
			t.Fatalf("%q was read as %v, it is %s", s, v, exact)
		}
		if in, err := ParseIn(s, v.Currency, minor); err != nil || in != v.Amount {
			t.Fatalf("ParseIn(%q, %s) = %d, %v", s, v.Currency, in, err)
		}
	})
}

func (v currencyVector) currency() Currency { return Currency(v.Text) }

func FuzzParseIn(f *testing.F) {
	for _, v := range slices.Concat(vectors.ParseIn, vectors.BadParseIn) {
		f.Add(v.Text, string(v.Currency), v.Minor)
	}
	f.Fuzz(func(t *testing.T, s, currency string, minor bool) {
		c := Currency(currency)
		a, err := ParseIn(s, c, minor)
		if err != nil {
			if a != 0 {
				t.Fatalf("an error came with %d", a)
			}
			return
		}
		if a < 0 || !c.Valid() {
			t.Fatalf("%q in %q was read as %d", s, currency, a)
		}
		// What it means, printed, means the same.
		if again, err := ParseIn(Value{a, c}.String(), c, false); err != nil || again != a {
			t.Fatalf("%s was read as %d, %v", Value{a, c}, again, err)
		}
	})
}

func FuzzValueJSON(f *testing.F) {
	for _, v := range vectors.Values {
		f.Add([]byte(v.JSON))
	}
	for _, v := range vectors.BadValues {
		f.Add([]byte(v.JSON))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Value
		if err := json.Unmarshal(data, &v); err != nil {
			return
		}
		if string(data) == "null" || strings.TrimSpace(string(data)) == "null" {
			t.Fatal("null was read as an amount")
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatalf("%s was read as %v and cannot be written: %v", data, v, err)
		}
		var back Value
		if err := json.Unmarshal(again, &back); err != nil || back != v {
			t.Fatalf("%s became %s, %v, %v", data, again, back, err)
		}
	})
}
