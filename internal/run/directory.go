package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kula/ident"
	"kula/internal/find"
	"kula/internal/index"
	"kula/internal/p2p"
	"kula/node"
	"kula/wire"
)

// Role is what a server is for.
type Role = find.Kind

// The roles.
const (
	IndexRole Role = find.Index
	RelayRole Role = find.RelayKind
)

// Trust is the user's word about a server.
type Trust string

// What the user may say: a trusted server is used from now on, at each start, and asked before others; a blocked one
// never, whoever names it.
const (
	Trusted Trust = "trusted"
	Blocked Trust = "blocked"
)

// Server is one of a role: where it is reached. Addresses of relays end in /p2p/<peer id>, those of index servers do not.
type Server struct {
	ID    ident.ID
	Addrs []string
}

// Listed is a line of the user's list of servers.
type Listed struct {
	Role  Role     `json:"-"`
	Key   ident.ID `json:"-"`
	Trust Trust    `json:"trust"`
	Addrs []string `json:"addresses,omitempty"` // none if it is blocked
}

const (
	// kindServer is the kind of record of a Listed, under <role>/<key>.
	kindServer = "server"

	// maxListed bounds the list: a person judges a handful of servers, a program that blocks more than this should be told so.
	maxListed = 1000
)

// directory is what the node knows of servers: which it was given at its start, which it found, and what the user says of
// them. Its methods may be called from any goroutine but the loop's.
type directory struct {
	loop    *Loop
	blocked atomic.Pointer[map[ident.ID]bool] // for who asks while others hold mu

	judging sync.Mutex // of Judge: one at a time, so that what is saved last counts

	mu     sync.Mutex
	listed map[Role]map[ident.ID]Listed
	given  map[Role][]Server
	found  map[Role][]Server
	none   bool // there is no index server
}

// load reads the list and what the node was started with.
func (d *directory) load(l *Loop) error {
	d.loop = l
	d.listed = map[Role]map[ident.ID]Listed{IndexRole: {}, RelayRole: {}}
	d.given, d.found = map[Role][]Server{}, map[Role][]Server{}
	links, err := index.ParseURIs(l.opt.Index)
	if err != nil {
		return err
	}
	for _, k := range links {
		d.given[IndexRole] = append(d.given[IndexRole], Server{k.Key, k.Addrs})
	}
	for _, addr := range l.opt.Relays {
		s, err := parseRelay(addr)
		if err != nil {
			return err
		}
		if s.ID == l.id {
			return fmt.Errorf("relay %s: this is the node's own key; a node is not reached through itself", addr)
		}
		d.given[RelayRole] = join(d.given[RelayRole], s)
	}
	for r, err := range l.opt.Store.Load(kindServer) {
		if err == nil {
			err = d.loadRecord(r)
		}
		if err != nil {
			return fmt.Errorf("%w: list of servers: %w", ErrLoad, err)
		}
	}
	d.tellBlocked()
	d.none = len(d.choose(IndexRole)) == 0 && !l.opt.FindIndex
	return nil
}

func (d *directory) loadRecord(r node.Record) error {
	role, key, _ := strings.Cut(r.Key, "/")
	list, ok := d.listed[Role(role)]
	if !ok {
		return fmt.Errorf("record %q", r.Key)
	}
	e := Listed{Role: Role(role)}
	var err error
	if e.Key, err = ident.ParseID(key); err != nil {
		return err
	}
	if err := json.Unmarshal(r.Value, &e); err != nil {
		return fmt.Errorf("record %q: %w", r.Key, err)
	}
	list[e.Key] = e
	return nil
}

// parseRelay reads the address of a relay.
func parseRelay(addr string) (Server, error) {
	if err := CheckRelay(addr); err != nil {
		return Server{}, err
	}
	id, err := ident.ParseID(addr[strings.LastIndex(addr, "/")+1:])
	return Server{id, []string{addr}}, err
}

// join adds a server to a list, or its addresses to those of the same.
func join(list []Server, s Server) []Server {
	i := slices.IndexFunc(list, func(o Server) bool { return o.ID == s.ID })
	if i < 0 {
		return append(list, Server{s.ID, slices.Clone(s.Addrs)})
	}
	for _, a := range s.Addrs {
		if len(list[i].Addrs) < wire.MaxAddresses && !slices.Contains(list[i].Addrs, a) {
			list[i].Addrs = append(list[i].Addrs, a)
		}
	}
	return list
}

// all are the servers of a role that are known, the trusted first, each once, blocked ones too. d.mu is held, or nobody else knows d.
func (d *directory) all(role Role) (list []Server) {
	for _, want := range []bool{true, false} {
		for _, s := range slices.Concat(d.given[role], d.found[role]) {
			if (d.listed[role][s.ID].Trust == Trusted) == want {
				list = join(list, s)
			}
		}
		var more []Server
		for id, e := range d.listed[role] {
			if (e.Trust == Trusted) == want {
				more = append(more, Server{id, e.Addrs})
			}
		}
		slices.SortFunc(more, func(a, b Server) int { return slices.Compare(a.ID[:], b.ID[:]) })
		for _, s := range more {
			list = join(list, s)
		}
	}
	return list
}

