package node

import (
	"slices"
	"strings"

	"kula/credit"
	"kula/ident"
	"kula/money"
	"kula/pay"
	"kula/wire"
)

// friend is another identity with whom this node has a channel.
type friend struct {
	id        ident.ID
	key       string // id in z-base-32, the key of its records
	name      string // what I call it; unique
	addresses []string
	pending   bool            // accepted its invitation and not heard from it yet
	token     []byte          // the invitation's secret, while pending
	wanted    []wire.Proposal // what the invitation said, while pending
	removed   bool
	closing   bool // I close
	frozen    bool // the friend says that it froze the channel
	problem   string
	turned    wire.Code // why the inviter turned me down, while pending; not saved: after a start it is asked once more
	kept      []byte    // what the friend gave me to keep
	keptAt    uint64
	lost      lost
	missing   bool   // not heard of since this node started; not saved
	claimed   bool   // it said that it holds what I do not know of, and did not take that back; not saved
	above     uint64 // epochs up to this one may have been used by what I forgot
	unnamed   bool   // came back after a restore under its own name until I find what I called it; not saved
	tentative bool   // an unknown key that claims to hold my promise; not saved
	showBy    int64  // unix milliseconds until when it must have shown that promise, while tentative; not saved

	ch     *credit.Channel
	in     map[uint64]*incoming
	out    map[uint64]*outgoing
	booked map[money.Currency]money.Amount

	session     *session
	proposal    *wire.Snapshot // an Agree of the friend, until I answer it
	said        announced
	announceDue bool
	keptTime    int64 // when it was last written; not saved
	keepSent    int64 // when I last sent my heads to keep
	changed     bool  // to be told of at the end of the Step
	touched     bool
}

// lost is where the restore of one channel stands.
type lost uint8

const (
	whole   lost = iota
	asking       // I want a snapshot
	adopted      // I have it, and wait for the other friends
)

// session is what one live connection adds. Nothing of it is saved.
type session struct {
	number     uint64
	name       string    // what its hello said it is called
	heard      bool      // its hello was read
	sent       wire.Mark // my newest promise that it holds or was sent
	floor      credit.Floor
	hello      uint64       // number of my terms in my hello
	old        bool         // it runs an old copy: wait for its new epoch
	suspect    bool         // it claims to hold what I do not know of, and has not shown it
	asked      bool         // I asked for a snapshot
	shown      int          // snapshots I sent
	owes       bool         // I was asked for one while I asked myself
	behind     bool         // by its hello it holds nothing newer than I
	blank      bool         // it said so that it was restored
	unaccepted *wire.Update // above the limit
	restate    bool         // my newest promise cites old terms: it is said again in one that cites the newest
	again      bool         // what is unaccepted is to be judged again: there may be room now
	dead       bool
	batch      uint64    // the newest in which it was opened or its hello read
	base       wire.Mark // what I held before the update that is being accepted
}

// maxShown bounds the snapshots of one session: one for the asking, one for an epoch that started elsewhere.
const maxShown = 4

// incoming is what I know of a lock in a friend's promise.
type incoming struct {
	part      wire.PartID
	onward    place // where I locked it on, zero if nowhere
	mine      *collection
	preimages []ident.Preimage // revealed: repeated until fulfilled
	note      []byte           // sealed to the payer, goes with the reveal
	fee       money.Amount     // what I keep of it when it was carried on
	restored  bool             // was there before a restore
	stuck     bool             // restored, and its onward friend has not come back yet
	claimed   bool             // stuck, because that friend said that it holds what I do not know of
	parcel    *pay.Parcel      // what it carries, while that is being judged; not saved
	arrived   []byte           // the payee's acknowledgement, for the payer; not saved
	early     [][]byte         // orders that came before a restore found the way on; not saved
}

// outgoing is what I know of a lock in my own promise.
type outgoing struct {
	up        place // where it came from, zero for my own payment
	payment   *payment
	fee       money.Amount     // what I keep of the lock it came from
	preimages []ident.Preimage // known: the lock is being fulfilled
	orders    [][]byte         // the payer's orders, for the payee; not saved
	early     *wire.Reveal     // came before a restore found where the lock came from; not saved
	arrived   []byte           // as early, the payee's acknowledgement; not saved
}

// inDoubt says whether what I know of the channel may be old: I asked for it, or the friend claims so.
func (f *friend) inDoubt() bool { return f.lost != whole || f.session != nil && f.session.suspect }

