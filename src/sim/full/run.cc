#include "sim/full/run.h"

#include <cstdio>

#include "base/check.h"
#include "base/log.h"
#include "sim/full/client.h"
#include "sim/full/cluster.h"
#include "sim/full/ending.h"
#include "sim/full/lease_holders.h"
#include "sim/full/nemesis.h"
#include "sim/full/watchers.h"
#include "sim/swarm.h"

namespace quorate::sim::full {
namespace {

// What the observers of failed CHECKs and of the nodes' logs know: they get no other argument.
std::string replay_in_progress;
const Cluster* cluster_in_progress = nullptr;

void print_replay(const char* /*failure*/) {
  std::fprintf(stderr, "while simulating; replay: %s\n", replay_in_progress.c_str());
}

void say_log(LogLevel /*level*/, std::string_view text) {
  if (cluster_in_progress == nullptr) return;
  cluster_in_progress->say(NodeId{}, [&] { return "log: " + std::string(text); });
}

std::string replay_command(const Options& options, uint64_t seed) {
  std::string command = "quorate sim --consensus " + std::string(name_of(options.protocol)) +
                        " --profile full --seed " + std::to_string(seed);
  if (options.members != 0) command += " --nodes " + std::to_string(options.members);
  if (options.faults) command += " --faults " + to_text(*options.faults);
  return command + " --trace";
}

FullSwarm world_of(const Options& options, uint64_t seed) {
  Rng rng(mix(seed, 20));
  FullSwarm swarm = draw_swarm(rng, options.members, options.faults ? &*options.faults : nullptr);
  swarm.protocol = options.protocol;
  if (options.duration_ms != 0) swarm.duration = std::chrono::milliseconds(options.duration_ms);
  Rng followers(mix(seed, 25));
  draw_followers(followers, swarm);
  return swarm;
}

Trace trace_of(const Options& options) {
  if (options.trace == 0) return {};
  if (options.sink) return Trace(options.sink);
  return Trace([](const std::string& line) { std::printf("%s\n", line.c_str()); });
}

// Members come up one after the other, as machines do.
void begin(Cluster& cluster, Rng rng) {
  for (uint64_t member = 0; member < cluster.size(); ++member) {
    const Duration late(rng.below(static_cast<uint64_t>(cluster.swarm().election_timeout.count())));
    cluster.at(cluster.now() + late, [&cluster, member] { cluster.start(member); });
  }
}

void fill(RunResult& result, Cluster& cluster, const Clients& clients) {
  result.violation = cluster.truth().violation();
  result.events = cluster.world().events();
  result.steps = cluster.world().events();
  result.simulated_nanoseconds = (cluster.now() - Time(std::chrono::seconds(1))).count();
  result.commits = cluster.truth().size();
  result.acknowledged = clients.acknowledged();
  result.reads = clients.served();
  result.leases_expired = cluster.truth().leases().expired();
  result.leases_renewed = cluster.truth().leases().renewed();
  result.elections = cluster.counters().elections;
  result.crashes = cluster.counters().crashes;
  result.wipes = cluster.counters().wipes;
  result.installs = cluster.counters().installs;
  TraceHash hash;
  hash.add(cluster.world().trace_hash().low());
  hash.add(cluster.world().trace_hash().high());
  hash.add(clients.answers_hash());
  hash.add(result.watch_events);
  hash.add(result.commits);
  result.hash = hash.text();
  if (result.violation.empty()) return;
  result.violation += "; at " + std::to_string(result.simulated_nanoseconds / kMicrosecond) + " us";
}

}  // namespace

RunResult run_seed(const Options& options, uint64_t seed) {
  replay_in_progress = replay_command(options, seed);
  set_check_observer(print_replay);
  RunResult result;
  {
    Cluster cluster(world_of(options, seed), seed, trace_of(options));
    if (cluster.trace().on()) {
      cluster_in_progress = &cluster;
      set_log_sink(say_log);
      cluster.say(NodeId{}, [&] { return "WORLD " + describe(cluster.swarm()); });
    }
    Clients clients(cluster, Rng(mix(seed, 21)));
    Nemesis nemesis(cluster, clients, Rng(mix(seed, 22)));
    begin(cluster, Rng(mix(seed, 23)));
    Watchers watchers(cluster, Rng(mix(seed, 27)));
    LeaseHolders holders(cluster, clients, Rng(mix(seed, 26)));
    clients.start();
    holders.start();
    watchers.start();
    nemesis.start();
    if (cluster.step_until(cluster.now() + cluster.swarm().duration)) {
      Ending(cluster, clients, watchers, nemesis, Rng(mix(seed, 24))).run();
    }
    result.world = describe(cluster.swarm());
    result.watch_events = watchers.events();
    result.watch_streams = watchers.streams();
    fill(result, cluster, clients);
    set_log_sink(nullptr);
    cluster_in_progress = nullptr;
  }
  set_check_observer(nullptr);
  result.replay = replay_in_progress;
  return result;
}

}  // namespace quorate::sim::full
