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
  void recover(uint64_t what);    // on EventKind::recover
  void stop();                    // every link, disk and process ordinary again

 private:
  // Cut links that come and go: `changes` more times, `period` apart.
  struct Partition {
    LinkSet cut = 0;
    bool on = false;
    uint64_t changes = 0;
    int64_t period = 0;
  };
  // What ends, or goes on, at an EventKind::recover.
  enum class Trouble : uint8_t {
    network,
    slow_disk,
    stalled_disk,
    stalled_apply,
    crash_loop,
    clients
  };

  uint64_t victim();
  int64_t spell();  // how long a fault lasts
  void recover_later(Trouble trouble, uint64_t node, uint64_t times, int64_t delay);
  void crash_one();
  void crash_again_and_again();
  void lose_power();
  void light_fuse();
  void storm();
  void pause_one();
  void stall_stage();
  void slow_disk();
  void wipe_one();
  void rot_some();
  void lose_store();
  void transfer();
  void change_members();
  void alter(consensus::Members& target, NodeId id);
  void retire_one();
  void disturb_clock();
  void jump_clock();
  void hint();
  void cut_off_clients();
  void rest();

  void partition();
  void flap();
  void swizzle();
  void shape();
  void begin(const Partition& partition, int64_t delay);
  LinkSet draw_cut();
  LinkSet draw_shape();
  void apply_cuts();

  Cluster& cluster_;
  Rng rng_;
  std::vector<void (Nemesis::*)()> faults_;
  std::vector<Partition> partitions_;
  uint64_t storms_ = 0;
  bool resting_ = false;
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
