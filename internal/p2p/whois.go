package p2p

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	mss "github.com/multiformats/go-multistream"

	"kula/ident"
)

// WhoIs asks who listens at addr over TCP: the identity that the handshake shows. The asker shows
// a key that it made for that. ctx bounds it.
func WhoIs(ctx context.Context, addr netip.AddrPort) (ident.ID, error) {
	id, err := whoIs(ctx, addr)
	if err != nil {
		return ident.ID{}, fmt.Errorf("p2p: who is at %s: %w", addr, err)
	}
	return id, nil
}

func whoIs(ctx context.Context, addr netip.AddrPort) (ident.ID, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return ident.ID{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if err := mss.SelectProtoOrFail(string(noise.ID), c); err != nil {
		return ident.ID{}, err
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return ident.ID{}, err
	}
	t, err := noise.New(noise.ID, key, nil)
	if err != nil {
		return ident.ID{}, err
	}
	unknown, err := t.WithSessionOptions(noise.DisablePeerIDCheck())
	if err != nil {
		return ident.ID{}, err
	}
	secured, err := unknown.SecureOutbound(ctx, c, "")
	if err != nil {
		return ident.ID{}, err
	}
	return identity(secured.RemotePeer())
}

// ServerAddrs are the multiaddrs, QUIC first, of server id at addr, each ending in /p2p/<peer id>.
func ServerAddrs(id ident.ID, addr netip.AddrPort) []string {
	ip, version := addr.Addr().Unmap(), "ip6"
	if ip.Is4() {
		version = "ip4"
	}
	return []string{
		fmt.Sprintf("/%s/%s/udp/%d/quic-v1/p2p/%s", version, ip, addr.Port(), id.Peer()),
		fmt.Sprintf("/%s/%s/tcp/%d/p2p/%s", version, ip, addr.Port(), id.Peer()),
	}
}
