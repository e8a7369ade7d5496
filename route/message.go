package route

import (
	"strings"

	"kula/ident"
	"kula/money"
	"kula/wire"
)

const (
	// Version of these messages. A node leaves an index server of another version alone.
	Version = 5
	// MaxPublish is how many announcements one message carries: at their largest
	// they fill two fifths of a message.
	MaxPublish = 100
	// MaxFeedBytes is how much of a log a Feed carries, and MaxFeed how many announcements: some 1,300 as most nodes sign them, so that
	// over a round trip of a tenth of a second a follower reads 13,000 a second. The server holds one for each follower that does not read it.
	MaxFeedBytes = 384 << 10
	MaxFeed      = 3000
	// MaxMessage bounds a message in bytes: the largest is a request with four
	// full lists, 400 KiB.
	MaxMessage = 1 << 20
)

// Kind is the first byte of a message.
type Kind uint8

// The kinds, append-only.
const (
	KindPing          Kind = 1
	KindPong          Kind = 2
	KindPublish       Kind = 3
	KindPublishResult Kind = 4
	KindQuery         Kind = 5
	KindAnswer        Kind = 6
	KindFollow        Kind = 7
	KindFeed          Kind = 8
)

// Message is one of the structs below, by pointer.
type Message interface {
	Kind() Kind
	check() error
}

// Ping asks whether anybody is there.
type Ping struct {
	_       struct{} `cbor:",toarray"`
	Version uint32
}

// Pong answers a Ping.
type Pong struct {
	_        struct{} `cbor:",toarray"`
	Version  uint32
	Instance uint64 // of the graph: another one if the server may have forgotten anything that it confirmed; 0 is none
	Full     bool   // places grow scarce, and the asker has asked for nothing lately: it might leave
}

// Publish hands announcements in.
type Publish struct {
	_             struct{} `cbor:",toarray"`
	Announcements []wire.Batched
}

// PublishResult answers a Publish. What is not a problem was accepted, or was known already.
type PublishResult struct {
	_        struct{} `cbor:",toarray"`
	Accepted uint32
	Problems []Problem // by Place, ascending
}

// Problem is the refusal of one announcement.
type Problem struct {
	_     struct{} `cbor:",toarray"`
	Place uint32   // in Publish.Announcements, from 0
	Code  wire.Code
	Text  string
}

// Query asks for a route: the cheapest for Request.Amount; or with UpTo that for
// the largest amount; or with Hops the price of that one; or with Any some route, which costs the
// server a tenth. At most one of the three is set.
type Query struct {
	_       struct{} `cbor:",toarray"`
	Request Request
	UpTo    bool
	Hops    []ident.ID // every node after the payer
	Any     bool
}

// Answer answers a Query.
type Answer struct {
	_       struct{}     `cbor:",toarray"`
	Code    wire.Code    // wire.CodeNone if there are routes
	Text    string       // why not
	Fee     money.Amount // of Refusal
	Proved  bool         // of Refusal; of routes for an amount: nothing costs less
	Routes  []Route      // one per part; none if there is a code
	Unknown []uint32     // of Priced, ascending
	Short   []uint32     // of Priced, ascending
}

// Refusal in the answer, nil if there are routes.
func (a *Answer) Refusal() *Refusal {
	if a.Code == wire.CodeNone {
		return nil
	}
	return &Refusal{Code: a.Code, Text: a.Text, Fee: a.Fee, Proved: a.Proved}
}

// Outcome is what an answer comes to.
type Outcome uint8

// The outcomes (rule R13).
const (
	OutcomeRefused     Outcome = iota // the query was wrong in itself; Code and Text say how
	OutcomeRoutes                     // Routes carry it
	OutcomeImpossible                 // nothing can carry it: proved
	OutcomeNotFound                   // nothing was found that carries it
	OutcomeFeeAboveMax                // what was found costs Fee, above MaxFee; if Proved nothing costs less
)

