// sim/script.h: scenarios: fault schedules written down (tests/scenarios/README.md).
//
// Random runs find most bugs but not all: some need one particular order of three rare events.
// A scenario names that order, and what must be seen on the way; delays and ties still come from
// a seed, so most are played with several. A failing random run, shrunk, is written as one too.
// The text may come from anywhere: parse_script() refuses whatever does not fit, with the line.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "sim/cluster.h"

namespace quorate::sim {

inline constexpr size_t kScriptBytesMax = size_t{4} << 20U;  // a long run, written down

enum class StoryDetail : uint8_t {
  off,    // only whether it passes counts: too much chance for one story
  roles,  // roles and terms
  logs,   // and logs and commits
};

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
  uint64_t first_seed = 1;
  uint64_t seeds = 10;  // how many a test plays, from first_seed on
  int64_t until = 0;    // when the healing begins; 0: `linger` after the last line
  int64_t linger = 0;   // 0: an election timeout
  StoryDetail story = StoryDetail::roles;
  // Whose hazard it is; with another protocol it would test nothing.
  std::vector<consensus::Protocol> protocols{consensus::Protocol::raft};
  std::vector<std::string> finds;  // planted bugs (base/mutants.def) that it shows
  std::vector<ScriptLine> lines;
};

Result<Script> parse_script(std::string name, std::string_view text);
// What parse_script() would read as the same script.
std::string text_of(const Script& script);
std::string text_of(const ScriptLine& line);

// Plays all lines, then heals the cluster. A line that makes no sense now (there is no leader to
// name) is a violation: the scenario did not test what it says. Returns the story: each line, and
// the roles, terms and, if asked for, logs that changed until the next.
std::string play_script(Cluster& cluster, const Script& script, Rng rng);

bool is_for(const Script& script, consensus::Protocol protocol);

// Whether the words are an action, with the right number of arguments.
bool is_action(const std::vector<std::string>& words);

}  // namespace quorate::sim
