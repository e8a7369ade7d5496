package onion

import (
	"bytes"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2"
	sphinx "github.com/lightningnetwork/lightning-onion"
	"pgregory.net/rapid"

	"kula/ident"
)

// watched is a node of Lightning; it tells what it shares with the sender.
type watched struct {
	sphinx.PrivKeyECDH
	shared ident.SharedKey
}

func (w *watched) ECDH(pub *btcec.PublicKey) ([32]byte, error) {
	s, err := w.PrivKeyECDH.ECDH(pub)
	w.shared = s
	return s, err
}

// The packet is BOLT 4's: with the keys that a route of Lightning nodes has, header, MAC and failures are those of
// Lightning's own library, byte for byte. A payload of 47 bytes has its length in front there, which makes 48.
func TestAsLightning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, Hops).Draw(t, "hops")
		session := secret(t, "session")
		bound := rapid.SliceOf(rapid.Byte()).Draw(t, "bound")
		var path sphinx.PaymentPath
		nodes := make([]*watched, n)
		payloads := make([]Payload, n)
		for i := range n {
			nodes[i] = &watched{PrivKeyECDH: sphinx.PrivKeyECDH{PrivKey: secret(t, "node")}}
			copy(payloads[i][:], rapid.SliceOfN(rapid.Byte(), PayloadSize, PayloadSize).Draw(t, "payload"))
			payloads[i][0] = PayloadSize - 1
			hop, err := sphinx.NewTLVHopPayload(payloads[i][1:])
			if err != nil {
				t.Fatal(err)
			}
			path[i] = sphinx.OnionHop{NodePub: *nodes[i].PubKey(), HopPayload: hop}
		}
		theirs, err := sphinx.NewOnionPacket(&path, session, bound, sphinx.DeterministicPacketFiller, sphinx.WithMaxPayloadSize(HeaderSize))
		if err != nil {
			t.Fatal(err)
		}
		keys, seen := walkLightning(t, theirs, nodes, bound)
		ours, err := Wrap(&ident.Layers{Keys: keys, Pad: ident.SharedKey(session.Serialize())}, payloads, bound, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if !bytes.Equal(ours.Header[:], seen[i].RoutingInfo) || ours.MAC != seen[i].HeaderMAC {
				t.Fatalf("hop %d of %d gets another packet", i, n)
			}
			x, err := ours.Peel(keys[i], bound)
			if err != nil || x.Payload != payloads[i] || x.Last != (i == n-1) {
				t.Fatalf("hop %d of %d: %+v, %v", i, n, x, err)
			}
			ours = x.Next
		}
		failsAsLightning(t, session, nodes, keys)
	})
}

// walkLightning sends a packet along its route.
func walkLightning(t *rapid.T, p *sphinx.OnionPacket, nodes []*watched, bound []byte) (keys []ident.SharedKey, seen []*sphinx.OnionPacket) {
	for _, w := range nodes {
		seen = append(seen, p)
		x, err := sphinx.NewRouter(w, sphinx.NewNoOpReplayLog()).ProcessOnionPacket(p, bound, 0)
		if err != nil {
			t.Fatal(err)
		}
		keys, p = append(keys, w.shared), x.NextPacket
	}
	return keys, seen
}

func failsAsLightning(t *rapid.T, session *btcec.PrivateKey, nodes []*watched, keys []ident.SharedKey) {
	at := rapid.IntRange(0, len(nodes)-1).Draw(t, "failing")
	var m Message
	copy(m[:], rapid.SliceOfN(rapid.Byte(), MessageSize, MessageSize).Draw(t, "message"))
	ours, theirs := Fail(keys[at], &m), encrypter(t, keys[at]).EncryptError(true, bytes.Clone(m[:]))
	for i := at - 1; i >= 0; i-- {
		ours, theirs = Return(keys[i], ours), encrypter(t, keys[i]).EncryptError(false, theirs)
	}
	if !bytes.Equal(ours, theirs) {
		t.Fatalf("hop %d of %d fails otherwise", at, len(nodes))
	}
	circuit := &sphinx.Circuit{SessionKey: session}
	for _, w := range nodes {
		circuit.PaymentPath = append(circuit.PaymentPath, w.PubKey())
	}
	read, err := sphinx.NewOnionErrorDecrypter(circuit).DecryptError(ours)
	if err != nil || read.SenderIdx != at+1 || !bytes.Equal(read.Message, m[:]) {
		t.Fatalf("Lightning reads %+v, %v", read, err)
	}
	if hop, got, ok := Read(keys, theirs); !ok || hop != at || got != m {
		t.Fatalf("read %d, %v", hop, ok)
	}
}

func encrypter(t *rapid.T, key ident.SharedKey) *sphinx.OnionErrorEncrypter {
	e := new(sphinx.OnionErrorEncrypter)
	if err := e.Decode(bytes.NewReader(key[:])); err != nil {
		t.Fatal(err)
	}
	return e
}

func secret(t *rapid.T, label string) *btcec.PrivateKey {
	b := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label)
	b[0], b[31] = b[0]>>1, b[31]|1 // below the order of the group and not zero
	key, _ := btcec.PrivKeyFromBytes(b)
	return key
}