// String names an outcome as scripts read it.
func (o Outcome) String() string {
	return [...]string{"refused", "routes", "impossible", "not_found", "fee_above_max"}[o]
}

// Outcome of an answer.
func (a *Answer) Outcome() Outcome {
	switch {
	case a.Code == wire.CodeNone:
		return OutcomeRoutes
	case a.Code == wire.NoRoute && a.Proved:
		return OutcomeImpossible
	case a.Code == wire.NoRoute:
		return OutcomeNotFound
	case a.Code == wire.FeeAboveMax:
		return OutcomeFeeAboveMax
	}
	return OutcomeRefused
}

// Follow asks for announcements as they were accepted, from a place in the server's log on. If the server's log has something else before
// that place than it had, or is another, it begins with the first of all.
type Follow struct {
	_     struct{} `cbor:",toarray"`
	Epoch uint64   // of the log that After is a place in; 0 at first
	After uint64   // 0 at first, then Feed.Next
	Sum   uint32   // 0 at first, then Feed.Sum
	Peer  bool     // for an index server of its own, which only those answer that name it
}

// Feed answers a Follow, with nothing new if Next is After.
type Feed struct {
	_             struct{}  `cbor:",toarray"`
	Code          wire.Code // wire.CodeNone, or why there is no feed
	Text          string
	Epoch         uint64
	Next          uint64
	Sum           uint32         // of all that the log has before Next
	More          bool           // the log goes on after Next
	Announcements []wire.Batched // byte for byte as their nodes signed them
}

// Kind of each message.
func (*Ping) Kind() Kind          { return KindPing }
func (*Pong) Kind() Kind          { return KindPong }
func (*Publish) Kind() Kind       { return KindPublish }
func (*PublishResult) Kind() Kind { return KindPublishResult }
func (*Query) Kind() Kind         { return KindQuery }
func (*Answer) Kind() Kind        { return KindAnswer }
func (*Follow) Kind() Kind        { return KindFollow }
func (*Feed) Kind() Kind          { return KindFeed }

// EncodeMessage gives a message its bytes.
func EncodeMessage(m Message) []byte { return append([]byte{byte(m.Kind())}, wire.Marshal(m)...) }

