// explore/scope.h: what a search may do: the size of the cluster and how often each thing happens.
//
// A search is exhaustive within its scope and says nothing beyond it. Everything that is counted
// is counted along one path from the start; what is never counted (order, delay and loss of
// messages) is unlimited.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "consensus/factory.h"

namespace quorate::explore {

enum class Start : uint8_t {
  founded,  // everybody holds the founding entry; nobody has led yet
  led,      // node 1 leads term 2 and everybody knows that its first entry is committed
};
// Which configurations a leader may be asked for.
enum class Changes : uint8_t {
  voters,    // one voter more or less
  learners,  // one member more, less, promoted or demoted
  any,       // any set of voters
};
enum class Clocks : uint8_t {
  // Each node has a clock of its own that jumps to whatever deadline is armed: the world without
  // any assumption about time. Not for leases, which rest on one.
  free,
  // All clocks run together, in ticks; in each tick at most one of them runs slow. A deadline
  // passes no earlier than it says, but may be noticed at any time later.
  shared,
};

inline constexpr uint8_t kUnlimited = 15;
inline constexpr size_t kNodesMax = 5;
inline constexpr size_t kInFlightMax = 12;

// How often something may still happen.
struct Budgets {
  uint8_t timeouts = 2;    // deadlines that pass on a node that does not lead
  uint8_t heartbeats = 1;  // deadlines that pass on a leader
  uint8_t passes = 0;      // an election timeout passes unnoticed on one node
  uint8_t crashes = 0;     // a node loses what was not durable and starts again
  uint8_t wipes = 0;       // a node loses its disk; never a majority at a time
  uint8_t commands = 1;
  uint8_t changes = 0;  // of members
  uint8_t reads = 0;
  uint8_t transfers = 0;
  uint8_t compactions = 0;
  uint8_t duplicates = 0;   // deliveries that leave the message in flight; kUnlimited: always
  uint8_t disconnects = 0;  // hints that a peer's connection broke
  uint8_t failures = 0;     // of snapshots on their way
  uint8_t ticks = 0;        // of shared clocks
  // Counted up, to name them: proposals and reads so far.
  uint8_t proposed = 0;
  uint8_t asked = 0;
  bool operator==(const Budgets&) const = default;
};
static_assert(sizeof(Budgets) == 16, "without gaps, as it is hashed as two words");

struct Scope {
  std::string name = "own";
  std::string text;
  consensus::Protocol protocol = consensus::Protocol::raft;
  size_t nodes = 3;
  size_t voters = 3;  // of the founding configuration: nodes 1 to this one
  bool pre_vote = false;
  bool check_quorum = false;
  bool lease_reads = false;
  Start start = Start::led;
  uint64_t terms = 2;                  // that may begin after the start
  uint64_t crashes_each = kUnlimited;  // of each node, within the budget of all
  Budgets budgets;
  Changes changes = Changes::voters;
  size_t in_flight = 4;  // messages at a time; when there is no room, any of them get lost
  // Writes become durable in steps of their own; otherwise at once, which loses nothing in a
  // search without crashes but the delay of a node's own copy and vote.
  bool slow_disk = true;
  size_t append_max = 1000;  // entries in one message
  uint8_t turn = 1;          // events that a node may take in before its effects are taken
  size_t tail = 1000;        // entries whose payload a restart gets back; the rest is fetched
  Clocks clocks = Clocks::free;
  // Whether a commit that rests on fewer disks than a quorum is a broken rule by itself. Without it
  // a search goes on to what such a commit leads to.
  bool quorum_rule = true;
  bool symmetry = true;  // states that differ by node names alone are one
  uint64_t depth = UINT64_MAX;
};

// The named scopes, smallest first.
const std::vector<Scope>& named_scopes();
Result<Scope> scope_named(std::string_view name);
// A scope for long random walks with a short search behind them; `seed` chooses the options.
Scope walk_scope(uint64_t seed);
std::vector<std::pair<std::string, std::string>> bound_names();  // and what they mean
// The bounds in one line.
std::string describe(const Scope& scope);
// Sets one bound by its name (as in describe()); the error says which names there are.
Result<void> set_bounds(Scope& scope, std::string_view words);  // name=value, blanks between
Result<void> set_bound(Scope& scope, std::string_view name, std::string_view value);

}  // namespace quorate::explore
