// explore/synod/scope.h: what may happen in a search through one decree, and what was seen.
//
// Within the bounds everything is tried: messages are never taken out of the network, so each may
// be delivered at once, later, twice, behind any other, or never. A process that crashes loses what
// was not durable and starts again from its disk; a proposer then has another wish.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace quorate::explore::synod {

inline constexpr size_t kAcceptors = 3;
inline constexpr size_t kProposers = 2;

struct Scope {
  uint8_t ballots = 3;  // that begin, whoever begins them
  uint8_t rounds = 2;   // the largest round; a ballot may skip rounds, as after a refusal
  // Of one process, whichever it is. Its writes become durable in steps of their own, so that a
  // crash may come between. Those of the others are durable at once: a late write differs from a
  // late message only for who crashes.
  uint8_t crashes = 1;
  bool slow_disk = true;
};

struct Limits {
  uint64_t states_max = 20'000'000;                // about 100 bytes each
  std::function<bool(uint64_t states)> interrupt;  // asked now and then; true: stop
};

struct Report {
  Scope scope;
  uint64_t states = 0;       // all different
  uint64_t transitions = 0;  // moves tried
  uint64_t deciding = 0;     // states in which a value is chosen
  uint64_t depth = 0;        // moves from the start to the farthest state
  uint64_t messages = 0;     // all different
  uint64_t acceptor_states = 0;
  uint64_t proposer_states = 0;
  std::string stopped;             // why before the end; empty: everything was seen
  std::string broken;              // the rule; empty: none
  std::vector<std::string> trace;  // a shortest way to it
  bool exhausted() const { return stopped.empty() && broken.empty(); }
};

// Breadth first. Checked in every state:
// agreement: all majorities of one ballot, over all that was ever accepted, mean one value, and a
// learner that hears any of it learns just that; validity: it is a wish of a proposer; durability:
// an acceptor's disk knows each promise and acceptance that left it; one value for each ballot.
Report explore(const Scope& scope, const Limits& limits);

}  // namespace quorate::explore::synod