// forgotten says whether the friend may hold promises of mine that I do not know of, as far as anyone said.
func (f *friend) forgotten() bool { return f.lost != whole || f.claimed }

// told says whether the update that is being accepted brings what the friend had signed before its hello: that may have
// come before, to a disk that is no more.
func (f *friend) told() bool { return f.session.base.Before(f.session.floor.After) }

// ready says whether promises can be signed to the friend now.
func (f *friend) ready() bool {
	return f.session != nil && f.session.heard && !f.session.dead && !f.session.old && !f.inDoubt() && !f.pending && !f.tentative
}

// open says whether new locks may be carried between us.
func (f *friend) open() bool {
	return !f.closing && !f.removed && !f.frozen && f.ch.Fault == nil && !f.ch.TheirTerms.Closing && !f.pending
}

func (f *friend) state() FriendState {
	switch {
	case f.removed:
		return Removed
	case f.pending:
		return Pending
	case f.frozen || f.ch.Fault != nil:
		return Frozen
	case f.closing || f.ch.TheirTerms.Closing:
		return Closed
	}
	return Opened
}

// idle says whether neither side owes or has locked anything.
func (f *friend) idle() bool {
	if len(f.in)+len(f.out) > 0 {
		return false
	}
	for _, cur := range f.ch.Currencies() {
		if f.ch.Figures(cur).Balance != 0 {
			return false
		}
	}
	return true
}

// unused says whether nothing is lost with the record of the friend: neither side has heard of a statement of the other's.
func (f *friend) unused() bool {
	return f.ch.MyMark().Seq == 0 && f.ch.HeldMark().Seq == 0 && f.ch.TheirSigned.None() && len(f.in)+len(f.out)+len(f.ch.Mine.Adds) == 0 && f.lost == whole
}

func (n *Node) newFriend(id ident.ID) *friend {
	return &friend{
		id: id, key: id.String(), ch: credit.New(n.me, id),
		in: map[uint64]*incoming{}, out: map[uint64]*outgoing{}, booked: map[money.Currency]money.Amount{},
	}
}

func (n *Node) addFriend(f *friend) {
	n.friends[f.id] = f
	i, _ := slices.BinarySearchFunc(n.order, f.id, func(o *friend, id ident.ID) int { return slices.Compare(o.id[:], id[:]) })
	n.order = slices.Insert(n.order, i, f)
	n.fx.Tell = append(n.fx.Tell, Notice{Friends: true})
}

func (n *Node) dropFriend(f *friend) {
	delete(n.friends, f.id)
	n.order = slices.DeleteFunc(n.order, func(o *friend) bool { return o == f })
}

// uniqueName gives wish, or wish with a number, so that no two friends have one name; that of a removed friend is free.
// A name that could be another's key gives way to the beginning of the friend's own: friends choose their names, and
// users write keys.
func (n *Node) uniqueName(wish string, self *friend) string {
	wish = strings.TrimSpace(wish)
	taken := func(s string) bool {
		return s == "" || strings.EqualFold(s, "me") || slices.ContainsFunc(n.order, func(f *friend) bool { return f != self && !f.removed && strings.EqualFold(f.name, s) })
	}
	if self != nil && (wish == "" || n.imitates(wish, self)) {
		wish = self.id.Short()
	}
	if len(wish) > wire.MaxName-4 {
		wish = strings.ToValidUTF8(wish[:wire.MaxName-4], "")
	}
	name := wish
	for i := 2; taken(name); i++ {
		name = wish + "-" + itoa(i)
	}
	return name
}

// imitates says whether a name could stand for a key that is not that of self, who may be nil.
func (n *Node) imitates(name string, self *friend) bool {
	if self != nil && self.id.Begins(name) {
		return false
	}
	return ident.LooksLikeKey(name) || n.me.Begins(name) || slices.ContainsFunc(n.order, func(f *friend) bool { return f != self && f.id.Begins(name) })
}

// mayCall says whether the user may call a friend name; empty is no name.
func (n *Node) mayCall(name string, self *friend) *Error {
	switch {
	case strings.EqualFold(strings.TrimSpace(name), "me"):
		return refusal(wire.NameTaken, "%q is yourself; choose another name", name)
	case n.imitates(strings.TrimSpace(name), self):
		return refusal(wire.NameTaken, "%q could be taken for somebody's key; choose a name with a space, or a shorter one", name)
	}
	return nil
}

