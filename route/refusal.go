package route

import (
	"errors"
	"fmt"

	"kula/money"
	"kula/wire"
)

// Refusal is a numbered no: to an announcement, to a request, or to the wish for a
// route.
type Refusal struct {
	Code wire.Code
	Text string       // what stood in the way, with the numbers, for people
	Fee  money.Amount // with the code fee_above_max: that of the cheapest routes found

	// Proved, with the code no_route, says that nothing can carry the amount, and with
	// fee_above_max that nothing costs less; otherwise nothing better was found.
	Proved bool
}

// Error is the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(code wire.Code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Text: fmt.Sprintf(format, args...)}
}

// RefusalOf gives the refusal in an error of this package; an error without one is
// malformed input, so bad_request.
func RefusalOf(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return &Refusal{Code: wire.BadRequest, Text: err.Error()}
}
