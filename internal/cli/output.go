package cli

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/skip2/go-qrcode"
)

// print writes a result: the object with --json, the text otherwise.
func (a *app) print(object any, text string) {
	if a.json {
		a.printJSON(object)
		return
	}
	fmt.Fprintln(a.out, strings.TrimRight(text, "\n"))
}

// printJSON writes one object on one line. It is not escaped for HTML: links are
// to be copied as they are.
func (a *app) printJSON(object any) {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	if err := e.Encode(object); err != nil {
		a.complain(fmt.Sprintf("the result cannot be written: %v", err))
	}
}

// note writes what is no result: progress, advice.
func (a *app) note(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }

// qr draws a link as a QR code of half blocks for a terminal. Links too long for
// a code of 2,331 bytes, the most at this level of correction, give "".
func qr(link string) string {
	// Medium: 15 % of the code may be unreadable, enough for a screen, and smaller than the higher levels.
	code, err := qrcode.New(link, qrcode.Medium)
	if err != nil {
		return ""
	}
	return code.ToSmallString(false)
}

// newKey is a fresh Idempotency-Key: 128 random bits.
func newKey() string { return rand.Text() }

// confirm asks a yes-or-no question. Without a terminal, or with --yes, the
// answer is yes: the commands that need more than that ask consentToFee.
func (a *app) confirm(question string) (bool, error) {
	if a.yes || !a.terminal {
		return true, nil
	}
	fmt.Fprintf(a.err, "%s [y/N] ", question)
	line, err := readLine(a.in)
	if err != nil {
		return false, err
	}
	line = strings.ToLower(strings.TrimSpace(line))
	return line == "y" || line == "yes", nil
}

// readLine reads up to a line end and not a byte further.
func readLine(r io.Reader) (string, error) {
	var line []byte
	var b [1]byte
	for {
		n, err := r.Read(b[:])
		if n == 1 {
			if b[0] == '\n' {
				return string(line), nil
			}
			line = append(line, b[0])
			continue
		}
		if err == io.EOF {
			return string(line), nil
		}
		if err != nil {
			return "", err
		}
	}
}