// choose are the servers of a role to use, in the order in which they are asked.
func (d *directory) choose(role Role) []Server {
	return slices.DeleteFunc(d.all(role), func(s Server) bool { return d.listed[role][s.ID].Trust == Blocked })
}

// tellBlocked renews what isBlocked reads.
func (d *directory) tellBlocked() {
	blocked := map[ident.ID]bool{}
	for _, list := range d.listed {
		for id, e := range list {
			if e.Trust == Blocked {
				blocked[id] = true
			}
		}
	}
	d.blocked.Store(&blocked)
}

// isBlocked says whether the user blocked a server.
func (d *directory) isBlocked(id ident.ID) bool { return (*d.blocked.Load())[id] }

// apply has the servers of a role used as the directory has them now. d.mu is held.
func (d *directory) apply(role Role) {
	l := d.loop
	servers := d.choose(role)
	if role == RelayRole {
		var addrs []string
		for _, s := range servers {
			addrs = append(addrs, s.Addrs...)
		}
		if err := l.host.UseRelays(addrs); err != nil {
			l.log.Debug("a relay cannot be used", "error", err)
		}
		return
	}
	var choices []index.Choice
	var links []index.Link
	for _, s := range servers {
		link := index.Link{Key: s.ID, Addrs: s.Addrs}
		links = append(links, link)
		choices = append(choices, index.Choice{Link: link, Trusted: d.listed[role][s.ID].Trust == Trusted})
	}
	l.index.Use(choices)
	if l.mirror != nil {
		l.mirror.Use(links)
	}
	if none := len(servers) == 0 && !l.opt.FindIndex; none != d.none {
		d.none = none
		e := node.Indexes{}
		if none {
			e.None = index.ErrNone.Error()
		}
		l.put(input{event: e})
	}
}

// foundNow replaces what was found of a role.
func (d *directory) foundNow(role Role, list []Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.found[role] = list
	d.apply(role)
}

// Judge puts a server on the user's list, replaces its line, or with no Trust takes it off; it counts at once, and at
// each start. A trusted server without addresses keeps those that are known of it. The error is a *node.Error if the user can do better.
func (l *Loop) Judge(ctx context.Context, e Listed) error {
	d := &l.servers
	d.judging.Lock()
	defer d.judging.Unlock()
	d.mu.Lock()
	err := d.check(&e)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	r := node.Record{Kind: kindServer, Key: string(e.Role) + "/" + e.Key.String()}
	if e.Trust != "" {
		if r.Value, err = json.Marshal(e); err != nil {
			return err
		}
	}
	if _, err := l.Exec(ctx, Request{Save: func(any, *node.Error) []node.Record { return []node.Record{r} }}); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listed[e.Role][e.Key] = e; e.Trust == "" {
		delete(d.listed[e.Role], e.Key)
	}
	d.tellBlocked()
	d.apply(e.Role)
	l.host.Reclassify(e.Key)
	return nil
}

// check judges and completes a line. d.mu is held.
func (d *directory) check(e *Listed) error {
	no := func(format string, args ...any) error {
		return &node.Error{Code: wire.BadRequest, Text: fmt.Sprintf(format, args...)}
	}
	list, ok := d.listed[e.Role]
	if !ok {
		return no("servers are of the kind index or relay, not %q", e.Role)
	}
	if e.Trust == Trusted && e.Key == d.loop.id {
		return no("this is the node's own key; it is no server of its own")
	}
	switch e.Trust {
	case "", Blocked:
		e.Addrs = nil
	case Trusted:
		if len(e.Addrs) == 0 {
			for _, s := range d.all(e.Role) {
				if s.ID == e.Key {
					e.Addrs = s.Addrs
				}
			}
		}
		if len(e.Addrs) == 0 {
			return no("nothing is known of where %s is. Say it with its %s", e.Key, map[Role]string{IndexRole: "link, kula:index?…", RelayRole: "address, /ip4/…/p2p/…"}[e.Role])
		}
		if err := checkServer(e); err != nil {
			return no("%v", err)
		}
	default:
		return no("a server is trusted or blocked, not %q", e.Trust)
	}
	if _, known := list[e.Key]; !known && len(list) >= maxListed {
		return no("%d servers are listed, at most %d. Take one off with --undo", len(list), maxListed)
	}
	return nil
}

// checkServer says what is wrong with the addresses of a line.
func checkServer(e *Listed) error {
	if e.Role == IndexRole {
		_, err := index.ParseURI(index.FormatURI(index.Link{Key: e.Key, Addrs: e.Addrs}))
		return err
	}
	if len(e.Addrs) > wire.MaxAddresses {
		return fmt.Errorf("%d addresses, at most %d", len(e.Addrs), wire.MaxAddresses)
	}
	for _, a := range e.Addrs {
		if s, err := parseRelay(a); err != nil || s.ID != e.Key {
			return fmt.Errorf("relay %.80q: not an address of %s: %w", a, e.Key.Short(), err)
		}
	}
	return nil
}

