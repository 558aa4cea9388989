// sim: seeds through the simulator, one line each; stories are in sim_scenario.cc.
#include <cstdio>
#include <functional>
#include <vector>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "app/sim_report.h"
#include "consensus/factory.h"
#include "sim/full/run.h"
#include "sim/run.h"

namespace quorate::app {
void print_run(const std::string& what, const sim::RunResult& result) {
  std::printf("%s hash %s %s steps %lu commits %lu elections %lu crashes %lu\n", what.c_str(),
              result.hash.c_str(), result.violation.empty() ? "ok" : "FAILED",
              static_cast<unsigned long>(result.steps), static_cast<unsigned long>(result.commits),
              static_cast<unsigned long>(result.elections),
              static_cast<unsigned long>(result.crashes));
  if (!result.violation.empty()) {
    std::printf("  broken rule: %s\n  world: %s\n  replay: %s\n", result.violation.c_str(),
                result.world.c_str(), result.replay.c_str());
  }
  std::fflush(stdout);  // a CHECK may end the process; what was found so far must be visible
}

namespace {

using Runner = std::function<sim::RunResult(uint64_t seed)>;

sim::SimOptions core_options(const SimOptions& options, consensus::Protocol protocol) {
  sim::SimOptions simulation;
  simulation.protocol = protocol;
  simulation.nodes = static_cast<uint64_t>(options.nodes);
  simulation.trace = options.trace ? 1 : 0;
  return simulation;
}

// Nothing, and a complaint, when there is no such protocol.
std::optional<consensus::Protocol> protocol_of(const SimOptions& options) {
  if (options.protocol.empty()) return consensus::Protocol::raft;
  const auto protocol = consensus::protocol_named(options.protocol);
  if (!protocol) {
    complain("--consensus: \"" + options.protocol + "\" is not a protocol of this version; use " +
             consensus::protocol_names());
  }
  return protocol;
}

// Scenarios, their pictures and shrinking belong to the core profile.
int run_story(const SimOptions& options) {
  const auto protocol = protocol_of(options);
  if (!protocol) return kExitUsage;
  if (options.profile == "full") {
    complain("scenarios and --shrink know the core profile only");
    return kExitUsage;
  }
  const sim::SimOptions simulation = core_options(options, *protocol);
  if (!options.scenario.empty()) return run_scenario(options, simulation);
  if (!options.shrink.empty()) return shrink_seed(options, simulation);
  complain("--accept and --diagram belong to --scenario");
  return kExitUsage;
}

// Empty when the command line makes no sense; then it was said why.
Runner make_runner(const SimOptions& options) {
  const auto protocol = protocol_of(options);
  if (!protocol) return {};
  if (options.profile != "full") {
    if (!options.faults.empty()) {
      complain("--faults chooses faults of the full profile; add --profile full");
      return {};
    }
    const sim::SimOptions simulation = core_options(options, *protocol);
    return [simulation](uint64_t seed) { return sim::run_seed(simulation, seed); };
  }
  sim::full::Options simulation;
  simulation.protocol = *protocol;
  simulation.members = static_cast<uint64_t>(options.nodes);
  simulation.trace = options.trace ? 1 : 0;
  if (!options.faults.empty()) {
    const auto faults = sim::full::parse_faults(options.faults);
    if (!faults) {
      complain("--faults: " + faults.error().text);
      return {};
    }
    simulation.faults = *faults;
  }
  return [simulation](uint64_t seed) { return sim::full::run_seed(simulation, seed); };
}

}  // namespace

int run_sim(const SimOptions& options) {
  const bool story = !options.scenario.empty() || !options.shrink.empty() || options.accept ||
                     !options.diagram.empty();
  if (story) return run_story(options);
  const Runner runner = make_runner(options);
  if (!runner) return kExitUsage;
  std::vector<std::string> replays;
  for (uint64_t seed = options.seed; seed - options.seed < options.runs; ++seed) {
    const sim::RunResult result = runner(seed);
    print_run("seed " + std::to_string(seed), result);
    if (!result.violation.empty()) replays.push_back(result.replay);
  }
  std::printf("%lu seeds, %zu failed\n", static_cast<unsigned long>(options.runs), replays.size());
  for (const std::string& replay : replays) std::printf("  %s\n", replay.c_str());
  return replays.empty() ? kExitOk : kExitRefused;
}

}  // namespace quorate::app
