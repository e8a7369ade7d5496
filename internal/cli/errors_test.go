package cli

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"kula/internal/api"
	"kula/node"
	"kula/wire"
)

func TestFinish(t *testing.T) { // design §10: exit codes, and what is printed with --json
	reason := &node.ReasonView{Code: wire.NoRoute, Text: "t"}
	for _, c := range []struct {
		name string
		err  error
		code int
		out  string
	}{
		{"done", nil, 0, ""},
		{"waiting", errWaiting, 3, ""},
		{"wrong", wrong("no"), 2, ""},
		{"of cobra", errors.New("unknown flag"), 2, ""},
		{"refused", refuse(wire.NotFound, "not there"), 1, `{"error":{"code":"not_found","text":"not there"}}`},
		{"with a result", &failure{code: "c", text: "t", result: invalidView{}}, 1, `{"valid":false,"error":{"code":"c","text":"t"}}`},
		{"with a reason", &failure{code: "no_route", text: "t", reason: reason}, 1, `{"error":{"code":"no_route","text":"t","reason":{"code":"no_route","text":"t"}}}`},
		{"of the node", failed(&api.Refused{Status: 409, Code: "still_owed", Detail: "d"}), 1, `{"error":{"code":"still_owed","text":"d"}}`},
		{"malformed for the node", failed(&api.Refused{Status: 400, Code: "bad_request", Detail: "d"}), 2, ""},
		{"no node", failed(fmt.Errorf("x: %w", api.ErrUnreachable)), 1, `{"error":{"code":"node_not_running","text":"x: the node does not answer. Start it with: kula up"}}`},
		{"a file", failed(errors.New("disk full")), 1, `{"error":{"code":"failed","text":"disk full"}}`},
		{"not begun", notBegun(&api.Refused{Status: 409, Code: "invoice_paid", Detail: "paid"}, nil), 1, `{"state":"returned","reason":{"code":"invoice_paid","text":"paid"},"error":{"code":"invoice_paid","text":"paid"}}`},
		{"perhaps begun", notBegun(errors.New("connection lost"), nil), 1, `{"error":{"code":"failed","text":"connection lost"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, log bytes.Buffer
			a := &app{out: &out, err: &log, json: true}
			code := a.finish(c.err)
			if c.out != "" {
				c.out += "\n"
			}
			if code != c.code || out.String() != c.out {
				t.Errorf("exit %d, %s\nwant %d, %s", code, &out, c.code, c.out)
			}
			if said := log.Len() > 0; said != (c.code == 1 || c.code == 2) {
				t.Errorf("on standard error: %q", &log)
			}
		})
	}
}

func TestConfirm(t *testing.T) {
	for _, c := range []struct {
		name          string
		typed         string
		terminal, yes bool
		want          bool
	}{
		{"yes", "y\n", true, false, true},
		{"Yes", " Yes \n", true, false, true},
		{"no", "n\n", true, false, false},
		{"nothing", "\n", true, false, false},
		{"end", "", true, false, false},
		{"--yes does not ask", "n\n", true, true, true},
		{"nobody there", "n\n", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			a := &app{in: bytes.NewBufferString(c.typed), err: &log, terminal: c.terminal, yes: c.yes}
			got, err := a.confirm("Sure?")
			if err != nil || got != c.want {
				t.Errorf("%v, %v", got, err)
			}
			if asked := log.Len() > 0; asked != (c.terminal && !c.yes) {
				t.Errorf("asked: %q", &log)
			}
		})
	}
}
