package p2p

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"

	"kula/ident"
	"kula/internal/leaktest"
	"kula/wire"
)

// tapped is a connection through a relay as the relay itself reads and writes it, out of its own encryption with either side.
type tapped struct {
	network.Stream
	tap *tap
}

// tap keeps what a relay passed on, each direction by itself.
type tap struct {
	mu       sync.Mutex
	there    bytes.Buffer // from who asked for the connection
	back     bytes.Buffer
	circuits int
}

func (s tapped) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	s.tap.mu.Lock()
	defer s.tap.mu.Unlock()
	s.tap.there.Write(b[:n])
	return n, err
}

func (s tapped) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	s.tap.mu.Lock()
	defer s.tap.mu.Unlock()
	s.tap.back.Write(b[:n])
	return n, err
}

// tapRelay has all that is asked of a relay pass a tap.
func tapRelay(r *Relay) *tap {
	x := &tap{}
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	serve := r.host.raw[proto.ProtoIDv2Hop]
	r.host.raw[proto.ProtoIDv2Hop] = func(s network.Stream) {
		x.mu.Lock()
		x.circuits++
		x.mu.Unlock()
		serve(tapped{s, x})
	}
	return x
}

func (x *tap) all() leaktest.Haystack {
	x.mu.Lock()
	defer x.mu.Unlock()
	return leaktest.Haystack{"what it passed there": bytes.Clone(x.there.Bytes()), "what it passed back": bytes.Clone(x.back.Bytes())}
}

// letters is messages between two friends in which everything is in clear, and what of them a third may not read.
func letters(t testing.TB) (frames [][]byte, secrets []leaktest.Secret) {
	t.Helper()
	ana, cleo := ident.NewKey(seed("ana")), ident.NewKey(seed("cleo"))
	invoice := wire.Sign(cleo, wire.TagInvoice, &wire.Invoice{Payee: cleo.ID(), Salt: ident.Salt{7, 7, 7}, Hash: ident.HashOf([]byte("x")), Currency: "FST/0", Amount: 12, Memo: "one bicycle, used", Created: 1, Expires: 2})
	var i wire.Invoice
	if err := wire.Unmarshal(invoice.Body, &i); err != nil {
		t.Fatal(err)
	}
	id := i.ID(invoice)
	box := wire.Box{Form: wire.FormInvoice, Payment: wire.PaymentID(id), Invoice: invoice, Currency: "FST/0", Total: 12, Amount: 12, Payer: ana.ID(), Name: "Anastasia Almond", Text: "until it is delivered"}
	promise := wire.Sign(ana, wire.TagPromise, &wire.Promise{To: idOf("ben"), Epoch: 1, Seq: 1, Lines: []wire.Line{{Currency: "FST/0", Owed: 1234567}}})
	lock := wire.Lock{Number: 1, Part: wire.PartID(bytes.Repeat([]byte{9, 8}, 8)), Currency: "FST/0", Amount: 12, Condition: wire.Condition{Hashes: []ident.Hash{i.Hash}}, Blob: wire.Marshal(&box)}
	preimage := ident.Preimage(bytes.Repeat([]byte("preimage"), 4))
	for _, m := range []wire.Message{
		&wire.Hello{Version: wire.Version, Name: "Anastasia Almond", Addresses: []string{"/ip4/192.0.2.77/tcp/4281"}},
		&wire.Update{Promise: promise, Groups: []wire.Group{{Seq: 1, Locks: []wire.Lock{lock}}}},
		&wire.Reveal{Number: 1, Preimages: []ident.Preimage{preimage}},
	} {
		frames = append(frames, wire.Encode(m))
	}
	return frames, []leaktest.Secret{
		leaktest.Text("the name", "Anastasia Almond"), leaktest.Text("an address", "/ip4/192.0.2.77/tcp/4281"), leaktest.Text("the memo", i.Memo), leaktest.Text("the text", box.Text),
		leaktest.Bytes("the invoice's id", id[:]), leaktest.Bytes("the promise", promise.Body), leaktest.Bytes("its signature", promise.Sig[:]), leaktest.Bytes("the part id", lock.Part[:]),
		leaktest.Bytes("the condition", i.Hash[:]), leaktest.Bytes("a preimage", preimage[:]), leaktest.Key("cleo", cleo.ID()),
	}
}

// spec N-2: of what two friends say through a relay it reads nothing, though they seal nothing themselves. That the one wants the other, and
// how many bytes pass, it knows.
func TestRelayReadsNothing(t *testing.T) {
	for _, listen := range []string{tcp4, quic4} {
		t.Run(strings.Split(listen, "/")[3], func(t *testing.T) {
			r := startRelay(t, listen)
			tap := tapRelay(r)
			b := start(t, "ben", Config{Relays: r.Addrs()}, "ana")
			a := start(t, "ana", Config{}, "ben")
			a.Want(b.ID(), b.through())
			sa, sb := a.session("ben"), b.session("ana")
			frames, secrets := letters(t)
			if err := a.Send(sa, frames); err != nil {
				t.Fatal(err)
			}
			if err := b.Send(sb, frames); err != nil {
				t.Fatal(err)
			}
			ends, size := leaktest.Haystack{}, 0
			for side, in := range map[string][][]byte{"ben": b.frames("ana", len(frames)), "ana": a.frames("ben", len(frames))} {
				for i, f := range in {
					ends[fmt.Sprintf("%s, frame %d", side, i)] = f
					size += len(f)
				}
			}
			for _, s := range secrets {
				if len(ends.Where(s)) < 2 {
					t.Errorf("%s did not arrive: the search proves nothing", s.What)
				}
			}
			seen := tap.all()
			passed := 0
			for _, b := range seen {
				passed += len(b)
			}
			if passed < size || tap.circuits == 0 {
				t.Fatalf("%d bytes passed the tap in %d connections, the frames have %d", passed, tap.circuits, size)
			}
			for _, leak := range seen.Leaks(secrets...) {
				t.Errorf("the relay has %s", leak)
			}
			if len(seen.Where(leaktest.Key("ben", b.ID()))) == 0 {
				t.Error("the relay does not even know to whom: the search proves nothing")
			}
		})
	}
}
