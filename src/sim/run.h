// sim/run.h: the simulator's front door: one seed, one whole life of a cluster.
//
// A run builds a cluster of the very replicas that production uses, gives it a world drawn from
// the seed, breaks that world for a while, heals it, and asks for a leader, fresh commits, reads
// and equal logs. It is a pure function of options and seed: the trace hash says so. A broken
// rule is returned as text, never aborted on; only a CHECK inside the replica itself aborts, and
// then the seed and the way to replay it are printed first.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "consensus/factory.h"

namespace quorate::sim {

class Observer;
class Recorder;
struct Swarm;
struct Script;

struct SimOptions {
  consensus::Protocol protocol = consensus::Protocol::raft;
  uint64_t nodes = 0;       // 0: from the seed
  uint32_t trace = 0;       // 1: a line for each event
  int64_t duration_ms = 0;  // simulated time before the healing; 0: from the seed
  // Where trace lines go; standard output when empty.
  std::function<void(const std::string&)> sink;
  Observer* observer = nullptr;  // sim/observer.h; not owned
  Recorder* recorder = nullptr;
  // For tests of the simulator itself: replaces the protocol by something broken.
  std::function<std::unique_ptr<consensus::ReplicatedLog>(const consensus::Config&,
                                                          consensus::Recovered, Time, Rng)>
      make_replica;
};

struct RunResult {
  std::string hash;
  std::string violation;  // empty: all rules held
  std::string replay;     // the command that shows this run again
  std::string world;      // what the seed drew
  std::string story;      // of a scenario (sim/script.h)
  int64_t until = 0;      // when the healing began, or the rule broke; simulated nanoseconds
  uint64_t events = 0;
  uint64_t steps = 0;
  int64_t simulated_nanoseconds = 0;
  uint64_t commits = 0;
  uint64_t acknowledged = 0;
  uint64_t reads = 0;
  uint64_t leases_expired = 0;  // full profile
  uint64_t leases_renewed = 0;
  uint64_t watch_events = 0;
  uint64_t watch_streams = 0;
  uint64_t elections = 0;
  uint64_t crashes = 0;
  uint64_t wipes = 0;
  uint64_t installs = 0;
  uint64_t rots = 0;
  uint64_t stores_lost = 0;
  uint64_t member_changes = 0;
};

Swarm world_of(const SimOptions& options, uint64_t seed);
RunResult run_seed(const SimOptions& options, uint64_t seed);
// A run whose faults are written down instead of drawn (tests/scenarios/README.md); the seed
// still decides delays and orders.
RunResult run_script(const SimOptions& options, const Script& script, uint64_t seed);

}  // namespace quorate::sim
