#include "sim/full/network_faults.h"

#include <algorithm>
#include <utility>

namespace quorate::sim::full {

uint64_t NetworkFaults::begin(const Trouble& trouble) {
  troubles_.emplace(next_, trouble);
  apply();
  return next_++;
}

void NetworkFaults::end(uint64_t trouble) {
  if (troubles_.erase(trouble) != 0) apply();
}

void NetworkFaults::spare(LinkSet links) {
  for (auto& [number, trouble] : troubles_) {
    trouble.down &= ~links;
    trouble.silent &= ~links;
    trouble.worse &= ~links;
  }
  apply();
}

void NetworkFaults::clear() {
  troubles_.clear();
  apply();
}

bool NetworkFaults::between_are_troubles(uint64_t left, uint64_t right) const {
  const LinkSet links = between(left, right);
  return std::ranges::any_of(troubles_, [&](const auto& entry) {
    const Trouble& trouble = entry.second;
    return ((trouble.down | trouble.silent | trouble.worse) & links) != 0;
  });
}

void NetworkFaults::apply() {
  for (uint64_t from = 0; from < cluster_.size(); ++from) {
    for (uint64_t to = 0; to < cluster_.size(); ++to) {
      if (from == to) continue;
      world::LinkOptions options = cluster_.swarm().link;
      for (const auto& [number, trouble] : troubles_) {
        if ((trouble.worse & link(from, to)) != 0 && trouble.quality) options = *trouble.quality;
      }
      for (const auto& [number, trouble] : troubles_) {
        if ((trouble.down & link(from, to)) != 0) options.up = false;
        if ((trouble.silent & link(from, to)) != 0) options.silent = true;
      }
      cluster_.world().set_link(Cluster::id_of(from), Cluster::id_of(to), options);
    }
  }
}

// ---- Shapes.

LinkSet NetworkFaults::every() const {
  LinkSet links = 0;
  for (uint64_t from = 0; from < cluster_.size(); ++from) {
    for (uint64_t to = 0; to < cluster_.size(); ++to) {
      if (from != to) links |= link(from, to);
    }
  }
  return links;
}

LinkSet NetworkFaults::between(uint64_t left, uint64_t right) const {
  return left == right ? 0 : link(left, right) | link(right, left);
}

LinkSet NetworkFaults::around(uint64_t member) const {
  LinkSet links = 0;
  for (uint64_t other = 0; other < cluster_.size(); ++other) links |= between(member, other);
  return links;
}

LinkSet NetworkFaults::one_way(uint64_t member, bool deaf) const {
  LinkSet links = 0;
  for (uint64_t other = 0; other < cluster_.size(); ++other) {
    if (other != member) links |= deaf ? link(other, member) : link(member, other);
  }
  return links;
}

LinkSet NetworkFaults::among(const std::vector<uint64_t>& members) const {
  LinkSet links = 0;
  for (const uint64_t left : members) {
    for (const uint64_t right : members) links |= between(left, right);
  }
  return links;
}

std::vector<uint64_t> NetworkFaults::shuffled() {
  std::vector<uint64_t> order;
  for (uint64_t member = 0; member < cluster_.size(); ++member) order.push_back(member);
  for (size_t left = order.size(); left > 1; --left) {
    std::swap(order[left - 1], order[rng_.below(left)]);
  }
  return order;
}

LinkSet NetworkFaults::split() {
  const uint64_t side = rng_.next();
  LinkSet cut = 0;
  for (uint64_t left = 0; left < cluster_.size(); ++left) {
    for (uint64_t right = 0; right < left; ++right) {
      if (((side >> left) & 1U) != ((side >> right) & 1U)) cut |= between(left, right);
    }
  }
  return cut;
}

LinkSet NetworkFaults::chain(bool closed) {
  const std::vector<uint64_t> order = shuffled();
  LinkSet kept = 0;
  for (size_t place = 1; place < order.size(); ++place) {
    kept |= between(order[place - 1], order[place]);
  }
  if (closed) kept |= between(order.front(), order.back());
  return all_but(kept);
}

LinkSet NetworkFaults::random_graph() {
  const std::vector<uint64_t> order = shuffled();
  LinkSet kept = 0;
  for (size_t place = 1; place < order.size(); ++place) {
    kept |= between(order[place], order[rng_.below(place)]);
  }
  const uint64_t more = rng_.below(order.size());
  for (uint64_t extra = 0; extra < more; ++extra) {
    const uint64_t left = rng_.below(order.size());
    kept |= between(left, rng_.below(order.size()));
  }
  return all_but(kept);
}

LinkSet NetworkFaults::draw(Fault shape, uint64_t victim) {
  if (shape == Fault::isolate) return around(victim);
  if (shape == Fault::bridge) return split() & ~around(victim);
  if (shape == Fault::star) return all_but(around(victim));
  if (shape == Fault::ring) return chain(true);
  if (shape == Fault::chain) return chain(false);
  if (shape == Fault::random_graph) return random_graph();
  if (shape == Fault::half_open) return between(victim, rng_.below(cluster_.size()));
  return split();
}

}  // namespace quorate::sim::full
