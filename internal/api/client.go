package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kula/ident"
	"kula/internal/run"
	"kula/money"
	"kula/node"
)

// Client calls a running node over its local API. It keeps nothing but the
// address and the token, so that any number of goroutines can share one. Every
// method answers with the node's own views, or with a *Refused, or with an error
// that wraps ErrUnreachable when nobody listens at the address.
type Client struct {
	base  string
	token string
	http  http.Client // no timeout: callers bound each call by its context
}

// ErrUnreachable: nothing listens at the node's address.
var ErrUnreachable = errors.New("the node does not answer")

// ErrBrokenOff: the node went away after it was asked. What it was asked to do it may have done.
var ErrBrokenOff = errors.New("the node went away before it answered")

// Refused is the node's answer when it does not do what was asked: a Problem as the
// caller reads it, whose code may be one that this version does not know.
type Refused struct {
	Status int              `json:"status"` // HTTP status
	Code   string           `json:"code"`   // name of a wire.Code
	Detail string           `json:"detail"` // why, for people
	Title  string           `json:"title"`
	Reason *node.ReasonView `json:"reason"` // figures, where there are some
}

func (r *Refused) Error() string {
	if r.Detail != "" {
		return r.Detail
	}
	return r.Title
}

// EndpointFile is the file in a node's home that says where it answers and
// lets its owner in. It is there exactly while the node runs (or after a crash).
const EndpointFile = "api.json"

// Endpoint is the content of EndpointFile.
type Endpoint struct {
	API   string `json:"api"`   // "http://127.0.0.1:4280"
	Token string `json:"token"` // the owner's
	Key   string `json:"key"`   // the node's identity, z-base-32
}

// ReadEndpoint reads the endpoint of the node whose home is given. If no node
// runs there the error is one that errors.Is fs.ErrNotExist.
func ReadEndpoint(home string) (Endpoint, error) {
	var e Endpoint
	data, err := os.ReadFile(filepath.Join(home, EndpointFile))
	if err != nil {
		return e, err
	}
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("%s: %w", filepath.Join(home, EndpointFile), err)
	}
	return e, nil
}

// NewClient returns a client for the node at base ("http://127.0.0.1:4280").
func NewClient(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token}
}

// maxAnswer bounds what is read of one answer: a page of 1,000 payments is about 2 MiB.
const maxAnswer = 64 << 20

// do sends one request; body and out may be nil, key is the Idempotency-Key or "".
func (c *Client) do(ctx context.Context, method, path string, query url.Values, key string, body, out any) error {
	resp, err := c.send(ctx, method, path, query, key, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *string:
		*out = string(data)
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	return nil
}

// send returns a response with a status below 300; anything else becomes an error.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, key string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(data)
	}
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w at %s", ErrUnreachable, c.base)
		}
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, ErrBrokenOff
		}
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp, method, path)
}

// refusal reads a problem+json answer.
func refusal(resp *http.Response, method, path string) error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what is missing of the text shows as a bad answer
	r := new(Refused)
	if err := json.Unmarshal(data, r); err != nil || (r.Title == "" && r.Detail == "") {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(data))
	}
	r.Status = resp.StatusCode
	return r
}

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	return c.do(ctx, http.MethodGet, path, query, "", nil, out)
}

func (c *Client) post(ctx context.Context, path, key string, body, out any) error {
	return c.do(ctx, http.MethodPost, path, nil, key, body, out)
}

// at is a path with one escaped element at the end.
func at(path, element string) string { return path + "/" + url.PathEscape(element) }

// waitQuery asks the node to answer only when something final happened or d has passed.
func waitQuery(d time.Duration) url.Values {
	if d <= 0 {
		return nil
	}
	return url.Values{"wait": {d.String()}}
}

// Page picks one page of a list: the zero Page is the first.
type Page struct {
	Cursor string // Next of the page before
	Limit  int    // items, 0 for the node's own choice
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	return q
}

// Who is an identity as the node shows itself.
type Who struct {
	Key       ident.ID `json:"key"`
	DID       string   `json:"did"`
	Peer      string   `json:"peer"`
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
}

// Identity asks who the node is.
func (c *Client) Identity(ctx context.Context) (*Who, error) {
	return result[Who](c.get, ctx, "/v1/identity", nil)
}

