// sim/shrink_run.h: from a failing seed or scenario to the short story of why it fails.
//
// Every run happens in a child process: a failed CHECK is a broken rule like any other.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "sim/run.h"
#include "sim/shrink.h"

namespace quorate::sim {

struct ShrinkBudget {
  uint64_t cpu_seconds = 300;     // for all runs together
  uint64_t run_cpu_seconds = 20;  // for one
  std::function<void(const std::string&)> report;
};

struct ShortStory {
  std::string violation;  // as the run itself had it; empty: it passed, there is nothing to tell
  bool own_expectation = false;  // the scenario is the story already (sim/shrink.h)
  Shrunk shrunk;
  std::string scenario;  // text of the scenario file, with what broke as a comment
  std::string diagram;   // HTML
  int64_t cpu_microseconds = 0;
};

ShortStory shrink_seed(const SimOptions& options, uint64_t seed, const ShrinkBudget& budget);
ShortStory shrink_script(const SimOptions& options, const Script& script, uint64_t seed,
                         const ShrinkBudget& budget);

// Plays a scenario with its first seed, in a child.
Verdict judge_in_child(const SimOptions& options, const Script& script, uint64_t cpu_seconds,
                       int64_t& cpu_microseconds);
// The space-time diagram of a scenario's first seed, even if a CHECK ends it.
std::string diagram_of(const SimOptions& options, const Script& script, const std::string& text);

}  // namespace quorate::sim
