// sim/full/ending.h: after the calamity a cluster must work again, in bounded time.
//
// First a healthy core: a random quorum of whole members is restored and sees each other again,
// everything else stays as the calamity left it: down, deaf, slow, hung, cut off. Within a bound
// of simulated time the core must have a leader, fresh writes, reads and equal states. Then all
// is healed: every member must come back and be equal.
#pragma once

#include <string>
#include <vector>

#include "sim/full/client.h"
#include "sim/full/cluster.h"
#include "sim/full/nemesis.h"
#include "sim/full/watchers.h"

namespace quorate::sim::full {

class Ending {
 public:
  Ending(Cluster& cluster, Clients& clients, Watchers& watchers, Nemesis& nemesis, Rng rng)
      : cluster_(cluster), clients_(clients), watchers_(watchers), nemesis_(nemesis), rng_(rng) {}
  // Reports a violation when the cluster does not come back.
  void run();

 private:
  std::vector<uint64_t> draw_core();
  void require(const std::vector<uint64_t>& members, const std::string& phase, Duration bound);
  void tend(const std::vector<uint64_t>& members);
  void ask(const std::vector<uint64_t>& members);
  // What is still lacking, or nothing.
  std::string missing(const std::vector<uint64_t>& members) const;

  Cluster& cluster_;
  Clients& clients_;
  Watchers& watchers_;
  Nemesis& nemesis_;
  Rng rng_;
  uint64_t writes_before_ = 0;
  uint64_t reads_before_ = 0;
};

}  // namespace quorate::sim::full
