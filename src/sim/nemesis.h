// sim/nemesis.h: what breaks the world, and the clients that work meanwhile.
//
// Both draw everything from their own stream of the seed and act only through the cluster's
// actions. The nemesis stops for ever when the end phase begins.
#pragma once

#include <vector>

#include "base/rng.h"
#include "sim/cluster.h"

namespace quorate::sim {

class Nemesis {
 public:
  Nemesis(Cluster& cluster, Rng rng);
  void act();                     // on EventKind::fault
  void heal(uint64_t partition);  // on EventKind::heal
  void recover(uint64_t victim);  // on EventKind::recover
  void stop();                    // every link, disk and process ordinary again

 private:
  uint64_t victim();
  int64_t spell();  // how long a fault lasts
  void crash_one();
  void lose_power();
  void light_fuse();
  void partition();
  LinkSet draw_cut();
  LinkSet split();
  LinkSet bridge();
  LinkSet around(uint64_t node, bool in, bool out) const;
  void storm();
  void apply_cuts();

  void pause_one();
  void slow_disk();
  void wipe_one();
  void transfer();
  void disturb_clock();
  void hint();

  Cluster& cluster_;
  Rng rng_;
  std::vector<void (Nemesis::*)()> faults_;
  std::vector<LinkSet> partitions_;  // 0: healed
  uint64_t storms_ = 0;
  bool stopped_ = false;
};

// Proposals and reads, mostly at the leader, sometimes anywhere.
class Clients {
 public:
  Clients(Cluster& cluster, Rng rng) : cluster_(cluster), rng_(rng) {}
  void act();  // on EventKind::client

 private:
  uint64_t pick();
  Cluster& cluster_;
  Rng rng_;
};

}  // namespace quorate::sim
