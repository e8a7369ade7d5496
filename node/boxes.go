package node

import (
	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// With blob version 0 an ephemeral key of the payer serves a few payments to one payee before a fresh one is drawn: the two
// scalar multiplications behind it are most of what a payment costs its ends. Whoever sees two blobs with
// one key learns that they have one payer; it sees the payee in clear anyway. Onions have nothing in common.

// boxUses is for how many payments one ephemeral key serves: from there the cost per payment is small.
const boxUses = 32

// maxBoxes bounds either side's remembered keys: about 200 bytes each.
const maxBoxes = 4096

// boxes are ephemeral keys in use. Nothing of it is saved.
type boxes struct {
	to   map[ident.ID]*boxTo
	from map[ident.BoxKey]pay.Sealed
}

type boxTo struct {
	sealed pay.Sealed
	left   int
}

// claimKey names a payment to me among those that claim one invoice.
type claimKey struct {
	key     ident.BoxKey // of what payer and payee share
	payment wire.PaymentID
}

// boxFor gives a payment what it shares with its payee.
func (n *Node) boxFor(p *payment) error {
	if !n.cfg.Plain {
		sealed := pay.AsOnionPayer(n.suite, p.salt)
		p.boxSalt, p.sealed = p.salt, &sealed
		return nil
	}
	b := n.boxes.to[p.payee]
	if b == nil || b.left == 0 {
		sealed, err := pay.AsPayer(n.suite, ident.Salt(n.draw16()), p.payee)
		if err != nil {
			return err
		}
		if len(n.boxes.to) >= maxBoxes {
			clear(n.boxes.to)
		}
		b = &boxTo{sealed, boxUses}
		n.boxes.to[p.payee] = b
	}
	b.left--
	p.boxSalt, p.sealed = b.sealed.Salt, &b.sealed
	return nil
}

// reseal gives a payment again what it shares with its payee, after a restart.
func (n *Node) reseal(p *payment) error {
	if p.sealed != nil {
		return nil
	}
	if p.boxSalt == p.salt { // an onion's; with version 0 it is the salt of a key that serves several payments
		sealed := pay.AsOnionPayer(n.suite, p.salt)
		p.sealed = &sealed
		return nil
	}
	sealed, err := pay.AsPayer(n.suite, p.boxSalt, p.payee)
	if err != nil {
		return err
	}
	p.sealed = &sealed
	return nil
}

// boxFrom gives a payee what it shares with the payer of a blob.
func (n *Node) boxFrom(b *wire.Blob) (pay.Sealed, error) {
	if s, ok := n.boxes.from[b.Key]; ok && s.Salt == b.Salt {
		return s, nil
	}
	s, err := pay.AsPayee(n.suite, b)
	if err != nil {
		return s, err
	}
	if len(n.boxes.from) >= maxBoxes {
		clear(n.boxes.from)
	}
	n.boxes.from[b.Key] = s
	return s, nil
}
