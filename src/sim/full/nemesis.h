// sim/full/nemesis.h: breaks the world of a full simulation, one fault after another.
//
// Every few moments one class of the swarm's faults strikes; most of them end by themselves a
// spell later. It is also the operator who starts again what is down, and replaces a directory
// that is refused again and again when the atlas allows it. stop() freezes everything as it is;
// the ending (ending.h) then heals what it needs.
#pragma once

#include <vector>

#include "sim/full/client.h"
#include "sim/full/cluster.h"
#include "sim/full/network_faults.h"

namespace quorate::sim::full {

class Nemesis {
 public:
  Nemesis(Cluster& cluster, Clients& clients, Rng rng);

  void start();
  void stop();  // what was begun does not end by itself any more
  // These members are well, see each other, and are seen by the clients.
  void spare(const std::vector<uint64_t>& members);
  void cut_off(const std::vector<uint64_t>& members);  // from all others
  void heal_all();
  // The operator's way to bring a member back. False: it is still down.
  bool bring_back(uint64_t member);
  bool troubles_between(uint64_t left, uint64_t right) const {
    return network_.between_are_troubles(left, right);
  }
  uint64_t strikes() const { return strikes_; }

 private:
  struct Row {
    Fault fault;
    void (Nemesis::*strike)(Fault);
  };
  static const Row kRows[];

  // Unless the nemesis was stopped meanwhile.
  void later(Duration pause, world::Task action);
  Duration spell();
  uint64_t victim();
  uint64_t anybody() { return rng_.below(cluster_.size()); }
  void act();
  void quiet_window();
  void on_down(uint64_t member);
  void restore(uint64_t member);

  // Processes.
  void crash(Fault fault);
  void lose_power(Fault fault);
  void crash_at_step(Fault fault);
  void loop(Fault fault);
  void stop_one(Fault fault);
  void pause(Fault fault);
  void hold_stage(Fault fault);
  void hold(uint64_t member, world::Stage stage);
  void hand_over(Fault fault);
  void lose(Fault fault);
  void clone(Fault fault);
  // Time.
  void slow_cpu(Fault fault);
  void disturb_clock(Fault fault);
  void disturb_wall(Fault fault);
  // The network.
  void cut_shape(Fault shape);
  void cut_one_way(Fault fault);
  void cut(LinkSet links, bool one_way);
  void begin_flapping(Fault fault);
  void flap(LinkSet links, Duration left);
  void swizzle(Fault fault);
  void half_open(Fault fault);
  void reset(Fault fault);
  void worsen(Fault fault);
  void cut_clients(Fault fault);
  // Disks.
  void damage(Fault fault);
  void fail_sync(Fault fault);
  void fill(Fault fault);
  void hang(Fault fault);
  void slow_disk(Fault fault);

  Cluster& cluster_;
  Clients& clients_;
  NetworkFaults network_;
  Rng rng_;
  std::vector<Row> classes_;
  std::vector<uint64_t> loops_;  // crashes still to come, by member
  bool acting_ = false;
  bool quiet_ = false;
  uint64_t era_ = 1;
  uint64_t strikes_ = 0;
};

}  // namespace quorate::sim::full
