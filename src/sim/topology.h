// sim/topology.h: shapes of broken networks, as sets of cut links.
//
// Used by the nemesis, which draws them, and by the tests that try every connected graph.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "sim/cluster.h"

namespace quorate::sim {

using Edge = std::pair<uint64_t, uint64_t>;

// Everything between two of `nodes` except these edges, both ways.
LinkSet all_but(uint64_t nodes, const std::vector<Edge>& edges);
LinkSet around(uint64_t nodes, uint64_t node, bool in, bool out);
// Nodes whose bits differ cannot talk.
LinkSet split(uint64_t nodes, uint64_t sides);
// Every node a neighbour of the next in `order`; with `closed`, the last of the first as well.
std::vector<Edge> chain(const std::vector<uint64_t>& order, bool closed);
std::vector<Edge> star(uint64_t nodes, uint64_t hub);
// A random tree and a few edges more.
std::vector<Edge> random_connected(uint64_t nodes, Rng& rng);
std::vector<uint64_t> random_order(uint64_t nodes, Rng& rng);

// All connected graphs of so many nodes, one of each shape (up to renaming of nodes), sorted by
// the number of edges. At most 6 nodes: the search is exhaustive.
std::vector<std::vector<Edge>> connected_graphs(uint64_t nodes);
// Positions that some renaming of the graph carries into each other count once: the least of each.
std::vector<uint64_t> distinct_positions(uint64_t nodes, const std::vector<Edge>& edges);

}  // namespace quorate::sim