// DecodeMessage reads one message and checks its form. Signatures in it are not
// verified. Errors wrap wire.ErrForm or are of type *Refusal.
func DecodeMessage(data []byte) (Message, error) {
	if len(data) == 0 || len(data) > MaxMessage {
		return nil, refuse(wire.BadRequest, "message of %d bytes, must be 1 to %d", len(data), MaxMessage)
	}
	m := blank(Kind(data[0]))
	if m == nil {
		return nil, refuse(wire.WrongVersion, "message of unknown kind %d; this is version %d", data[0], Version)
	}
	if err := wire.Unmarshal(data[1:], m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

func blank(k Kind) Message {
	switch k {
	case KindPing:
		return new(Ping)
	case KindPong:
		return new(Pong)
	case KindPublish:
		return new(Publish)
	case KindPublishResult:
		return new(PublishResult)
	case KindQuery:
		return new(Query)
	case KindAnswer:
		return new(Answer)
	case KindFollow:
		return new(Follow)
	case KindFeed:
		return new(Feed)
	}
	return nil
}

func (*Ping) check() error   { return nil }
func (*Pong) check() error   { return nil }
func (*Follow) check() error { return nil }

func (f *Feed) check() error {
	if err := checkText(f.Text); err != nil {
		return err
	}
	return checkSigned(f.Announcements, MaxFeed)
}

func (p *Publish) check() error { return checkSigned(p.Announcements, MaxPublish) }

func checkSigned(list []wire.Batched, most int) error {
	if len(list) > most {
		return refuse(wire.BadRequest, "%d announcements in a message, at most %d", len(list), most)
	}
	for i := range list {
		s := &list[i]
		if len(s.Body) > MaxAnnouncement {
			return refuse(wire.BadRequest, "announcement of %d bytes, at most %d", len(s.Body), MaxAnnouncement)
		}
		if err := wire.Check(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *PublishResult) check() error {
	if len(p.Problems) > MaxPublish || p.Accepted > MaxPublish {
		return refuse(wire.BadRequest, "%d accepted and %d problems, at most %d", p.Accepted, len(p.Problems), MaxPublish)
	}
	for i, q := range p.Problems {
		if q.Place >= MaxPublish || i > 0 && q.Place <= p.Problems[i-1].Place || q.Code == wire.CodeNone {
			return refuse(wire.BadRequest, "problem %d names announcement %d with code %d", i, q.Place, q.Code)
		}
		if err := checkText(q.Text); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) check() error {
	if q.UpTo && len(q.Hops) > 0 || q.Any && (q.UpTo || len(q.Hops) > 0) {
		return refuse(wire.BadRequest, "query for the largest amount: %v, for any route: %v, with %d hops given; only one can be", q.UpTo, q.Any, len(q.Hops))
	}
	if len(q.Hops) > MaxHops {
		return refuse(wire.BadRequest, "route of %d channels, at most %d", len(q.Hops), MaxHops)
	}
	if q.UpTo {
		return q.Request.Check()
	}
	return q.Request.checkAmount()
}

func (a *Answer) check() error {
	if len(a.Routes) > MaxParts || (len(a.Routes) > 0) != (a.Code == wire.CodeNone) {
		return refuse(wire.BadRequest, "answer %q with %d routes, at most %d", a.Code, len(a.Routes), MaxParts)
	}
	for _, q := range a.Routes {
		if err := q.check(); err != nil {
			return err
		}
	}
	n := 0
	if len(a.Routes) == 1 {
		n = len(a.Routes[0].Hops)
	}
	for _, list := range [][]uint32{a.Unknown, a.Short} {
		for i, place := range list {
			if int(place) >= n || i > 0 && place <= list[i-1] {
				return refuse(wire.BadRequest, "answer points to channel %d of %d, or twice", place, n)
			}
		}
	}
	return checkText(a.Text)
}

func checkText(s string) error {
	if err := wire.CleanText(s, wire.MaxText); err != nil {
		return refuse(wire.BadRequest, "%v", err)
	}
	return nil
}

// Publish verifies announcements with suite and applies them, in order; now is in
// unix seconds. One that is refused does not stop the others.
func (g *Graph) Publish(suite ident.Suite, p *Publish, now int64) *PublishResult {
	result := &PublishResult{}
	for i, s := range p.Announcements {
		a, err := Open(suite, s)
		if err == nil {
			_, err = g.Apply(a, now)
		}
		if err == nil {
			result.Accepted++
			continue
		}
		r := RefusalOf(err)
		result.Problems = append(result.Problems, Problem{Place: uint32(i), Code: r.Code, Text: fit(r.Text)})
	}
	return result
}

// Answer searches what a query asks for.
func (f *Finder) Answer(q *Query) *Answer {
	var a Answer
	var p Priced
	var err error
	switch {
	case q.UpTo:
		a.Routes, err = f.Most(q.Request)
	case len(q.Hops) > 0:
		p, err = f.g.Price(q.Request, q.Hops)
	case q.Any:
		a.Routes, err = f.some(q.Request)
	default:
		a.Routes, err = f.Search(q.Request)
		a.Proved = err == nil && f.Proved()
	}
	if err != nil {
		r := RefusalOf(err)
		return &Answer{Code: r.Code, Text: fit(r.Text), Fee: r.Fee, Proved: r.Proved}
	}
	if a.Routes == nil {
		a = Answer{Routes: []Route{p.Route}, Unknown: p.Unknown, Short: p.Short}
	}
	return &a
}

// fit makes a text one that checkText accepts. A decoder's error may quote what a
// stranger wrote.
func fit(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), wire.MaxText)], "")
	if checkText(s) != nil {
		return "malformed"
	}
	return s
}
