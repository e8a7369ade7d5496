package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"kula/internal/store"
	"kula/node"
)

// The kinds of record that the API keeps beside node.KindToken.
const (
	kindSpent = "token-spent" // key: token id / place of the limit; what was paid in its period
	kindHold  = "token-hold"  // key: payment id; what is set aside
	kindOwn   = "token-own"   // key: payment or invoice id; the token that made it
)

// ownerID stands for the owner's token where others have their id.
const ownerID = "owner"

// Store is what the API needs of a store; *store.DB and *store.Memory have it.
type Store interface {
	Load(kinds ...string) iter.Seq2[node.Record, error]
	Get(kind, key string) ([]byte, bool, error)
	List(kind, afterKey string, limit int, reverse bool) ([]node.Record, error)
	Rows(q store.Query) ([]node.Row, uint64, error)
	Book() iter.Seq2[node.Row, error]
	Commit(records []node.Record, rows []node.Row) error
}

// Tokens are who may call the API and what they have paid, and the answers kept for
// Idempotency-Keys. They are a run.Companion: give them to run.Start and to New.
type Tokens struct {
	store   Store
	answers answers

	mu     sync.RWMutex
	byHash map[[32]byte]*token
	byID   map[string]*token

	holds  map[string]*hold  // by payment id; the loop's goroutine only
	asking map[string]*token // who asked to pay an invoice and has no outcome yet, by its id; likewise
}

// token is one token. Its accounts belong to the loop's goroutine.
type token struct {
	id, name string
	created  int64 // unix seconds
	hash     [32]byte
	owner    bool
	scope    scope
	accounts []account // one per limit
	revoked  bool      // the loop's
}

// savedToken is a token's record.
type savedToken struct {
	Name    string   `json:"name,omitempty"`
	Hash    []byte   `json:"hash"` // SHA-256 of the token's text
	Scope   []string `json:"scope"`
	Created int64    `json:"created"`
}

// OpenTokens reads what the store has. It also settles what a crash left open: payments that ended
// in the last transaction before it.
func OpenTokens(s Store) (*Tokens, error) {
	t := &Tokens{
		store: s, byHash: map[[32]byte]*token{}, byID: map[string]*token{}, holds: map[string]*hold{}, asking: map[string]*token{},
	}
	for r, err := range s.Load(node.KindToken) {
		if err == nil {
			err = t.load(r)
		}
		if err != nil {
			return nil, fmt.Errorf("load tokens: %w", err)
		}
	}
	for r, err := range s.Load(kindSpent) {
		if err == nil {
			err = t.loadAccount(r)
		}
		if err != nil {
			return nil, fmt.Errorf("load what tokens have paid: %w", err)
		}
	}
	if err := t.loadHolds(); err != nil {
		return nil, fmt.Errorf("load what tokens pay: %w", err)
	}
	if err := t.answers.load(s); err != nil {
		return nil, fmt.Errorf("load kept answers: %w", err)
	}
	return t, nil
}

func (t *Tokens) load(r node.Record) error {
	var s savedToken
	if err := json.Unmarshal(r.Value, &s); err != nil {
		return fmt.Errorf("token %s: %w", r.Key, err)
	}
	sc, err := parseScope(s.Scope, nil)
	if err != nil || len(s.Hash) != sha256.Size {
		return fmt.Errorf("token %s: hash of %d bytes, scope: %w", r.Key, len(s.Hash), err)
	}
	t.add(&token{id: r.Key, name: s.Name, created: s.Created, hash: [32]byte(s.Hash), scope: sc, accounts: make([]account, len(sc.limits))})
	return nil
}

func (t *Tokens) add(k *token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byHash[k.hash] = k
	t.byID[k.id] = k
}

// find returns who has the token text, nil if nobody.
func (t *Tokens) find(text string) *token {
	hash := sha256.Sum256([]byte(text))
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byHash[hash]
}

// list returns all tokens but the owner's, the oldest first.
func (t *Tokens) list() []*token {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var list []*token
	for _, k := range t.byID {
		if !k.owner {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b *token) int {
		if a.created != b.created {
			return int(a.created - b.created)
		}
		return strings.Compare(a.id, b.id)
	})
	return list
}

// newSecret draws the text of a token: 32 random bytes after a prefix that lets
// scanners of leaked secrets recognise it.
func newSecret() (text string, hash [32]byte) {
	var b [32]byte
	rand.Read(b[:])
	text = "kula_" + base64.RawURLEncoding.EncodeToString(b[:])
	return text, sha256.Sum256([]byte(text))
}

// owner draws the owner's token, which is never stored.
func (t *Tokens) owner() string {
	text, hash := newSecret()
	t.add(&token{id: ownerID, owner: true, hash: hash})
	return text
}

// draft makes a token and its record. It counts once publish is called.
func draft(name string, sc scope, now time.Time) (text string, k *token, r node.Record) {
	text, hash := newSecret()
	var id [8]byte // among the few tokens of one node 64 bits do not meet twice
	rand.Read(id[:])
	k = &token{id: hex.EncodeToString(id[:]), name: name, created: now.Unix(), hash: hash, scope: sc, accounts: make([]account, len(sc.limits))}
	value := mustJSON(savedToken{Name: name, Hash: hash[:], Scope: sc.words(), Created: k.created})
	return text, k, node.Record{Kind: node.KindToken, Key: k.id, Value: value}
}

// revoke returns the records that end a token, nil if there is none with this id. The
// loop calls it; remove follows once they are on disk.
func (t *Tokens) revoke(id string) []node.Record {
	t.mu.RLock()
	k := t.byID[id]
	t.mu.RUnlock()
	if k == nil || k.owner {
		return nil
	}
	k.revoked = true
	records := []node.Record{{Kind: node.KindToken, Key: id}}
	for i := range k.accounts {
		records = append(records, node.Record{Kind: kindSpent, Key: accountKey(k, i)})
	}
	return records
}

// remove makes a token unknown.
func (t *Tokens) remove(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.byID[id]; k != nil {
		delete(t.byID, id)
		delete(t.byHash, k.hash)
	}
}

// owns says whether a token made the payment or invoice with this id.
func (t *Tokens) owns(k *token, id string) (bool, error) {
	if k.owner {
		return true, nil
	}
	by, ok, err := t.store.Get(kindOwn, id)
	return ok && string(by) == k.id, err
}

func (k *token) own(id string) node.Record {
	return node.Record{Kind: kindOwn, Key: id, Value: []byte(k.id)}
}

// mustJSON encodes a struct of this package, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("api: %T: %v", v, err))
	}
	return b
}
