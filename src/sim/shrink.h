// sim/shrink.h: a failing scenario reduced to what it needs to fail.
//
// Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
// IEEE TSE 2002) over the actions, then nodes, settings of the world and times, again and again
// until nothing more can go. A candidate counts only if the same rule breaks: another bug found on
// the way is another story.
#pragma once

#include <functional>
#include <string>

#include "sim/script.h"

namespace quorate::sim {

struct Verdict {
  std::string violation;  // empty: the scenario passed
  int64_t time = 0;       // when the rule broke, if known
};
// Plays a scenario with its first seed. Must survive failed CHECKs (sim/child.h).
using Judge = std::function<Verdict(const Script& script)>;

struct ShrinkLimits {
  uint64_t runs_max = 4'000;
  std::function<bool()> out_of_time;               // asked between runs; may be empty
  std::function<void(const std::string&)> report;  // progress, in words; may be empty
};

struct Shrunk {
  Script script;
  std::string violation;
  size_t actions_before = 0;
  size_t actions_after = 0;  // repeated proposals of one line count once
  uint64_t runs = 0;
  bool reproduced = false;  // the scenario as given broke the rule; if not, nothing was tried
};

// `rule` is the violation that the run was seen to have.
Shrunk shrink(const Script& script, const std::string& rule, const Judge& judge,
              const ShrinkLimits& limits);

// A violation without what differs between two ways of breaking the same rule: numbers, nodes.
std::string kind_of_rule(const std::string& violation);

// What a scenario itself expected and did not see. Such a rule cannot guide shrinking: it breaks
// as well when the line that would have brought it about is taken out.
bool is_own_expectation(const std::string& violation);

// Takes a node (a position) out of the cluster: lines that only concern it go, the nodes behind
// it move up. Empty when nothing is left to do so with.
Script without_node(const Script& script, uint64_t node);

}  // namespace quorate::sim