func itoa(i int) string {
	if i < 10 {
		return string(rune('0' + i))
	}
	return itoa(i/10) + itoa(i%10)
}

// nameOf is what I call an identity: my friend's name, "you" for myself, else the key's beginning.
func (n *Node) nameOf(id ident.ID) string {
	if id == n.me {
		return "you"
	}
	if f := n.friends[id]; f != nil && f.name != "" {
		return f.name
	}
	if id == (ident.ID{}) {
		return ""
	}
	return id.Short() + "…"
}

// find a friend by key in any spelling, unique name, or the key's first 8 or more characters. A whole key comes
// before every name; what fits the name of one and the key of another names neither.
func (n *Node) find(ref string) (*friend, *Error) {
	ref = strings.TrimSpace(ref)
	if id, err := ident.ParseID(ref); err == nil {
		if f := n.friends[id]; f != nil && !f.tentative {
			return f, nil
		}
		return nil, refusal(wire.UnknownFriend, "%s is not a friend of yours. Invite them with: kula friend invite", id.Short()+"…")
	}
	var match []*friend
	for _, f := range n.order {
		if !f.tentative && ref != "" && (strings.EqualFold(f.name, ref) || len(ref) >= minPrefix && strings.HasPrefix(f.key, ref)) {
			match = append(match, f)
		}
	}
	if friends := slices.DeleteFunc(slices.Clone(match), func(f *friend) bool { return f.removed }); len(friends) > 0 {
		match = friends // a removed one is found only where no other is meant
	}
	switch len(match) {
	case 1:
		return match[0], nil
	case 0:
		return nil, refusal(wire.UnknownFriend, "you have no friend %q. Your friends: %s", ref, n.friendNames())
	}
	var both []string
	for _, f := range match[:2] {
		both = append(both, f.name+" (key "+f.key[:min(len(ref)+4, len(f.key))]+"…)")
	}
	return nil, refusal(wire.Conflict, "%q can be %d of your friends, among them %s; write more of the key, or all of it", ref, len(match), joinAnd(both))
}

// minPrefix is how much of a key names a friend: what ident.ID.Short shows.
const minPrefix = 8

func (n *Node) friendNames() string {
	var names []string
	for _, f := range n.order {
		if !f.removed && !f.tentative {
			names = append(names, f.name)
		}
	}
	if len(names) == 0 {
		return "none yet"
	}
	slices.Sort(names)
	if len(names) > 12 {
		names = append(names[:12], "…")
	}
	return strings.Join(names, ", ")
}

// identity resolves who is to be paid: a friend, a key, or "me".
func (n *Node) identity(ref string) (ident.ID, *Error) {
	if ref = strings.TrimSpace(ref); strings.EqualFold(ref, "me") {
		return n.me, nil
	}
	if id, known := n.keys[ref]; known {
		return id, nil
	}
	if id, err := ident.ParseID(ref); err == nil {
		if len(n.keys) >= maxKeys {
			clear(n.keys)
		}
		n.keys[ref] = id
		return id, nil
	}
	f, e := n.find(ref)
	if e != nil {
		return ident.ID{}, e
	}
	return f.id, nil
}

// maxKeys bounds the keys that need not be read again: 200 bytes each.
const maxKeys = 1024

// known is every currency that some channel of mine has. Where I use one of a code (grant it, owe it or am owed in it),
// others of that code are left out that only a friend has named: it must not make "EUR" ambiguous for me.
func (n *Node) known() []money.Currency {
	var used, named []money.Currency
	for _, f := range n.order {
		for _, cur := range f.ch.Currencies() {
			if fig := f.ch.Figures(cur); fig.LimitGranted > 0 || fig.IOwe > 0 || fig.TheyOwe > 0 || fig.LockedByMe+fig.LockedByThem > 0 {
				used = append(used, cur)
			} else {
				named = append(named, cur)
			}
		}
	}
	for _, cur := range named {
		if !slices.ContainsFunc(used, func(u money.Currency) bool { return u.Code() == cur.Code() }) {
			used = append(used, cur)
		}
	}
	slices.Sort(used)
	return slices.Compact(used)
}

// Currencies is every currency that the node knows, ascending.
func (n *Node) Currencies() []money.Currency { return n.known() }
