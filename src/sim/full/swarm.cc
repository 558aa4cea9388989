#include "sim/full/swarm.h"

#include <algorithm>
#include <initializer_list>

namespace quorate::sim::full {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

uint64_t one_of(Rng& rng, std::initializer_list<uint64_t> values) {
  return values.begin()[rng.below(values.size())];
}

bool coin(Rng& rng) { return rng.below(2) == 0; }

Duration between(Rng& rng, Duration low, Duration high) {
  return Duration(rng.between(static_cast<uint64_t>(low.count()),
                              static_cast<uint64_t>(std::max(low, high).count())));
}

void draw_faults(Rng& rng, FullSwarm& swarm) {
  for (uint64_t kind = 0; kind < kFaultKinds; ++kind) {
    swarm.faults.set(static_cast<Fault>(kind), coin(rng));
  }
  // These change the whole world or need a quiet one: less often.
  for (const Fault rare : {Fault::loose, Fault::clone, Fault::wipe, Fault::power_loss,
                           Fault::clock_freeze, Fault::crash_loop}) {
    if (coin(rng)) swarm.faults.set(rare, false);
  }
  // Some worlds have healthy disks, some healthy networks, some healthy processes.
  const auto spare = [&](Fault first, Fault last) {
    for (auto kind = static_cast<uint64_t>(first); kind <= static_cast<uint64_t>(last); ++kind) {
      swarm.faults.set(static_cast<Fault>(kind), false);
    }
  };
  if (rng.below(4) == 0) spare(Fault::lost_write, Fault::slow_disk);
  if (rng.below(5) == 0) spare(Fault::split, Fault::client_cut);
  if (rng.below(5) == 0) spare(Fault::crash, Fault::clone);
}

void draw_machines(Rng& rng, FullSwarm& swarm) {
  swarm.machine.turn.high = microseconds(one_of(rng, {5, 20, 100, 1000}));
  swarm.machine.log_lane.high = microseconds(one_of(rng, {100, 500, 2'000, 10'000}));
  swarm.machine.background_lane.high = microseconds(one_of(rng, {1'000, 5'000, 50'000}));
  swarm.link.latency.high = microseconds(one_of(rng, {200, 1'000, 5'000, 20'000}));
  swarm.network.detect.high = milliseconds(one_of(rng, {1, 20, 500}));
  swarm.network.give_up = milliseconds(one_of(rng, {1'000, 5'000, 5'000, 60'000}));
  swarm.network.connect.high = milliseconds(one_of(rng, {2, 50, 300}));
  swarm.file_system = static_cast<world::FileSystem>(rng.below(world::kFileSystems));
  swarm.mixed_file_systems = rng.below(4) == 0;
}

void draw_clients(Rng& rng, FullSwarm& swarm) {
  swarm.clients = one_of(rng, {1, 3, 3, 5, 8});
  // About twenty operations a second together, sometimes many more or nearly none.
  const uint64_t rate = one_of(rng, {2, 20, 20, 20, 20, 60, 200});
  swarm.think = milliseconds(std::max<uint64_t>(1000 * swarm.clients / rate, 1));
  swarm.patience = between(rng, swarm.election_timeout, 4 * swarm.election_timeout);
  swarm.keys = one_of(rng, {1, 3, 8, 30});
  swarm.value_bytes_max = one_of(rng, {8, 8, 32, 32, 200, 200, 3'000, 3'000, 20'000});
  swarm.reads = one_of(rng, {0, 100'000, 300'000, 600'000});
  swarm.serializable = one_of(rng, {0, 200'000, 500'000});
  swarm.transactions = one_of(rng, {0, 100'000, 300'000});
  swarm.deletes = one_of(rng, {0, 50'000, 200'000});
  swarm.compactions = one_of(rng, {0, 2'000, 20'000});
  swarm.strangers = one_of(rng, {20'000, 100'000, 500'000});
}

void draw_calamity(Rng& rng, FullSwarm& swarm) {
  swarm.duration = swarm.election_timeout * rng.between(20, 60);
  swarm.fault_interval = rng.below(3) == 0
                             ? between(rng, swarm.election_timeout / 5, swarm.election_timeout)
                             : between(rng, swarm.election_timeout, 5 * swarm.election_timeout);
  swarm.spells_max = rng.between(1, 8);
  if (rng.below(3) == 0) {
    swarm.quiet_every = swarm.election_timeout * rng.between(6, 15);
  }
  if (coin(rng)) swarm.calm_before = swarm.election_timeout * rng.between(3, 8);
  swarm.drift_max = one_of(rng, {100, 5'000, 50'000});
}

}  // namespace

FullSwarm draw_swarm(Rng& rng, uint64_t members, const FaultSet* faults) {
  FullSwarm swarm;
  const uint64_t drawn = one_of(rng, {3, 3, 3, 3, 3, 3, 5, 5, 5, 1, 2, 4, 6, 7});
  swarm.members = members == 0 ? drawn : std::min(members, kMembersMax);
  swarm.election_timeout = milliseconds(rng.between(200, 1500));
  swarm.heartbeat_interval = swarm.election_timeout / static_cast<int64_t>(rng.between(5, 10));
  swarm.pre_vote = rng.below(4) != 0;
  swarm.snapshot_count = one_of(rng, {1, 5, 20, 100, 100, 1000, 10'000});
  swarm.catch_up_entries = one_of(rng, {0, 1, 10, 100, 1000});
  swarm.segment_bytes = one_of(rng, {4 << 10, 16 << 10, 64 << 10, 64 << 10, 256 << 10});
  draw_machines(rng, swarm);
  draw_clients(rng, swarm);
  draw_calamity(rng, swarm);
  draw_faults(rng, swarm);
  if (faults != nullptr) swarm.faults = *faults;
  if (swarm.faults.has(Fault::loose)) {
    swarm.link.duplicate_per_million = static_cast<uint32_t>(one_of(rng, {1'000, 50'000}));
    swarm.link.reorder_per_million = static_cast<uint32_t>(one_of(rng, {1'000, 100'000}));
    swarm.link.reorder = between(rng, milliseconds(1), swarm.election_timeout);
  }
  if (swarm.faults.has(Fault::loss)) {
    swarm.link.loss_per_million = static_cast<uint32_t>(one_of(rng, {1'000, 10'000, 100'000}));
    swarm.link.resend = between(rng, milliseconds(20), milliseconds(400));
  }
  swarm.atlas = swarm.members >= 3 ? AtlasMode::availability : AtlasMode::none;
  return swarm;
}

void draw_followers(Rng& rng, FullSwarm& swarm) {
  swarm.lease_holders = one_of(rng, {0, 0, 1, 3});
  swarm.lease_seconds_max = static_cast<int64_t>(one_of(rng, {1, 2, 4, 8}));
  swarm.watchers = one_of(rng, {0, 0, 2, 6});
}

std::string describe(const FullSwarm& swarm) {
  const auto in_ms = [](Duration duration) {
    return std::to_string(std::chrono::duration_cast<milliseconds>(duration).count()) + " ms";
  };
  return std::to_string(swarm.members) + " members, election timeout " +
         in_ms(swarm.election_timeout) + ", heartbeat " + in_ms(swarm.heartbeat_interval) + ", " +
         in_ms(swarm.duration) + " long, " + (swarm.pre_vote ? "" : "no pre-vote, ") +
         "snapshot every " + std::to_string(swarm.snapshot_count) + " keeping " +
         std::to_string(swarm.catch_up_entries) + ", segments of " +
         std::to_string(swarm.segment_bytes >> 10U) + " KiB, " + std::to_string(swarm.clients) +
         " clients, " + std::to_string(swarm.lease_holders) + " with leases, " +
         std::to_string(swarm.watchers) + " watchers; a fault every " +
         in_ms(swarm.fault_interval) + " of " + to_text(swarm.faults);
}

}  // namespace quorate::sim::full
