//go:build race

package p2p

// raceEnabled: the race detector keeps several bytes beside each of ours, so
// memory figures mean nothing.
const raceEnabled = true
