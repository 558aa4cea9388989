// sim/script.h: scenarios: fault schedules written down (tests/scenarios/README.md).
//
// Random runs find most bugs but not all: some need one particular order of three rare events.
// A scenario names that order; delays and ties still come from a seed, so each is played with
// several.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "sim/cluster.h"

namespace quorate::sim {

struct ScriptLine {
  uint64_t number = 0;  // in the file
  int64_t from = 0;     // nanoseconds
  int64_t to = 0;       // repeats until then...
  int64_t every = 0;    // ...this often; 0: once
  std::vector<std::string> words;
};

struct Script {
  std::string name;
  Swarm world;
  uint64_t seeds = 10;  // how many seeds a test plays
  std::vector<ScriptLine> lines;
};

Result<Script> parse_script(std::string name, const std::string& text);
// Plays all lines, then heals the cluster. A line that makes no sense now (there is no leader to
// name) is a violation: the scenario did not test what it says.
void play_script(Cluster& cluster, const Script& script, Rng rng);

}  // namespace quorate::sim