// result runs a get into a new value.
func result[T any](get func(context.Context, string, url.Values, any) error, ctx context.Context, path string, q url.Values) (*T, error) {
	v := new(T)
	if err := get(ctx, path, q, v); err != nil {
		return nil, err
	}
	return v, nil
}

// posted runs a post into a new value.
func posted[T any](c *Client, ctx context.Context, path, key string, body any) (*T, error) {
	v := new(T)
	if err := c.post(ctx, path, key, body, v); err != nil {
		return nil, err
	}
	return v, nil
}

// Friends lists all friends.
func (c *Client) Friends(ctx context.Context) ([]node.FriendView, error) {
	var list Friends
	err := c.get(ctx, "/v1/friends", nil, &list)
	return list.Friends, err
}

// Friend finds one by name, key or the beginning of a key.
func (c *Client) Friend(ctx context.Context, ref string) (*node.FriendView, error) {
	return result[node.FriendView](c.get, ctx, at("/v1/friends", ref), nil)
}

// Line is one currency of an invitation: what I give, and what I ask for.
type Line struct {
	Currency money.Currency `json:"currency"`
	Give     money.Value    `json:"give"`
	Ask      money.Value    `json:"ask"`
}

// Invite makes an invitation; expires is in unix seconds, 0 for the node's own choice.
func (c *Client) Invite(ctx context.Context, name string, lines []Line, expires int64) (*node.InvitationView, error) {
	body := map[string]any{"lines": lines}
	if name != "" {
		body["name"] = name
	}
	if expires != 0 {
		body["expires"] = expires
	}
	return posted[node.InvitationView](c, ctx, "/v1/invitations", "", body)
}

// AddFriend asks whoever has a key to be a friend; expires is in unix seconds, 0 for the node's own choice.
func (c *Client) AddFriend(ctx context.Context, key ident.ID, name string, lines []Line, expires int64) (*node.RequestView, error) {
	body := map[string]any{"key": key, "lines": lines}
	if name != "" {
		body["name"] = name
	}
	if expires != 0 {
		body["expires"] = expires
	}
	return posted[node.RequestView](c, ctx, "/v1/requests", "", body)
}

// Requests lists who asks to be a friend, and whom I asked.
func (c *Client) Requests(ctx context.Context) ([]node.RequestView, error) {
	var list Requests
	err := c.get(ctx, "/v1/requests", nil, &list)
	return list.Requests, err
}

// Decline forgets what a key asked, and what I asked it.
func (c *Client) Decline(ctx context.Context, key ident.ID) error {
	return c.do(ctx, http.MethodDelete, at("/v1/requests", key.String()), nil, "", nil, nil)
}

// Accept takes an invitation; give replaces the limits it asks for.
func (c *Client) Accept(ctx context.Context, uri, name string, give []money.Value) (*node.FriendView, error) {
	body := map[string]any{"uri": uri}
	if name != "" {
		body["name"] = name
	}
	if len(give) > 0 {
		body["give"] = give
	}
	return posted[node.FriendView](c, ctx, "/v1/friends", "", body)
}

// SetLimit changes what I let a friend owe.
func (c *Client) SetLimit(ctx context.Context, friend string, limit money.Value) (*node.FriendView, error) {
	v := new(node.FriendView)
	err := c.do(ctx, http.MethodPut, at("/v1/friends", friend)+"/limit", nil, "", map[string]any{"limit": limit}, v)
	return v, err
}

// SetFee changes what I charge a friend for carrying its payments.
func (c *Client) SetFee(ctx context.Context, friend string, currency money.Currency, fee money.Fee) (*node.FriendView, error) {
	v := new(node.FriendView)
	body := map[string]any{"currency": currency, "base": money.Value{Amount: fee.Base, Currency: currency}, "ppm": fee.Ppm}
	err := c.do(ctx, http.MethodPut, at("/v1/friends", friend)+"/fee", nil, "", body, v)
	return v, err
}

// Settle records that a friend repaid me outside Kula. key makes a repeated call harmless.
func (c *Client) Settle(ctx context.Context, key, friend string, amount money.Value, text string) (*node.FriendView, error) {
	body := map[string]any{"amount": amount, "text": text}
	return posted[node.FriendView](c, ctx, at("/v1/friends", friend)+"/settlements", key, body)
}

