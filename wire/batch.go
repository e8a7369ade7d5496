package wire

import (
	"crypto/sha256"
	"fmt"

	"kula/ident"
)

// TagBatch signs the root of a batch.
const TagBatch ident.Tag = "kula/batch/1"

// MaxPath bounds the batch that a statement was signed in: 2^MaxPath statements.
const MaxPath = 12

// Batched is a statement that was signed together with others: one signature over the root of a Merkle tree of which it
// is a leaf (spec E-17; RFC 9162 §2.1 for the two prefixes). Whoever holds it can show it alone, and it tells nothing
// of the others but how many they are, within a factor of two. The zero Batched stands for "none".
type Batched struct {
	_     struct{} `cbor:",toarray"`
	Body  []byte
	Index uint64       // of the leaf: bit i says whether the i-th of Path is to the left
	Path  []ident.Hash // from the leaf's neighbour up
	Sig   ident.Signature
}

func (b *Batched) check() error {
	if b.None() && (b.Index != 0 || len(b.Path) > 0 || b.Sig != ident.Signature{}) {
		return formErr("no statement, and yet a place in a batch or a signature")
	}
	if len(b.Path) > MaxPath || b.Index>>len(b.Path) != 0 {
		return formErr("statement %d of a batch of 2^%d, at most 2^%d", b.Index, len(b.Path), MaxPath)
	}
	return nil
}

// None says whether there is no statement.
func (b *Batched) None() bool { return len(b.Body) == 0 }

// Check is what verifies b as a statement of id under tag; the same for all statements of one batch.
func (b *Batched) Check(id ident.ID, tag ident.Tag) ident.Check {
	h := leaf(tag, b.Body)
	for i, other := range b.Path {
		if b.Index>>i&1 == 1 {
			h = branch(other, h)
		} else {
			h = branch(h, other)
		}
	}
	return ident.Check{ID: id, Tag: TagBatch, Msg: h[:], Sig: b.Sig}
}

// verifier checks signatures.
type verifier interface {
	Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool
}

// Open verifies that id signed b under tag, and decodes it into v.
func (b *Batched) Open(v verifier, id ident.ID, tag ident.Tag, into any) error {
	if err := Unmarshal(b.Body, into); err != nil {
		return err
	}
	if c := b.Check(id, tag); !v.Verify(c.ID, c.Tag, c.Msg, c.Sig) {
		return fmt.Errorf("%w of %s under %q", ErrSignature, id.Short(), tag)
	}
	return nil
}

// Batch gathers statements to be signed together. The zero Batch is empty.
type Batch struct {
	bodies [][]byte
	leaves []ident.Hash
}

// Len is how many statements the batch has.
func (b *Batch) Len() int { return len(b.bodies) }

// Full says whether no further statement may join.
func (b *Batch) Full() bool { return len(b.bodies) == 1<<MaxPath }

// Add puts v into the batch; its place in what Sign gives is Len before.
func (b *Batch) Add(tag ident.Tag, v any) {
	body := Marshal(v)
	b.bodies, b.leaves = append(b.bodies, body), append(b.leaves, leaf(tag, body))
}

// Sign signs all and empties the batch.
func (b *Batch) Sign(suite ident.Suite) []Batched {
	signed := make([]Batched, len(b.bodies))
	for i, body := range b.bodies {
		signed[i] = Batched{Body: body, Index: uint64(i)}
	}
	level := b.leaves
	for depth := 0; len(level) > 1; depth++ {
		if len(level)%2 == 1 {
			level = append(level, level[len(level)-1]) // the odd one is its own neighbour
		}
		for i := range signed {
			signed[i].Path = append(signed[i].Path, level[i>>depth^1])
		}
		for i := range len(level) / 2 {
			level[i] = branch(level[2*i], level[2*i+1])
		}
		level = level[:len(level)/2]
	}
	if len(level) == 1 {
		sig := suite.Sign(TagBatch, level[0][:])
		for i := range signed {
			signed[i].Sig = sig
		}
	}
	b.bodies, b.leaves = nil, nil
	return signed
}

// SignAlone makes a batch of one.
func SignAlone(suite ident.Suite, tag ident.Tag, v any) Batched {
	var b Batch
	b.Add(tag, v)
	return b.Sign(suite)[0]
}

func leaf(tag ident.Tag, body []byte) ident.Hash {
	return ident.HashOf([]byte{0}, []byte(tag), []byte{0}, body)
}

func branch(left, right ident.Hash) ident.Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}
