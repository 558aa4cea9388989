// sim/full/network_faults.h: the troubles of the network between members, one laid over another.
//
// Each trouble takes links down, makes them silent or worse; a link is as bad as all troubles
// that touch it make it. Ending one restores what no other still spoils.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "sim/full/cluster.h"

namespace quorate::sim::full {

using LinkSet = uint64_t;  // directed links, bits from * kMembersMax + to

class NetworkFaults {
 public:
  struct Trouble {
    LinkSet down = 0;
    LinkSet silent = 0;
    LinkSet worse = 0;  // these get:
    std::optional<world::LinkOptions> quality{};
  };
  NetworkFaults(Cluster& cluster, Rng rng) : cluster_(cluster), rng_(rng) {}

  uint64_t begin(const Trouble& trouble);
  void end(uint64_t trouble);
  // No trouble touches these links any more.
  void spare(LinkSet links);
  void clear();
  // Whether anything stands between the two, either way.
  bool between_are_troubles(uint64_t left, uint64_t right) const;

  // ---- Shapes: what must be cut for it.
  LinkSet draw(Fault shape, uint64_t victim);
  LinkSet one_way(uint64_t member, bool deaf) const;
  LinkSet between(uint64_t left, uint64_t right) const;  // both ways
  LinkSet among(const std::vector<uint64_t>& members) const;
  LinkSet every() const;

 private:
  static LinkSet link(uint64_t from, uint64_t to) {
    return LinkSet{1} << (from * kMembersMax + to);
  }
  LinkSet around(uint64_t member) const;
  LinkSet all_but(LinkSet kept) const { return every() & ~kept; }
  std::vector<uint64_t> shuffled();
  LinkSet split();
  LinkSet chain(bool closed);
  LinkSet random_graph();
  void apply();

  Cluster& cluster_;
  Rng rng_;
  std::map<uint64_t, Trouble> troubles_;
  uint64_t next_ = 1;
};

}  // namespace quorate::sim::full
