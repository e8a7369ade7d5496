package route

import (
	"math/rand/v2"
	"testing"

	"kula/ident"
	"kula/money"
)

// scaleFree is a net of n nodes with 5 channels for each newcomer, made with whom
// has many already (Barabási and Albert, Science 286, 1999): 10 directed edges a
// node. Limits spread over three powers of ten; half of the nodes charge.
func scaleFree(tb testing.TB, n int) (*Graph, []ident.ID) {
	rng := rand.New(rand.NewPCG(7, 7))
	nodes := make([]ident.ID, n)
	for i := range nodes {
		for k := range nodes[i] {
			nodes[i][k] = byte(rng.Uint32())
		}
	}
	g := NewGraph(20 * n)
	say := func(node, friend int) {
		e := Entry{Currency: eur, CanReceive: Coarse(100 << rng.IntN(11))}
		if node%2 == 0 {
			e.FeeBase, e.FeePpm = money.Amount(rng.IntN(10)), uint32(rng.IntN(5000))
		}
		a := Announcement{Node: nodes[node], Friend: nodes[friend], Number: 1, Expires: noon + hour, Entries: []Entry{e}}
		if _, err := g.Apply(a, noon); err != nil {
			tb.Fatal(err)
		}
	}
	ends := []int{0}
	degree := make([]int, n)
	for i := 1; i < n; i++ {
		chosen := map[int]bool{i: true}
		for range min(5, i) {
			k := ends[rng.IntN(len(ends))]
			for chosen[k] || degree[k] >= MaxFriends {
				k = rng.IntN(i + 1)
			}
			chosen[k] = true
			say(i, k)
			say(k, i)
			ends = append(ends, i, k)
			degree[i], degree[k] = degree[i]+1, degree[k]+1
		}
	}
	return g, nodes
}

func benchQuery(b *testing.B, question func(g *Graph, r Request) (Route, error), cycle bool) {
	g, nodes := scaleFree(b, 10_000)
	_, _, edges := g.Size()
	rng := rand.New(rand.NewPCG(1, 1))
	found, hops := 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r := Request{From: nodes[rng.IntN(len(nodes))], To: nodes[rng.IntN(len(nodes))], Currency: eur, Amount: 5000, MaxFee: NoMaxFee, Announced: true}
		if cycle {
			r.To = r.From
		}
		if q, err := question(g, r); err == nil {
			found++
			hops += len(q.Hops)
		}
	}
	b.ReportMetric(float64(edges), "edges")
	b.ReportMetric(float64(found)/float64(b.N), "found/op")
	b.ReportMetric(float64(hops)/float64(max(found, 1)), "hops/route")
}

func BenchmarkCheapest(b *testing.B) { benchQuery(b, (*Graph).Cheapest, false) }
func BenchmarkCycle(b *testing.B)    { benchQuery(b, (*Graph).Cheapest, true) }

// BenchmarkBounded asks for fewer channels than the cheapest route mostly has.
func BenchmarkBounded(b *testing.B) {
	benchQuery(b, func(g *Graph, r Request) (Route, error) {
		r.MaxHops = 5
		return g.Cheapest(r)
	}, false)
}
func BenchmarkUpTo(b *testing.B) { benchQuery(b, (*Graph).UpTo, false) }

func BenchmarkApply(b *testing.B) {
	g, _ := scaleFree(b, 10_000)
	type pair struct{ node, friend int32 }
	var pairs []pair
	for n := range g.blocks {
		for i := range g.blocks[n].len() {
			pairs = append(pairs, pair{int32(n), g.blocks[n].friend(i)})
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p := pairs[i*7919%len(pairs)]
		a := Announcement{Node: g.nodes.items[p.node], Friend: g.nodes.items[p.friend], Number: uint64(i + 2), Expires: noon + hour, Entries: []Entry{{Currency: eur, CanReceive: 500}}}
		if _, err := g.Apply(a, noon); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParts asks for amounts that mostly one route can carry, and dearer.
func BenchmarkParts(b *testing.B) {
	benchQuery(b, func(g *Graph, r Request) (Route, error) {
		r.MaxParts = MaxParts
		list, err := g.Search(r)
		if err != nil {
			return Route{}, err
		}
		return list[0], nil
	}, false)
}
