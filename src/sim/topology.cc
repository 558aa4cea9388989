#include "sim/topology.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace quorate::sim {
namespace {

constexpr uint64_t kEnumeratedNodesMax = 6;

// An undirected graph as a set of pairs: bit of (low, high) in the order (0,1), (0,2), ... .
uint64_t pair_bit(uint64_t nodes, uint64_t left, uint64_t right) {
  const uint64_t low = std::min(left, right);
  const uint64_t high = std::max(left, right);
  return low * nodes - low * (low + 1) / 2 + (high - low - 1);
}

std::vector<Edge> all_pairs(uint64_t nodes) {
  std::vector<Edge> pairs;
  for (uint64_t low = 0; low < nodes; ++low) {
    for (uint64_t high = low + 1; high < nodes; ++high) pairs.emplace_back(low, high);
  }
  return pairs;
}

uint64_t renamed(uint64_t nodes, uint64_t graph, const std::vector<uint64_t>& names) {
  uint64_t result = 0;
  for (const auto& [low, high] : all_pairs(nodes)) {
    if (((graph >> pair_bit(nodes, low, high)) & 1U) == 0) continue;
    result |= uint64_t{1} << pair_bit(nodes, names[low], names[high]);
  }
  return result;
}

bool connected(uint64_t nodes, uint64_t graph) {
  uint64_t reached = 1;
  for (uint64_t round = 1; round < nodes; ++round) {
    for (const auto& [low, high] : all_pairs(nodes)) {
      if (((graph >> pair_bit(nodes, low, high)) & 1U) == 0) continue;
      if (((reached >> low) & 1U) != 0) reached |= uint64_t{1} << high;
      if (((reached >> high) & 1U) != 0) reached |= uint64_t{1} << low;
    }
  }
  return reached == (uint64_t{1} << nodes) - 1;
}

std::vector<uint64_t> first_order(uint64_t nodes) {
  std::vector<uint64_t> order(nodes);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

}  // namespace

LinkSet all_but(uint64_t nodes, const std::vector<Edge>& edges) {
  LinkSet cut = 0;
  for (uint64_t from = 0; from < nodes; ++from) {
    for (uint64_t to = 0; to < nodes; ++to) {
      if (from != to) cut |= link(from, to);
    }
  }
  for (const auto& [left, right] : edges) cut &= ~(link(left, right) | link(right, left));
  return cut;
}

LinkSet around(uint64_t nodes, uint64_t node, bool in, bool out) {
  LinkSet cut = 0;
  for (uint64_t other = 0; other < nodes; ++other) {
    if (other == node) continue;
    if (in) cut |= link(other, node);
    if (out) cut |= link(node, other);
  }
  return cut;
}

LinkSet split(uint64_t nodes, uint64_t sides) {
  LinkSet cut = 0;
  for (uint64_t from = 0; from < nodes; ++from) {
    for (uint64_t to = 0; to < nodes; ++to) {
      if (((sides >> from) & 1U) != ((sides >> to) & 1U)) cut |= link(from, to);
    }
  }
  return cut;
}

std::vector<Edge> chain(const std::vector<uint64_t>& order, bool closed) {
  std::vector<Edge> edges;
  for (size_t place = 1; place < order.size(); ++place) {
    edges.emplace_back(order[place - 1], order[place]);
  }
  if (closed && order.size() > 2) edges.emplace_back(order.back(), order.front());
  return edges;
}

std::vector<Edge> star(uint64_t nodes, uint64_t hub) {
  std::vector<Edge> edges;
  for (uint64_t node = 0; node < nodes; ++node) {
    if (node != hub) edges.emplace_back(hub, node);
  }
  return edges;
}

std::vector<uint64_t> random_order(uint64_t nodes, Rng& rng) {
  std::vector<uint64_t> order = first_order(nodes);
  for (uint64_t left = nodes; left > 1; --left) std::swap(order[left - 1], order[rng.below(left)]);
  return order;
}

std::vector<Edge> random_connected(uint64_t nodes, Rng& rng) {
  const std::vector<uint64_t> order = random_order(nodes, rng);
  std::vector<Edge> edges;
  for (uint64_t place = 1; place < nodes; ++place) {
    edges.emplace_back(order[rng.below(place)], order[place]);
  }
  for (uint64_t more = rng.below(nodes); more != 0; --more) {
    const uint64_t left = rng.below(nodes);
    const uint64_t right = rng.below(nodes);
    if (left != right) edges.emplace_back(left, right);
  }
  return edges;
}

std::vector<std::vector<Edge>> connected_graphs(uint64_t nodes) {
  CHECK(nodes >= 1 && nodes <= kEnumeratedNodesMax, "every renaming of every graph is tried");
  const std::vector<Edge> pairs = all_pairs(nodes);
  std::vector<bool> known(size_t{1} << pairs.size(), false);
  std::vector<std::vector<Edge>> graphs;
  for (uint64_t graph = 0; graph < known.size(); ++graph) {
    if (known[graph] || !connected(nodes, graph)) continue;
    std::vector<uint64_t> names = first_order(nodes);
    do {
      known[renamed(nodes, graph, names)] = true;
    } while (std::ranges::next_permutation(names).found);
    std::vector<Edge> edges;
    for (const Edge& pair : pairs) {
      if (((graph >> pair_bit(nodes, pair.first, pair.second)) & 1U) != 0) edges.push_back(pair);
    }
    graphs.push_back(std::move(edges));
  }
  std::ranges::stable_sort(graphs, {}, &std::vector<Edge>::size);
  return graphs;
}

std::vector<uint64_t> distinct_positions(uint64_t nodes, const std::vector<Edge>& edges) {
  uint64_t graph = 0;
  for (const auto& [left, right] : edges) graph |= uint64_t{1} << pair_bit(nodes, left, right);
  std::vector<uint64_t> least = first_order(nodes);
  std::vector<uint64_t> names = first_order(nodes);
  do {
    if (renamed(nodes, graph, names) != graph) continue;
    for (uint64_t node = 0; node < nodes; ++node) {
      least[node] = std::min(least[node], names[node]);
    }
  } while (std::ranges::next_permutation(names).found);
  std::vector<uint64_t> positions;
  for (uint64_t node = 0; node < nodes; ++node) {
    if (least[node] == node) positions.push_back(node);
  }
  return positions;
}

}  // namespace quorate::sim