// Agree thaws a frozen channel on figures that both sides accept.
func (c *Client) Agree(ctx context.Context, friend string) (*node.FriendView, error) {
	return posted[node.FriendView](c, ctx, at("/v1/friends", friend)+"/agree", "", nil)
}

// Close stops new debt with a friend.
func (c *Client) Close(ctx context.Context, friend string) (*node.FriendView, error) {
	return posted[node.FriendView](c, ctx, at("/v1/friends", friend)+"/close", "", nil)
}

// Remove hides a friend.
func (c *Client) Remove(ctx context.Context, friend string, withDebt bool) (*node.FriendView, error) {
	body := map[string]any{"withDebt": withDebt}
	return posted[node.FriendView](c, ctx, at("/v1/friends", friend)+"/remove", "", body)
}

// Find tells the node where a friend, or a key that may know me, can be reached; name is what to call such a key, or empty.
func (c *Client) Find(ctx context.Context, ref, address, name string) (*node.FriendView, error) {
	body := map[string]any{"address": address, "name": name}
	return posted[node.FriendView](c, ctx, at("/v1/friends", ref)+"/addresses", "", body)
}

// Block refuses every session of a key from now on.
func (c *Client) Block(ctx context.Context, key ident.ID) error {
	return c.post(ctx, "/v1/blocks", "", map[string]any{"key": key}, nil)
}

// Unblock ends a Block.
func (c *Client) Unblock(ctx context.Context, key ident.ID) error {
	return c.do(ctx, http.MethodDelete, at("/v1/blocks", key.String()), nil, "", nil, nil)
}

// Servers are the servers of a kind in the order in which they are asked, and the user's list.
func (c *Client) Servers(ctx context.Context, kind run.Role) ([]ServerState, error) {
	var list Servers
	err := c.get(ctx, at("/v1/servers", string(kind)), nil, &list)
	return list.Servers, err
}

// JudgeServer trusts or blocks a server; addrs say where a trusted one is, none for where the node knows it.
func (c *Client) JudgeServer(ctx context.Context, kind run.Role, key ident.ID, trust run.Trust, addrs []string) (*ServerState, error) {
	v := new(ServerState)
	err := c.do(ctx, http.MethodPut, at(at("/v1/servers", string(kind)), key.String()), nil, "", map[string]any{"trust": trust, "addresses": list(addrs)}, v)
	return v, err
}

// ForgetServer ends a JudgeServer.
func (c *Client) ForgetServer(ctx context.Context, kind run.Role, key ident.ID) error {
	return c.do(ctx, http.MethodDelete, at(at("/v1/servers", string(kind)), key.String()), nil, "", nil, nil)
}

// Ask is an invoice wanted.
type Ask struct {
	Amount  money.Value `json:"amount"`
	Memo    string      `json:"memo,omitempty"`
	Expires int64       `json:"expires,omitempty"` // unix seconds
	Hold    bool        `json:"hold,omitempty"`
}

// CreateInvoice asks for a payment.
func (c *Client) CreateInvoice(ctx context.Context, ask Ask) (*node.InvoiceView, error) {
	return posted[node.InvoiceView](c, ctx, "/v1/invoices", "", ask)
}

// Invoices lists invoices, newest first; next is the cursor of the next page or "".
func (c *Client) Invoices(ctx context.Context, p Page) (list []node.InvoiceView, next string, err error) {
	var page Invoices
	err = c.get(ctx, "/v1/invoices", p.query(), &page)
	return page.Invoices, page.Next, err
}

// Invoice shows one; it waits up to wait for it to leave the state open.
func (c *Client) Invoice(ctx context.Context, id string, wait time.Duration) (*node.InvoiceView, error) {
	return result[node.InvoiceView](c.get, ctx, at("/v1/invoices", id), waitQuery(wait))
}

// CancelInvoice gives an invoice up, and what is locked for it.
func (c *Client) CancelInvoice(ctx context.Context, id string) (*node.InvoiceView, error) {
	return posted[node.InvoiceView](c, ctx, at("/v1/invoices", id)+"/cancel", "", nil)
}

