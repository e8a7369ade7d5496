package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"kula/internal/api"
	"kula/node"
	"kula/wire"
)

// The exit codes; see the package comment.
const (
	exitDone    = 0
	exitFailed  = 1
	exitWrong   = 2
	exitWaiting = 3
)

// errWaiting: the result was printed, and it is not final.
var errWaiting = errors.New("still waiting")

// usage is a mistake in how the program was called.
type usage struct{ text string }

func (u *usage) Error() string { return u.text }

func wrong(format string, args ...any) error { return &usage{fmt.Sprintf(format, args...)} }

// failure is a refusal, or something that went wrong.
type failure struct {
	code   string // name of a wire.Code, or "failed"
	text   string // a sentence that says what to do next
	reason *node.ReasonView
	result any // the object to print, whose member "error" is added; nil for none
}

func (f *failure) Error() string { return f.text }

func refuse(code wire.Code, format string, args ...any) error {
	return &failure{code: code.String(), text: fmt.Sprintf(format, args...)}
}

// errorView is the member "error" of every object printed at exit 1.
type errorView struct {
	Code   string           `json:"code"`
	Text   string           `json:"text"`
	Reason *node.ReasonView `json:"reason,omitempty"`
}

// codeFailed is the code of an error that has no number: a file, a socket, a damaged answer.
const codeFailed = "failed"

// failed gives any error of a command its final kind.
func failed(err error) error {
	var f *failure
	var u *usage
	var r *api.Refused
	switch {
	case errors.Is(err, errWaiting), errors.As(err, &f), errors.As(err, &u):
		return err
	case err == nil:
		return nil
	case errors.As(err, &r):
		if r.Code == wire.BadRequest.String() {
			return wrong("%s", r.Error())
		}
		return &failure{code: r.Code, text: r.Error(), reason: r.Reason}
	case errors.Is(err, api.ErrUnreachable):
		return refuse(wire.NodeNotRunning, "%v. Start it with: kula up", err)
	case errors.Is(err, api.ErrBrokenOff):
		return &failure{code: codeFailed, text: "the node went away before it answered, so what you asked for may be done, a payment on its way. Start the node (kula up) and look (kula payment list) before you ask again"}
	case errors.Is(err, context.Canceled):
		return &failure{code: codeFailed, text: "stopped before it was done"}
	}
	return &failure{code: codeFailed, text: err.Error()}
}

// printFailure prints the sentence and, with --json, the object.
func (a *app) printFailure(f *failure) {
	if a.json {
		a.printJSON(merge(f.result, &errorView{f.code, f.text, f.reason}))
	}
	a.complain(f.text)
}

// merge adds the member "error" to an object, at its end.
func merge(object any, e *errorView) any {
	tail, err := json.Marshal(struct {
		Error *errorView `json:"error"`
	}{e})
	if err != nil {
		panic(fmt.Sprintf("cli: an error cannot be written as JSON: %v", err))
	}
	if object == nil {
		return json.RawMessage(tail)
	}
	head, err := json.Marshal(object)
	if err != nil || len(head) < 2 || head[0] != '{' {
		return json.RawMessage(tail)
	}
	if len(head) == 2 {
		return json.RawMessage(tail)
	}
	head[len(head)-1] = ','
	return json.RawMessage(append(head, tail[1:]...))
}

// complain prints a sentence for people.
func (a *app) complain(text string) {
	text = strings.TrimRight(text, " \n")
	if !strings.HasSuffix(text, ".") && !strings.HasSuffix(text, "?") && !strings.Contains(text, "\n") && !strings.Contains(text, ": kula ") {
		text += "."
	}
	fmt.Fprintf(a.err, "kula: %s\n", text)
}

// unreachable says that no node answers: none runs, or it crashed.
func unreachable(err error) bool {
	var f *failure
	return errors.Is(err, api.ErrUnreachable) || errors.As(err, &f) && f.code == wire.NodeNotRunning.String()
}
