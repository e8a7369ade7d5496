package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kula/money"
)

// scope is what a token may do.
type scope struct {
	read, ask, configure bool
	limits               []limit
}

// limit is one pay scope: at most value in each period.
type limit struct {
	value  money.Value
	period period
}

// period is what a limit counts over.
type period string

const (
	daily   period = "day"
	weekly  period = "week"
	monthly period = "month"
	yearly  period = "year"
)

var periods = []period{daily, weekly, monthly, yearly}

// maxLimits bounds the pay scopes of one token: each is counted at every payment.
const maxLimits = 16

// start is when the period that t lies in began, in unix seconds (UTC; a week begins
// on Monday).
func (p period) start(t time.Time) int64 {
	t = t.UTC()
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	switch p {
	case weekly:
		day = day.AddDate(0, 0, -(int(t.Weekday())+6)%7)
	case monthly:
		day = day.AddDate(0, 0, 1-t.Day())
	case yearly:
		day = time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return day.Unix()
}

// String is the one spelling of a limit, e.g. "pay=50.00EUR/2/day".
func (l limit) String() string {
	number, _, _ := strings.Cut(l.value.String(), " ")
	return "pay=" + number + string(l.value.Currency) + "/" + string(l.period)
}

// words are the scope as it was given, each in its one spelling.
func (s *scope) words() []string {
	var list []string
	for _, w := range []struct {
		on   bool
		word string
	}{{s.read, "read"}, {s.ask, "ask"}, {s.configure, "configure"}} {
		if w.on {
			list = append(list, w.word)
		}
	}
	for _, l := range s.limits {
		list = append(list, l.String())
	}
	return list
}

// parseScope reads the words of a scope. known finds the currencies with a code.
func parseScope(words []string, known func(code string) []money.Currency) (scope, error) {
	var s scope
	for _, w := range words {
		amount, pays := strings.CutPrefix(w, "pay=")
		switch {
		case w == "read":
			s.read = true
		case w == "ask":
			s.ask = true
		case w == "configure":
			s.configure = true
		case pays:
			l, err := parseLimit(amount, known)
			if err != nil {
				return scope{}, fmt.Errorf("scope %q: %w", w, err)
			}
			s.limits = append(s.limits, l)
		default:
			return scope{}, fmt.Errorf("scope %q: write read, ask, configure, or pay=AMOUNT as in pay=50EUR/day", w)
		}
	}
	if len(words) == 0 {
		return scope{}, fmt.Errorf("a token without a scope could do nothing: give read, ask, configure, or pay=AMOUNT as in pay=50EUR/day")
	}
	if len(s.limits) > maxLimits {
		return scope{}, fmt.Errorf("%d pay scopes, at most %d", len(s.limits), maxLimits)
	}
	return s, nil
}

func parseLimit(text string, known func(string) []money.Currency) (limit, error) {
	l := limit{period: daily}
	if at := strings.LastIndexByte(text, '/'); at >= 0 && slices.Contains(periods, period(text[at+1:])) {
		text, l.period = text[:at], period(text[at+1:])
	}
	var err error
	if l.value, err = money.Parse(text, false, known); err != nil {
		return limit{}, err
	}
	if l.value.Amount <= 0 {
		return limit{}, fmt.Errorf("a limit of %s allows nothing", l.value)
	}
	return l, nil
}
