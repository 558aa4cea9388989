// sim --scenario and sim --shrink: stories that are played, compared and made short.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "app/sim_report.h"
#include "sim/golden.h"
#include "sim/script.h"
#include "sim/shrink_run.h"

namespace quorate::app {
namespace {

bool write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (file) return true;
  complain("cannot write " + path + ": check that its directory exists and may be written");
  return false;
}

sim::ShrinkBudget budget() {
  sim::ShrinkBudget budget;
  budget.report = [](const std::string& text) {
    std::fprintf(stderr, "shrinking: %s\n", text.c_str());
  };
  return budget;
}

int write_story(const sim::ShortStory& story, const std::string& directory,
                const std::string& name) {
  if (story.violation.empty()) {
    std::printf("%s passes: there is nothing to shorten\n", name.c_str());
    return kExitOk;
  }
  if (story.own_expectation) {
    complain(name + " does not show what it expects (" + story.violation +
             "); it cannot be made shorter than it was written: look at it with --diagram");
    return kExitRefused;
  }
  if (!story.shrunk.reproduced) {
    complain(name + " broke a rule (" + story.violation +
             "), but not when it was played from its written actions; this is a bug of the "
             "simulator: replay the seed with --trace instead");
    return kExitRefused;
  }
  std::error_code failed;
  std::filesystem::create_directories(directory, failed);
  const std::string base = directory + "/" + name;
  if (!write_file(base + ".txt", story.scenario) || !write_file(base + ".html", story.diagram)) {
    return kExitRefused;
  }
  std::printf("%s: %s\n  %zu actions became %zu in %lu runs and %.1f CPU s\n  %s.txt\n  %s.html\n",
              name.c_str(), story.violation.c_str(), story.shrunk.actions_before,
              story.shrunk.actions_after, static_cast<unsigned long>(story.shrunk.runs),
              static_cast<double>(story.cpu_microseconds) / 1e6, base.c_str(), base.c_str());
  return kExitRefused;
}

// ---- Scenarios.

int compare_story(const SimOptions& options, consensus::Protocol protocol,
                  const std::string& story) {
  const std::string path = sim::trace_path(options.scenario, protocol);
  if (options.accept) {
    if (!write_file(path, story)) return kExitRefused;
    std::printf("%s is the expected trace now\n", path.c_str());
    return kExitOk;
  }
  const Result<std::string> expected = sim::read_text(path);
  if (!expected) {
    std::printf("%sno expected trace yet; --accept writes it\n", story.c_str());
    return kExitOk;
  }
  const std::string difference = sim::difference(*expected, story);
  if (difference.empty()) return kExitOk;
  std::printf("the story differs from %s in %s", path.c_str(), difference.c_str());
  std::printf("if the new one is right, --accept makes it the expected trace\n");
  return kExitRefused;
}

int play_scenario(const SimOptions& options, const sim::SimOptions& simulation,
                  const sim::Script& script) {
  int code = kExitOk;
  const std::string with = std::string(consensus::name_of(simulation.protocol)) + " seed ";
  for (uint64_t seed = script.first_seed; seed - script.first_seed < script.seeds; ++seed) {
    const sim::RunResult result = sim::run_script(simulation, script, seed);
    print_run(with + std::to_string(seed), result);
    if (!result.violation.empty()) code = kExitRefused;
    if (seed != script.first_seed || code != kExitOk) continue;
    if (script.story == sim::StoryDetail::off) continue;
    code = compare_story(options, simulation.protocol, result.story);
  }
  return code;
}

}  // namespace

int run_scenario(const SimOptions& options, const sim::SimOptions& given) {
  const Result<sim::Script> script = sim::read_scenario(options.scenario);
  if (!script) {
    complain(script.error().text);
    return kExitUsage;
  }
  sim::SimOptions simulation = given;
  // None was named: the first that it is for, and all of them when it is only played.
  const bool any = options.protocol.empty();
  if (any) simulation.protocol = script->protocols.front();
  if (!options.shrink.empty()) {
    const std::string name = std::filesystem::path(options.scenario).stem().string();
    return write_story(sim::shrink_script(simulation, *script, script->first_seed, budget()),
                       options.shrink, name);
  }
  if (!options.diagram.empty()) {
    const Result<std::string> text = sim::read_text(options.scenario);
    if (!write_file(options.diagram, sim::diagram_of(simulation, *script, *text))) {
      return kExitRefused;
    }
    std::printf("%s\n", options.diagram.c_str());
  }
  if (!any) return play_scenario(options, simulation, *script);
  int code = kExitOk;
  for (const consensus::Protocol protocol : script->protocols) {
    simulation.protocol = protocol;
    code = std::max(code, play_scenario(options, simulation, *script));
  }
  return code;
}

int shrink_seed(const SimOptions& options, const sim::SimOptions& simulation) {
  return write_story(sim::shrink_seed(simulation, options.seed, budget()), options.shrink,
                     "seed-" + std::to_string(options.seed));
}

}  // namespace quorate::app
