// Reads graphs as "nodes arcs from to amount" and an arc per line, "from to capacity cost",
// and writes for each the least cost of carrying the amount, -1 if nothing carries it.
#include <iostream>
#include <lemon/network_simplex.h>
#include <lemon/smart_graph.h>

int main() {
  long long n, m, s, t, amount;
  while (std::cin >> n >> m >> s >> t >> amount) {
    lemon::SmartDigraph g;
    lemon::SmartDigraph::ArcMap<long long> cap(g), cost(g);
    g.reserveNode(n);
    g.reserveArc(m);
    for (long long i = 0; i < n; i++) g.addNode();
    for (long long i = 0; i < m; i++) {
      long long u, v, c, p;
      std::cin >> u >> v >> c >> p;
      auto a = g.addArc(g.nodeFromId(u), g.nodeFromId(v));
      cap[a] = c;
      cost[a] = p;
    }
    lemon::NetworkSimplex<lemon::SmartDigraph, long long, long long> f(g);
    f.upperMap(cap).costMap(cost).stSupply(g.nodeFromId(s), g.nodeFromId(t), amount);
    if (f.run() == f.OPTIMAL) std::cout << f.totalCost() << std::endl;
    else std::cout << -1 << std::endl;
  }
}
