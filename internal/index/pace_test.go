package index

import (
	"testing"
	"time"
)

// Rule I6: a burst at once, then the rate, and the burst again after a rest.
func TestBucket(t *testing.T) {
	var b bucket
	start := time.Unix(1_800_000_000, 0)
	const rate, burst = 10, 20
	for _, c := range []struct {
		name string
		at   time.Duration
		n    int
		want time.Duration
	}{
		{"the burst", 0, 20, 0},
		{"one beyond it", 0, 1, 100 * time.Millisecond},
		{"one more", 0, 1, 200 * time.Millisecond},
		{"nothing more after that wait", 200 * time.Millisecond, 0, 0},
		{"five after half a second", 700 * time.Millisecond, 5, 0},
		{"and a sixth", 700 * time.Millisecond, 1, 100 * time.Millisecond},
		{"the burst again after a rest", time.Hour, 20, 0},
		{"but no more than that", time.Hour, 1, 100 * time.Millisecond},
	} {
		if got := b.take(c.n, rate, burst, start.Add(c.at)); got != c.want {
			t.Fatalf("%s: wait %v, want %v", c.name, got, c.want)
		}
	}
	if b.unused(start.Add(time.Hour + 2*time.Second)) {
		t.Fatal("unused, with 21 of 10 a second taken 2 s ago")
	}
	if !b.unused(start.Add(time.Hour + 2100*time.Millisecond)) {
		t.Fatal("not unused after 2.1 s")
	}
}

// Rule I10.
func TestFlight(t *testing.T) {
	var f flight
	f.begin()
	f.begin()
	if f.drain(time.Nanosecond) {
		t.Fatal("drained with two under way")
	}
	if f.begin() {
		t.Fatal("one more began after the end")
	}
	f.done(2)
	<-f.empty
	var g flight
	if !g.drain(patience) {
		t.Fatal("not drained, with nothing under way")
	}
}
