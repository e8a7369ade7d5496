package run

import (
	"sync/atomic"

	"kula/ident"
)

// counted is the node's key, with its signatures counted.
type counted struct {
	*ident.Key
	made, checked *atomic.Uint64
}

// Sign implements ident.Suite.
func (c counted) Sign(tag ident.Tag, msg []byte) ident.Signature {
	c.made.Add(1)
	return c.Key.Sign(tag, msg)
}

// Verify implements ident.Suite.
func (c counted) Verify(id ident.ID, tag ident.Tag, msg []byte, sig ident.Signature) bool {
	c.checked.Add(1)
	return c.Key.Verify(id, tag, msg, sig)
}

// VerifyAll implements ident.Suite.
func (c counted) VerifyAll(checks []ident.Check) bool {
	c.checked.Add(uint64(len(checks)))
	return c.Key.VerifyAll(checks)
}
