#include "sim/run.h"

#include <cstdio>

#include "base/check.h"
#include "sim/cluster.h"
#include "sim/finish.h"
#include "sim/nemesis.h"
#include "sim/script.h"

namespace quorate::sim {
namespace {

// What the observer of failed CHECKs prints: it gets no other argument than the failure.
std::string replay_in_progress;

void print_replay(const char* /*failure*/) {
  std::fprintf(stderr, "while simulating; replay: %s\n", replay_in_progress.c_str());
}

std::string replay_command(const SimOptions& options, uint64_t seed) {
  std::string command = "quorate sim --protocol raft --seed " + std::to_string(seed);
  if (options.nodes != 0) command += " --nodes " + std::to_string(options.nodes);
  return command + " --trace";
}

Swarm world_of(const SimOptions& options, uint64_t seed) {
  Rng rng(mix(seed, 0));
  Swarm swarm = draw_swarm(rng, options.nodes);
  if (options.duration_ms != 0) swarm.duration = options.duration_ms * kMillisecond;
  return swarm;
}

// The calamity, then the healing.
void play(Cluster& cluster, uint64_t seed) {
  Nemesis nemesis(cluster, Rng(mix(seed, 6)));
  Clients clients(cluster, Rng(mix(seed, 7)));
  cluster.schedule(EventKind::client, 0);
  cluster.schedule(EventKind::fault, cluster.swarm().fault_interval);
  while (!cluster.failed() && cluster.now() < cluster.swarm().duration) {
    const Scheduled event = cluster.advance();
    if (event.kind == EventKind::client) clients.act();
    if (event.kind == EventKind::fault) nemesis.act();
    if (event.kind == EventKind::heal) nemesis.heal(event.data);
    if (event.kind == EventKind::recover) nemesis.recover(event.data);
  }
  nemesis.stop();
  require_recovery(cluster);
}

RunResult finished(const Cluster& cluster, std::string replay) {
  RunResult result;
  cluster.fill(result);
  result.world = describe(cluster.swarm());
  result.replay = std::move(replay);
  if (!result.violation.empty()) {
    result.violation += "; at step " + std::to_string(result.steps) + ", " +
                        std::to_string(result.simulated_nanoseconds / kMicrosecond) + " us";
  }
  return result;
}

}  // namespace

RunResult run_seed(const SimOptions& options, uint64_t seed) {
  replay_in_progress = replay_command(options, seed);
  set_check_observer(print_replay);
  Cluster cluster(options, world_of(options, seed), seed);
  if (cluster.tracing()) cluster.say("WORLD " + describe(cluster.swarm()));
  play(cluster, seed);
  set_check_observer(nullptr);
  return finished(cluster, replay_in_progress);
}

RunResult run_script(const SimOptions& options, const Script& script, uint64_t seed) {
  replay_in_progress = "scenario " + script.name + " with seed " + std::to_string(seed);
  set_check_observer(print_replay);
  Cluster cluster(options, script.world, seed);
  play_script(cluster, script, Rng(mix(seed, 6)));
  require_recovery(cluster);
  set_check_observer(nullptr);
  return finished(cluster, replay_in_progress);
}

}  // namespace quorate::sim
