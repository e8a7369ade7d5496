package index

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"kula/ident"
	"kula/route"
	"kula/wire"
)

// BenchmarkQuery asks over the loopback from one client, with so many questions under
// way, on a chain of five people: it measures everything but the search.
func BenchmarkQuery(b *testing.B) {
	for _, c := range []struct {
		name  string
		ahead int
	}{{"alone", 1}, {"128 under way", 128}} {
		b.Run(c.name, func(b *testing.B) {
			s := startServer(b, Options{Rates: Rates{Questions: 1 << 30}})
			var chain []*person
			for _, name := range []string{"ana", "ben", "cleo", "dan", "eve"} {
				chain = append(chain, newPerson(b, name))
			}
			conn := befriend(b, s, chain...)[0]
			question := route.EncodeMessage(query(chain[0], chain[4], 100))
			places := make(chan struct{}, c.ahead)
			b.ReportAllocs()
			b.ResetTimer()
			go func() {
				var frames [][]byte
				for n := 0; n < b.N; n += len(frames) {
					frames = frames[:0]
					places <- struct{}{}
					frames = append(frames, question)
					for more := true; more && n+len(frames) < b.N; {
						select {
						case places <- struct{}{}:
							frames = append(frames, question)
						default:
							more = false
						}
					}
					if conn.WriteFrames(frames) != nil {
						return
					}
				}
			}()
			for range b.N {
				if _, err := conn.ReadFrame(); err != nil {
					b.Fatal(err)
				}
				<-places
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
		})
	}
}

// BenchmarkFollow reads a server's log into a mirror over the loopback, as its follower does: announcements that their nodes signed ten at a
// time. "of verifying" is its rate as a part of that of verifying them alone, in messages as large as a node publishes.
func BenchmarkFollow(b *testing.B) {
	const nodes, friends = 10_000, 10
	var said []wire.Batched
	for n := range nodes {
		key := ident.NewKey([32]byte{1, byte(n), byte(n >> 8)})
		var list []route.Announcement
		for f := range friends {
			list = append(list, route.Announcement{Node: key.ID(), Friend: numbered(n/friends*friends + f), Number: 1_800_000_000_000, Expires: nowPlus(3000),
				Entries: []route.Entry{{Currency: eur, CanReceive: 1200, FeeBase: 1, FeePpm: 300}}})
		}
		signed, err := route.SignAll(key, list)
		if err != nil {
			b.Fatal(err)
		}
		said = append(said, signed...)
	}
	dir := b.TempDir()
	if err := WriteLog(dir, slices.Values(said)); err != nil {
		b.Fatal(err)
	}
	began, suite := time.Now(), verifier()
	for list := range slices.Chunk(said, route.MaxPublish) {
		if _, errs := route.OpenAll(suite, list, nil); errs[0] != nil {
			b.Fatal(errs[0])
		}
	}
	alone := float64(len(said)) / time.Since(began).Seconds()
	s := startServer(b, Options{Dir: dir})
	link, err := ParseURI(s.URI())
	if err != nil {
		b.Fatal(err)
	}
	reader := newPerson(b, "mirror")
	for b.Loop() {
		m := NewMirror(reader.host, slog.New(slog.DiscardHandler), 0)
		m.Use([]Link{link})
		<-m.whole
		if _, n, _ := m.Size(); n != len(said) {
			b.Fatalf("%d of %d announcements", n, len(said))
		}
		m.Close()
	}
	rate := float64(len(said)*b.N) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "announcements/s")
	b.ReportMetric(rate/alone, "of-verifying")
}
