package node

import (
	"slices"

	"kula/ident"
	"kula/pay"
	"kula/wire"
)

// judgeQuote tells the driver that an index server was wrong about a route, if the reason why a lock came back says
// so: a fee, a capacity or a channel that is not as it was quoted. What the figures of my own channels say is not the server's, nor what
// the payee says. The reason is the word of somebody on the way, and moves no more than the order in which servers are asked.
func (n *Node) judgeQuote(by ident.ID, q pay.Route, r *wire.Reason) {
	if by == (ident.ID{}) || !slices.Contains(q.Hops[:max(len(q.Hops)-1, 0)], r.At) {
		return
	}
	switch r.Code {
	case wire.FeeTooLow, wire.LimitReached, wire.UnknownNextHop, wire.FriendOffline, wire.ChannelFrozen, wire.ChannelClosed:
		n.fx.Wrong = append(n.fx.Wrong, by)
	}
}
