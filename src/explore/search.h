// explore/search.h: breadth first through everything that can happen within a scope.
//
// States are met in the order of their distance from the start, so the first broken rule comes with
// a shortest way to break it. The report says honestly how far the search came: it is exhaustive
// only if nothing but the scope's own bounds stopped it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "explore/moves.h"
#include "explore/scope.h"

namespace quorate::explore {

struct Report {
  std::string scope;
  std::string bounds;
  uint64_t states = 0;       // of the cluster, all different
  uint64_t transitions = 0;  // moves tried, each ending in a state that was new or known
  uint64_t depth = 0;        // of the deepest state that was expanded
  uint64_t waiting = 0;      // states found and not expanded
  uint64_t node_states = 0;  // of single nodes, all different
  uint64_t packets = 0;      // different messages
  uint64_t core_steps = 0;   // events that the production core worked out
  uint64_t verified = 0;     // pairs of nodes tested for equal behaviour
  uint64_t beyond_terms = 0;
  uint64_t overfull = 0;           // moves after which messages had to be lost for want of room
  std::string stopped;             // why before the end; empty: everything was seen
  std::string broken;              // the rule; empty: none
  std::vector<std::string> trace;  // the random steps, then the moves of the search
  uint64_t walked = 0;             // random steps among them
  double seconds = 0;              // filled in by who has a clock

  bool exhausted() const { return stopped.empty() && broken.empty(); }
};

struct Limits {
  size_t table_bytes = size_t{1} << 28U;     // of all states met (explore/visited.h)
  size_t frontier_bytes = size_t{1} << 28U;  // of the states that wait
  // Asked every few thousand transitions: a reason to stop, or nothing.
  std::function<std::string(const Report& so_far)> interrupt;
  uint64_t verify_every = 0;
  uint64_t walk = 0;  // random moves before the search begins
  uint64_t seed = 1;  // of the walk
};

Report explore(const Scope& scope, const Limits& limits);

// Plays a trace again, the random steps first if there were any; what cannot happen any more is
// said in `stopped`.
Report replay(const Scope& scope, uint64_t walk, uint64_t seed,
              const std::vector<std::string>& moves);

// The expected number of different states that were taken for one another.
double collisions_expected(uint64_t states);

}  // namespace quorate::explore
