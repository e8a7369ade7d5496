//go:build unix

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"kula/ident"
	"kula/internal/api"
	"kula/money"
	"kula/node"
	"kula/pay"
	"kula/wire"
)

// field finds a member of the object on stdout by a path like friends.0.name.
func field(ts *testscript.TestScript, path string) any {
	var v any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("stdout is no JSON: %v", err)
	}
	for _, step := range strings.Split(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			if step == "len" {
				v = json.Number(strconv.Itoa(len(at)))
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				ts.Fatalf("%s: no place %s in a list of %d", path, step, len(at))
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// show is a member as scripts write it: amounts as people do, what is absent as "none".
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		return v
	case map[string]any:
		data, _ := json.Marshal(v) // it was just decoded
		var amount money.Value
		if json.Unmarshal(data, &amount) == nil {
			return amount.String()
		}
		return string(data)
	}
	return fmt.Sprint(v)
}

// json PATH VALUE compares a member of the object on stdout; ~VALUE is a regular expression.
func (w *world) json(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, false, args, 2, "[!] json PATH VALUE")
	got, want := show(field(ts, args[0])), strings.Join(args[1:], " ")
	ok := got == want
	if pattern, is := strings.CutPrefix(want, "~"); is {
		ok = regexp.MustCompile(pattern).MatchString(got)
	}
	if ok == neg {
		ts.Fatalf("%s is %q, want %q (not: %v)", args[0], got, want, neg)
	}
}

// keep VAR PATH keeps a member of the object on stdout.
func (w *world) keep(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "keep VAR PATH")
	v := show(field(ts, args[1]))
	if v == "none" || v == "" {
		ts.Fatalf("there is no %s in %s", args[1], ts.ReadFile("stdout"))
	}
	ts.Setenv(args[0], v)
}

// tamper VAR LINK FIELD keeps an invoice link with one field changed by the payer.
func (w *world) tamper(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "tamper VAR LINK amount|currency|payee|expiry")
	s, i, err := pay.ParseInvoiceLink(offline{}, args[1])
	ts.Check(err)
	switch args[2] {
	case "amount":
		i.Amount--
	case "currency":
		i.Currency = "OTHER/0"
	case "payee":
		i.Payee = ident.NewKey(newMaster()).ID()
	case "expiry":
		i.Expires += 3600
	default:
		ts.Fatalf("no field %s", args[2])
	}
	s.Body = wire.Marshal(i)
	ts.Setenv(args[0], pay.InvoiceLink(s))
}

// payraw HOME LINK CODE hands an invoice to the node itself, past the command line's own check; the node must refuse it.
func (w *world) payraw(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "payraw HOME LINK CODE")
	p, err := w.at(ts, args[0]).client.Pay(context.Background(), newKey(), api.Order{Invoice: args[1], WaitMs: patience.Milliseconds()})
	var refused *api.Refused
	switch {
	case errors.As(err, &refused):
		if refused.Code != args[2] {
			ts.Fatalf("refused with %s: %s", refused.Code, refused)
		}
	case err != nil:
		ts.Check(err)
	case p.State != node.Returned || p.Reason.Code.String() != args[2]:
		ts.Fatalf("%s: %+v", p.State, p.Reason)
	}
}

// flip FILE PATTERN changes one bit after each place where the pattern is in a file.
func (w *world) flip(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "flip FILE PATTERN")
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	found := 0
	for at := 0; ; found++ {
		i := bytes.Index(data[at:], []byte(args[1]))
		if i < 0 {
			break
		}
		at += i + len(args[1])
		data[at] ^= 1
	}
	if found == 0 {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(path, data, 0o600))
}
