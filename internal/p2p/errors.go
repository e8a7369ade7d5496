package p2p

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

// Why a session, a stream or a dial ended, from our side. errors.Is finds them.
var (
	ErrReplaced  = errors.New("replaced by a newer session")
	ErrDuplicate = errors.New("a session with this identity is already open")
	ErrOverflow  = errors.New("the other side reads too slowly: send queue full")
	ErrSlow      = errors.New("the other side stopped reading")
	ErrSilent    = errors.New("the connection is dead: no answer to a keep-alive")
	ErrIdle      = errors.New("no whole frame within the time allowed")
	ErrDropped   = errors.New("closed by this node")
	ErrClosed    = errors.New("the host is closed")
	ErrBlocked   = errors.New("this identity is blocked")
	ErrDemoted   = errors.New("this identity is no longer a friend")
	ErrUnknown   = errors.New("no such session")
	ErrStale     = errors.New("an older session choice came late")
	ErrGone      = errors.New("the other side closed the stream")
	ErrNotAsked  = errors.New("not asked yet")
	ErrRefused   = errors.New("no room for another connection")
)

// Close codes cross the wire as stream reset codes, append-only.
const (
	codeNone network.StreamErrorCode = 0x4b00 + iota
	codeReplaced
	codeDuplicate
	codeFrame
	codeSlow
	codeIdle
	codeDropped
	codeShutdown
	codeDemoted
	codeStale
	codeOpening
	codeBusy
)

// codeTexts says what a close code from the other side means.
var codeTexts = map[network.StreamErrorCode]string{
	codeReplaced:  "a newer session replaced this one",
	codeDuplicate: "a session is already open",
	codeFrame:     "it refused a frame of ours (size or number)",
	codeSlow:      "we read too slowly",
	codeIdle:      "we sent no whole frame in time",
	codeDropped:   "it dropped the session",
	codeShutdown:  "it is shutting down",
	codeDemoted:   "it does not count us as a friend",
	codeStale:     "our choice of session came late",
	codeOpening:   "the opening frames were wrong",
	codeBusy:      "it has no room for another stream",
}

// RemoteError is a close code from the other side, in words.
type RemoteError struct{ Code uint32 }

func (e *RemoteError) Error() string {
	if t, ok := codeTexts[network.StreamErrorCode(e.Code)]; ok {
		return "closed by the other side: " + t
	}
	return fmt.Sprintf("closed by the other side (code 0x%x)", e.Code)
}

// codeFor returns the close code that tells the other side about err.
func codeFor(err error) network.StreamErrorCode {
	var fe *FrameError
	switch {
	case errors.As(err, &fe):
		return codeFrame
	case errors.Is(err, ErrReplaced):
		return codeReplaced
	case errors.Is(err, ErrDuplicate):
		return codeDuplicate
	case errors.Is(err, ErrOverflow), errors.Is(err, ErrSlow):
		return codeSlow
	case errors.Is(err, ErrIdle):
		return codeIdle
	case errors.Is(err, ErrClosed):
		return codeShutdown
	case errors.Is(err, ErrDemoted), errors.Is(err, ErrBlocked):
		return codeDemoted
	case errors.Is(err, ErrStale):
		return codeStale
	case errors.Is(err, ErrDropped):
		return codeDropped
	default:
		return codeNone
	}
}

// readable turns what a stream's Read or Write said into an error in words.
func readable(err error, timeout error) error {
	var se *network.StreamError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &se) && se.Remote:
		return &RemoteError{Code: uint32(se.ErrorCode)}
	case errors.Is(err, io.EOF):
		return ErrGone
	case isTimeout(err):
		return timeout
	default:
		return err
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}

// DialError says why no address of an identity led to it.
type DialError struct {
	Addrs []AddrError // one per address that was tried
	Cause error       // the reason if there is no address to blame
}

// AddrError is what happened at one address.
type AddrError struct {
	Addr string
	Err  error
}

func (e *DialError) Error() string {
	if len(e.Addrs) == 0 {
		return fmt.Sprintf("cannot dial: %v", e.Cause)
	}
	s := "cannot dial"
	for i, a := range e.Addrs {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		s += fmt.Sprintf("%s%s: %v", sep, a.Addr, a.Err)
	}
	return s
}

func (e *DialError) Unwrap() error { return e.Cause }

// dialError rewrites the swarm's error, which spreads over several lines.
func dialError(err error) error {
	var de *swarm.DialError
	if !errors.As(err, &de) {
		return &DialError{Cause: err}
	}
	out := &DialError{Cause: de.Cause}
	for _, t := range de.DialErrors {
		out.Addrs = append(out.Addrs, AddrError{Addr: t.Address.String(), Err: t.Cause})
	}
	return out
}