// Redeem collects a hold with the payer's release.
func (c *Client) Redeem(ctx context.Context, key, release string) (*node.InvoiceView, error) {
	return posted[node.InvoiceView](c, ctx, "/v1/redemptions", key, map[string]any{"release": release})
}

// Order is a payment wanted: an invoice, or an amount to somebody.
type Order struct {
	Invoice  string       `json:"invoice,omitempty"`
	To       string       `json:"to,omitempty"`
	Amount   *money.Value `json:"amount,omitempty"`
	MaxFee   *money.Value `json:"maxFee,omitempty"` // nil: none without consent
	Route    []string     `json:"route,omitempty"`
	MaxParts int          `json:"maxParts,omitempty"` // 0: 8
	GiveUpMs int64        `json:"giveUpMs,omitempty"`
	WaitMs   int64        `json:"waitMs,omitempty"`
	Text     string       `json:"text,omitempty"`
}

// Pay pays. key makes a repeated call harmless.
func (c *Client) Pay(ctx context.Context, key string, o Order) (*node.PaymentView, error) {
	return posted[node.PaymentView](c, ctx, "/v1/payments", key, o)
}

// Quote says what a payment would take, or without an amount how much it could be.
func (c *Client) Quote(ctx context.Context, o Order) (*node.QuoteView, error) {
	return posted[node.QuoteView](c, ctx, "/v1/quotes", "", o)
}

// Payments lists payments, newest first; next is the cursor of the next page or "".
func (c *Client) Payments(ctx context.Context, p Page) (list []node.PaymentView, next string, err error) {
	var page Payments
	err = c.get(ctx, "/v1/payments", p.query(), &page)
	return page.Payments, page.Next, err
}

// Payment shows one; it waits up to wait for it to be paid, held or returned.
func (c *Client) Payment(ctx context.Context, id string, wait time.Duration) (*node.PaymentView, error) {
	return result[node.PaymentView](c.get, ctx, at("/v1/payments", id), waitQuery(wait))
}

// Release lets the payee of a hold have it.
func (c *Client) Release(ctx context.Context, key, id string) (*node.PaymentView, error) {
	return posted[node.PaymentView](c, ctx, at("/v1/payments", id)+"/release", key, nil)
}

// CancelPayment asks the payee to cancel.
func (c *Client) CancelPayment(ctx context.Context, id string) (*node.PaymentView, error) {
	return posted[node.PaymentView](c, ctx, at("/v1/payments", id)+"/cancel", "", nil)
}

// Balances gives one figure per currency over all friends.
func (c *Client) Balances(ctx context.Context) ([]node.BalanceView, error) {
	var list Balances
	err := c.get(ctx, "/v1/balances", nil, &list)
	return list.Balances, err
}

// Currencies lists all currencies the node knows.
func (c *Client) Currencies(ctx context.Context) ([]money.Currency, error) {
	var list Currencies
	err := c.get(ctx, "/v1/currencies", nil, &list)
	return list.Currencies, err
}

// Proofs are what can be shown to others about a friend, as links.
type Proofs struct {
	Proof  string   `json:"proof"`            // the newest statements of both
	Faults []string `json:"faults,omitempty"` // evidence that the friend broke a rule, one for each time that stopped the account
}

// Proofs gives what a friend's debt, and a fault if there was one, can be proved with.
func (c *Client) Proofs(ctx context.Context, ref string) (*Proofs, error) {
	return result[Proofs](c.get, ctx, at("/v1/proofs", ref), nil)
}

// Proof gives the newest statements of both alone.
func (c *Client) Proof(ctx context.Context, ref string) (string, error) {
	p, err := c.Proofs(ctx, ref)
	if err != nil {
		return "", err
	}
	return p.Proof, nil
}

// Announced says whether index servers have all of the node's announcements; it
// waits up to wait for that.
func (c *Client) Announced(ctx context.Context, wait time.Duration) (bool, error) {
	a, err := c.Announcement(ctx, wait)
	if err != nil {
		return false, err
	}
	return a.Announced, nil
}

// Announcement is Announced with each index server; with none it does not wait.
func (c *Client) Announcement(ctx context.Context, wait time.Duration) (*Announced, error) {
	return result[Announced](c.get, ctx, "/v1/announced", waitQuery(wait))
}

