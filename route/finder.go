package route

// Finder answers questions about a graph one after the other, with the memory that the
// last one took. It is for one goroutine at a time; any number of finders may work on
// a graph that nobody writes.
type Finder struct {
	g      *Graph
	s      search
	proved bool
}

// Proved says of the routes that Cheapest, Any or Search gave last whether nothing costs less: a bounded effort may find a
// route and not that there is no cheaper one, and several parts are proved only if they cost nothing.
func (f *Finder) Proved() bool { return f.proved }

// Finder makes one for the graph.
func (g *Graph) Finder() *Finder { return &Finder{g: g} }

// begin makes the finder's search one for a request.
func (f *Finder) begin(r *Request) *search {
	f.proved = false
	s := &f.s
	s.ground, s.maxHops, s.cycle = newGround(f.g, r, nil), r.maxHops(), r.cycle()
	return s
}

// Cheapest is Finder.Cheapest of a new finder.
func (g *Graph) Cheapest(r Request) (Route, error) { return g.Finder().Cheapest(r) }

// Any is Finder.Any of a new finder.
func (g *Graph) Any(r Request) (Route, error) { return g.Finder().Any(r) }

// UpTo is Finder.UpTo of a new finder.
func (g *Graph) UpTo(r Request) (Route, error) { return g.Finder().UpTo(r) }

// Search is Finder.Search of a new finder.
func (g *Graph) Search(r Request) ([]Route, error) { return g.Finder().Search(r) }

// Most is Finder.Most of a new finder.
func (g *Graph) Most(r Request) ([]Route, error) { return g.Finder().Most(r) }

// Answer is Finder.Answer of a new finder.
func (g *Graph) Answer(q *Query) *Answer { return g.Finder().Answer(q) }