// ServerView is a server as the user sees it.
type ServerView struct {
	Role      Role
	Key       ident.ID
	Trust     Trust    // "" if the user has said nothing
	From      string   // given (at the start), found, or listed
	Addrs     []string // where it is, as far as is known
	Connected bool     // index: there is a connection; relay: this node is reached through it
	Resting   bool     // index: there is none because it is full, and knows what this node announces
	Wrong     int      // index: answers that turned out wrong lately
	Problem   string   // why it does not serve now, as the last attempt says; "" if it does, was not asked yet, or is blocked
}

// Servers are all servers of a role, in the order in which they are asked; then those that are blocked.
func (l *Loop) Servers(role Role) (list []ServerView) {
	connected, resting, wrong, problems := map[ident.ID]bool{}, map[ident.ID]bool{}, map[ident.ID]int{}, map[ident.ID]string{}
	if role == RelayRole {
		for _, r := range l.host.Relays() {
			connected[r.Relay] = r.Err == nil
			if r.Err != nil && !errors.Is(r.Err, p2p.ErrNotAsked) {
				problems[r.Relay] = briefly(r.Err)
			}
		}
	} else {
		standings, _ := l.index.Standings()
		for _, s := range standings {
			connected[s.Key], resting[s.Key], wrong[s.Key] = s.Connected, s.Resting, s.Wrong
			if s.Err != nil {
				problems[s.Key] = briefly(s.Err)
			}
		}
	}
	d := &l.servers
	d.mu.Lock()
	defer d.mu.Unlock()
	has := func(list []Server, id ident.ID) bool {
		return slices.ContainsFunc(list, func(s Server) bool { return s.ID == id })
	}
	for _, s := range d.all(role) {
		v := ServerView{Role: role, Key: s.ID, Trust: d.listed[role][s.ID].Trust, From: "listed", Addrs: s.Addrs, Connected: connected[s.ID], Resting: resting[s.ID], Wrong: wrong[s.ID], Problem: problems[s.ID]}
		switch {
		case has(d.given[role], s.ID):
			v.From = "given"
		case has(d.found[role], s.ID):
			v.From = "found"
		}
		list = append(list, v)
	}
	rank := func(v ServerView) int {
		switch {
		case v.Trust == Blocked:
			return 1 << 20
		case role == IndexRole:
			return index.Rank(v.Wrong, v.Trust == Trusted)
		}
		return 0
	}
	slices.SortStableFunc(list, func(a, b ServerView) int { return rank(a) - rank(b) })
	return list
}

// maxProblem bounds what is shown of an error: one for each address of a server may be in it.
const maxProblem = 500

// briefly is an error on one line.
func briefly(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	return strings.ToValidUTF8(text[:min(len(text), maxProblem)], "")
}

// seekServers looks for servers of a role while fewer than serversFound of those that were found serve this node, until the
// loop ends.
func (l *Loop) seekServers(role Role) {
	var found []Server
	var next time.Time // no search before
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.life.Done():
			return
		case <-timer.C:
		}
		timer.Reset(serversEvery)
		serving := map[ident.ID]bool{}
		for _, v := range l.Servers(role) {
			serving[v.Key] = (v.Connected || v.Resting) && v.Trust != Blocked
		}
		found = slices.DeleteFunc(found, func(s Server) bool { return !serving[s.ID] })
		if len(found) >= serversFound || len(found) > 0 && time.Now().Before(next) {
			continue
		}
		ctx, cancel := context.WithTimeout(l.life, publishTime)
		more, err := l.findServers(ctx, role)
		cancel()
		if err != nil {
			l.log.Debug("no servers are found", "kind", role, "error", err)
		}
		for _, s := range more {
			if len(found) < serversFound {
				found = join(found, s)
			}
		}
		next = time.Now().Add(serversPause)
		l.servers.foundNow(role, slices.Clone(found))
	}
}

// findServers looks for servers of a role and returns the first that say who they are and are not blocked, taken by
// chance: so nobody has all nodes by being found first.
func (l *Loop) findServers(ctx context.Context, role Role) ([]Server, error) {
	list, err := l.opt.Finder.Servers(ctx, role)
	if err != nil {
		return nil, err
	}
	shuffle(list)
	var found []Server
	for _, at := range list[:min(len(list), serversAsked)] {
		if len(found) == serversFound {
			break
		}
		askCtx, cancel := context.WithTimeout(ctx, askTime)
		id, err := p2p.WhoIs(askCtx, at)
		cancel()
		if err != nil || l.servers.isBlocked(id) {
			continue
		}
		addrs := p2p.ServerAddrs(id, at)
		if role == IndexRole {
			addrs = overTCP(addrs)
		}
		found = join(found, Server{id, addrs})
	}
	return found, nil
}

// overTCP are the addresses of an index server among those of a server: it listens on nothing else.
func overTCP(addrs []string) (list []string) {
	for _, a := range addrs {
		if strings.Contains(a, "/tcp/") {
			a, _, _ = strings.Cut(a, "/p2p/")
			list = append(list, a)
		}
	}
	return list
}
