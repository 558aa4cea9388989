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
const Cluster* cluster_in_progress = nullptr;

void print_replay(const char* /*failure*/) {
  RunResult result;
  cluster_in_progress->fill(result);
  std::fprintf(stderr, "while simulating, at step %llu, %lld us; replay: %s\n",
               static_cast<unsigned long long>(result.steps),
               static_cast<long long>(result.simulated_nanoseconds / kMicrosecond),
               replay_in_progress.c_str());
}

// While it lives, a failed CHECK names the run it happened in.
class InProgress {
 public:
  InProgress(const Cluster& cluster, std::string replay) {
    replay_in_progress = std::move(replay);
    cluster_in_progress = &cluster;
    set_check_observer(print_replay);
  }
  ~InProgress() { set_check_observer(nullptr); }
  InProgress(const InProgress&) = delete;
  InProgress& operator=(const InProgress&) = delete;
};

std::string replay_command(const SimOptions& options, uint64_t seed) {
  std::string command = "quorate sim --consensus " +
                        std::string(consensus::name_of(options.protocol)) + " --seed " +
                        std::to_string(seed);
  if (options.nodes != 0) command += " --nodes " + std::to_string(options.nodes);
  return command + " --trace";
}

// The calamity, then the healing.
int64_t play(Cluster& cluster, uint64_t seed) {
  Nemesis nemesis(cluster, Rng(mix(seed, 6)));
  Clients clients(cluster, Rng(mix(seed, 7)));
  cluster.schedule(EventKind::client, 0);
  cluster.schedule(EventKind::fault, cluster.swarm().fault_interval);
  cluster.schedule(EventKind::end, cluster.swarm().duration);
  while (!cluster.failed()) {
    const Scheduled event = cluster.advance();
    if (event.kind == EventKind::end) break;
    if (event.kind == EventKind::client) clients.act();
    if (event.kind == EventKind::fault) nemesis.act();
    if (event.kind == EventKind::heal) nemesis.heal(event.data);
    if (event.kind == EventKind::recover) nemesis.recover(event.data);
  }
  const int64_t until = cluster.now();
  nemesis.stop();
  require_recovery(cluster);
  return until;
}

RunResult finished(Cluster& cluster, int64_t until, std::string replay) {
  RunResult result;
  cluster.fill(result);
  result.until = until;
  if (cluster.failed()) cluster.show(HappeningKind::violated, kNobody, result.violation);
  result.world = describe(cluster.swarm());
  result.replay = std::move(replay);
  if (!result.violation.empty()) {
    result.violation += "; at step " + std::to_string(result.steps) + ", " +
                        std::to_string(result.simulated_nanoseconds / kMicrosecond) + " us";
  }
  return result;
}

}  // namespace

Swarm world_of(const SimOptions& options, uint64_t seed) {
  Rng rng(mix(seed, 0));
  Swarm swarm = draw_swarm(rng, options.nodes);
  if (options.duration_ms != 0) swarm.duration = options.duration_ms * kMillisecond;
  return swarm;
}

RunResult run_seed(const SimOptions& options, uint64_t seed) {
  Cluster cluster(options, world_of(options, seed), seed);
  const std::string replay = replay_command(options, seed);
  const InProgress in_progress(cluster, replay);
  if (cluster.tracing()) cluster.say("WORLD " + describe(cluster.swarm()));
  const int64_t until = play(cluster, seed);
  return finished(cluster, until, replay);
}

RunResult run_script(const SimOptions& options, const Script& script, uint64_t seed) {
  Cluster cluster(options, script.world, seed);
  const std::string replay = "scenario " + script.name + " with seed " + std::to_string(seed);
  const InProgress in_progress(cluster, replay);
  std::string story = play_script(cluster, script, Rng(mix(seed, 6)));
  const int64_t until = cluster.now();
  require_recovery(cluster);
  RunResult result = finished(cluster, until, replay);
  result.story = std::move(story);
  return result;
}

}  // namespace quorate::sim
