package run

import (
	"kula/ident"
	"kula/internal/find"
	"kula/internal/p2p"
)

// CheckAddress says why a friend cannot be reached at an address; nil does not say that it can.
func CheckAddress(friend ident.ID, addr string) error { return p2p.CheckAddress(friend, addr) }

// CheckListen says why an address is none to listen on.
func CheckListen(addr string) error { return p2p.CheckListen(addr) }

// CheckRelay says why an address cannot be that of a relay.
func CheckRelay(addr string) error { return p2p.CheckRelay(addr) }

// CheckFind says why an address is none to publish at and look up.
func CheckFind(place string) error { return find.CheckPlace(place) }