// BookRow is one change of one balance in the account book.
type BookRow struct {
	Seq          uint64       `json:"seq"`
	Time         int64        `json:"time"` // unix milliseconds
	Kind         node.RowKind `json:"kind"`
	Friend       string       `json:"friend"`       // key of the friend whose balance changed
	Counterparty string       `json:"counterparty"` // key of who paid or was paid, "" if unknown
	Name         string       `json:"name"`         // what the counterparty was called then
	Text         string       `json:"text"`
	Change       money.Value  `json:"change"`  // above zero: the friend owes me more
	Balance      money.Value  `json:"balance"` // with the friend, after the change
	Payment      string       `json:"payment"`
	Fee          money.Value  `json:"fee"`
}

// BookQuery picks rows of the book; the zero query picks them all.
type BookQuery struct {
	Page
	Search   string
	Currency string // in full
	Friend   string
}

// Book lists rows, newest first; next is the cursor of the next page or "".
func (c *Client) Book(ctx context.Context, q BookQuery) (rows []BookRow, next string, err error) {
	var page Book
	values := q.query()
	for name, value := range map[string]string{"search": q.Search, "currency": q.Currency, "friend": q.Friend} {
		if value != "" {
			values.Set(name, value)
		}
	}
	err = c.get(ctx, "/v1/book", values, &page)
	return page.Rows, page.Next, err
}

// Verified is what a check of the whole book found.
type Verified struct {
	Valid    bool     `json:"valid"`
	Rows     int64    `json:"rows"`
	Problems []string `json:"problems"`
}

// VerifyBook checks that the rows follow each other and add up to what friends owe.
func (c *Client) VerifyBook(ctx context.Context) (*Verified, error) {
	return result[Verified](c.get, ctx, "/v1/book/verify", nil)
}

// ExportBook gives the whole book as text; format is hledger or csv.
func (c *Client) ExportBook(ctx context.Context, format string) (string, error) {
	var text string
	err := c.get(ctx, "/v1/book/export", url.Values{"format": {format}}, &text)
	return text, err
}

// TokenView is a token of the local API. Token itself is there only once, when it is made.
type TokenView struct {
	ID      string   `json:"id"`
	Token   string   `json:"token,omitempty"`
	Name    string   `json:"name,omitempty"`
	Scope   []string `json:"scope"`
	Created int64    `json:"created,omitempty"` // unix seconds
}

// CreateToken makes a token that may do no more than its scope says.
func (c *Client) CreateToken(ctx context.Context, name string, scope []string) (*TokenView, error) {
	body := map[string]any{"scope": scope}
	if name != "" {
		body["name"] = name
	}
	return posted[TokenView](c, ctx, "/v1/tokens", "", body)
}

// Tokens lists all tokens but the owner's, with what they have paid.
func (c *Client) Tokens(ctx context.Context) ([]TokenState, error) {
	var list TokenList
	err := c.get(ctx, "/v1/tokens", nil, &list)
	return list.Tokens, err
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, at("/v1/tokens", id), nil, "", nil, nil)
}

// Backup gives the heads of all channels, sealed to the node's identity.
func (c *Client) Backup(ctx context.Context) ([]byte, error) {
	var text string
	err := c.get(ctx, "/v1/backup", nil, &text)
	return []byte(text), err
}

// Event is one server-sent event: something changed.
type Event struct {
	Kind string // friend, payment, invoice …
	Data []byte // JSON
}

// Events subscribes to everything that changes. It returns when the subscription
// stands, so that a state read afterwards misses nothing; the channel ends when
// ctx does or the node stops.
func (c *Client) Events(ctx context.Context) (<-chan Event, error) {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil, "", nil)
	if err != nil {
		return nil, err
	}
	events := make(chan Event)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		var e Event
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20) // a payment with its receipt is a few KiB
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ":")
			value = strings.TrimPrefix(value, " ")
			switch {
			case field == "event":
				e.Kind = value
			case field == "data":
				e.Data = append(e.Data, value...)
			case lines.Text() == "" && len(e.Data) > 0: // an empty line ends an event; ":…" is a comment
				select {
				case events <- e:
				case <-ctx.Done():
					return
				}
				e = Event{}
			}
		}
	}()
	return events, nil
}
