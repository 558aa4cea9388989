#include "sim/swarm.h"

#include <algorithm>

namespace quorate::sim {
namespace {

int64_t draw(Rng& rng, int64_t low, int64_t high) {
  return static_cast<int64_t>(
      rng.between(static_cast<uint64_t>(low), static_cast<uint64_t>(std::max(low, high))));
}

bool coin(Rng& rng) { return rng.below(2) == 0; }

uint64_t one_of(Rng& rng, std::initializer_list<uint64_t> values) {
  return values.begin()[rng.below(values.size())];
}

void draw_network(Rng& rng, Swarm& swarm) {
  NetworkQuality& network = swarm.network;
  network.latency_min = draw(rng, 50 * kMicrosecond, swarm.heartbeat_interval / 20);
  network.latency_max = network.latency_min + draw(rng, 0, swarm.heartbeat_interval / 4);
  if (coin(rng)) network.loss = one_of(rng, {1'000, 10'000, 50'000, 150'000});
  if (coin(rng)) {
    network.duplicate = one_of(rng, {1'000, 20'000, 200'000});
    network.copies_max = rng.between(2, 8);
  }
  if (coin(rng)) {
    network.late = one_of(rng, {1'000, 10'000, 100'000});
    network.late_max = draw(rng, swarm.heartbeat_interval, 8 * swarm.election_timeout);
  }
}

void draw_storage(Rng& rng, Swarm& swarm) {
  swarm.disk_min = draw(rng, 10 * kMicrosecond, 500 * kMicrosecond);
  swarm.disk_max = swarm.disk_min + draw(rng, 0, swarm.heartbeat_interval / 5);
  swarm.snapshot_threshold = one_of(rng, {1, 5, 20, 100, 100, 1000, 1000});
  swarm.snapshot_keep = one_of(rng, {0, 0, 1, 5, 50});
  swarm.tail_bytes = one_of(rng, {0, 1, 100, 1'000, 1'000'000});
  swarm.persist_interval = draw(rng, swarm.heartbeat_interval, 4 * swarm.election_timeout);
  if (coin(rng)) swarm.apply_delay_max = draw(rng, 0, swarm.heartbeat_interval);
}

void draw_faults(Rng& rng, Swarm& swarm) {
  swarm.crashes = coin(rng);
  swarm.power_losses = rng.below(4) == 0;
  swarm.fuses = coin(rng);
  swarm.pauses = coin(rng);
  swarm.crash_loops = rng.below(4) == 0;
  swarm.partitions = coin(rng);
  swarm.shapes = rng.below(3) == 0;
  swarm.flapping = rng.below(4) == 0;
  swarm.swizzles = rng.below(4) == 0;
  swarm.client_cuts = rng.below(4) == 0;
  swarm.storms = coin(rng);
  swarm.slow_disks = rng.below(4) == 0;
  swarm.stalls = rng.below(4) == 0;
  swarm.clock_jumps = rng.below(4) == 0;
  swarm.rests = coin(rng);
  swarm.wipes = rng.below(4) == 0;
  swarm.transfers = coin(rng);
  swarm.disconnect_hints = coin(rng);
  swarm.rots = rng.below(3) == 0;
  swarm.rot_copies = rng.below(3) == 0 ? swarm.nodes / 2 + 1 : 1;
  swarm.store_losses = rng.below(6) == 0;
  // The fault atlas counts copies among members that stay.
  swarm.member_changes = rng.below(2) == 0 && !swarm.rots && !swarm.store_losses;
  // Some worlds never come to rest: leaders follow each other faster than they can work.
  swarm.fault_interval = rng.below(3) == 0
                             ? draw(rng, swarm.election_timeout / 10, swarm.election_timeout)
                             : draw(rng, swarm.election_timeout / 2, 6 * swarm.election_timeout);
}

}  // namespace

Swarm draw_swarm(Rng& rng, uint64_t nodes) {
  Swarm swarm;
  const uint64_t drawn = one_of(rng, {3, 3, 3, 3, 3, 3, 5, 5, 5, 5, 1, 2, 4, 6, 7});
  swarm.nodes = nodes == 0 ? drawn : std::min(nodes, kNodesMax);
  swarm.election_timeout = draw(rng, 100, 1000) * kMillisecond;
  swarm.heartbeat_interval = swarm.election_timeout / draw(rng, 5, 10);
  swarm.start_spread = swarm.heartbeat_interval;
  swarm.duration = swarm.election_timeout * draw(rng, 30, 90);
  swarm.pre_vote = rng.below(4) != 0;
  swarm.check_quorum = rng.below(4) != 0;
  swarm.mixed_options = rng.below(8) == 0;
  if (rng.below(3) == 0) swarm.append_entries_max = one_of(rng, {1, 2, 7, 64});
  if (rng.below(3) == 0) swarm.inflight_messages_max = one_of(rng, {1, 2, 16});
  if (coin(rng)) swarm.drift_max = one_of(rng, {100, 5'000, 50'000});
  if (coin(rng)) swarm.batching = one_of(rng, {100'000, 500'000, 1'000'000});
  draw_network(rng, swarm);
  draw_storage(rng, swarm);
  draw_faults(rng, swarm);
  swarm.client_interval = draw(rng, swarm.heartbeat_interval / 10, swarm.heartbeat_interval);
  swarm.reads = one_of(rng, {0, 100'000, 300'000, 700'000});
  swarm.strangers = one_of(rng, {20'000, 100'000, 600'000});
  swarm.payload_max = one_of(rng, {0, 16, 64, 300});
  swarm.burst_max = one_of(rng, {1, 1, 3, 20});
  // A few entries in each round trip: what piles up in a bad hour must be gone before the end.
  if (swarm.append_entries_max < 16 || swarm.inflight_messages_max < 16) {
    swarm.client_interval = swarm.heartbeat_interval;
    swarm.burst_max = 1;
  }
  // A clock that jumps breaks every bound that leases could rest on.
  swarm.lease_reads = rng.below(4) == 0 && !swarm.clock_jumps;
  if (swarm.member_changes && swarm.nodes < kNodesMax) {
    swarm.spares = rng.between(1, std::min<uint64_t>(3, kNodesMax - swarm.nodes));
  }
  return swarm;
}

std::string describe(const Swarm& swarm) {
  std::string text = std::to_string(swarm.nodes) + " nodes, election timeout " +
                     std::to_string(swarm.election_timeout / kMillisecond) + " ms, heartbeat " +
                     std::to_string(swarm.heartbeat_interval / kMillisecond) + " ms, " +
                     std::to_string(swarm.duration / kMillisecond) + " ms long";
  const auto add = [&](bool on, const char* name) {
    if (on) text += std::string(", ") + name;
  };
  add(!swarm.pre_vote, "no pre-vote");
  add(!swarm.check_quorum, "no check-quorum");
  add(swarm.mixed_options, "each start with options of its own");
  add(swarm.append_entries_max < 4096, "small appends");
  add(swarm.inflight_messages_max < 256, "small windows");
  add(swarm.network.loss != 0, "loss");
  add(swarm.network.duplicate != 0, "duplicates");
  add(swarm.network.late != 0, "late messages");
  add(swarm.drift_max != 0, "clock drift");
  add(swarm.batching != 0, "batched turns");
  add(swarm.apply_delay_max != 0, "slow apply");
  add(swarm.crashes, "crashes");
  add(swarm.power_losses, "power losses");
  add(swarm.fuses, "crashes at chosen steps");
  add(swarm.pauses, "pauses");
  add(swarm.crash_loops, "crash loops");
  add(swarm.partitions, "partitions");
  add(swarm.shapes, "odd topologies");
  add(swarm.flapping, "flapping links");
  add(swarm.swizzles, "swizzles");
  add(swarm.client_cuts, "clients cut off");
  add(swarm.storms, "network storms");
  add(swarm.slow_disks, "slow disks");
  add(swarm.stalls, "stalled stages");
  add(swarm.clock_jumps, "clocks that jump");
  add(swarm.rests, "rests");
  add(swarm.wipes, "lost disks");
  add(swarm.rots, "rot");
  add(swarm.store_losses, "lost stores");
  add(swarm.transfers, "transfers");
  add(swarm.member_changes, "changes of members");
  add(swarm.lease_reads, "leases");
  return text + ", snapshot every " + std::to_string(swarm.snapshot_threshold);
}

}  // namespace quorate::sim
