package index

import (
	"testing"

	"kula/route"
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
