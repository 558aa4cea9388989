#include "explore/scope.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/check.h"
#include "base/rng.h"

namespace quorate::explore {
namespace {

// Every bound by its name: what it means, how it is read and written.
struct Bound {
  std::string_view name;
  uint64_t least;
  uint64_t most;
  std::string_view meaning;
  std::function<uint64_t(const Scope&)> get;
  std::function<void(Scope&, uint64_t)> set;
};

template <class Part>
Bound bound(std::string_view name, uint64_t least, uint64_t most, std::string_view meaning,
            Part part) {
  return {name,
          least,
          most,
          meaning,
          [part](const Scope& scope) { return static_cast<uint64_t>(part(scope)); },
          [part](Scope& scope, uint64_t value) {
            auto& field = part(scope);
            field = static_cast<std::remove_reference_t<decltype(field)>>(value);
          }};
}

#define QRT_BOUND(name, least, most, field, meaning) \
  bound(name, least, most, meaning, [](auto& scope) -> auto& { return scope.field; })

const std::vector<Bound>& bounds() {
  static const std::vector<Bound> kBounds = {
      QRT_BOUND("nodes", 1, kNodesMax, nodes, "how many there are"),
      QRT_BOUND("voters", 1, kNodesMax, voters, "of them, in the founding configuration"),
      QRT_BOUND("pre-vote", 0, 1, pre_vote, "candidates ask before they campaign"),
      QRT_BOUND("check-quorum", 0, 1, check_quorum, "leaders give up without a majority"),
      QRT_BOUND("lease-reads", 0, 1, lease_reads, "leaders answer reads from a lease"),
      QRT_BOUND("led", 0, 1, start, "1: node 1 leads already; 0: nobody has ever led"),
      QRT_BOUND("terms", 0, 100, terms, "that may begin"),
      QRT_BOUND("timeouts", 0, 15, budgets.timeouts, "deadlines that pass on others than leaders"),
      QRT_BOUND("heartbeats", 0, 15, budgets.heartbeats, "deadlines that pass on leaders"),
      QRT_BOUND("passes", 0, 15, budgets.passes, "election timeouts that pass unnoticed"),
      QRT_BOUND("crashes", 0, 15, budgets.crashes, "that lose what was not durable"),
      QRT_BOUND("crashes-each", 0, 15, crashes_each, "of the same node"),
      QRT_BOUND("wipes", 0, 15, budgets.wipes, "crashes that lose the disk"),
      QRT_BOUND("commands", 0, 15, budgets.commands, "proposed to leaders"),
      QRT_BOUND("changes", 0, 15, budgets.changes, "of members, proposed to leaders"),
      QRT_BOUND("change-kinds", 0, 2, changes, "0: one voter, 1: learners too, 2: any voters"),
      QRT_BOUND("reads", 0, 15, budgets.reads, "linearizable ones, asked of leaders"),
      QRT_BOUND("transfers", 0, 15, budgets.transfers, "of leadership"),
      QRT_BOUND("compactions", 0, 15, budgets.compactions, "of a log, anywhere up to committed"),
      QRT_BOUND("duplicates", 0, 15, budgets.duplicates, "of messages; 15: unlimited"),
      QRT_BOUND("disconnects", 0, 15, budgets.disconnects, "hints that a peer may be dead"),
      QRT_BOUND("failures", 0, 15, budgets.failures, "of snapshots on their way"),
      QRT_BOUND("ticks", 0, 15, budgets.ticks, "half election timeouts of shared clocks"),
      QRT_BOUND("shared-clocks", 0, 1, clocks, "1: all run together but for their drift"),
      QRT_BOUND("in-flight", 1, kInFlightMax, in_flight, "messages at a time"),
      QRT_BOUND("slow-disk", 0, 1, slow_disk, "writes become durable in steps of their own"),
      QRT_BOUND("append-max", 1, 1000, append_max, "entries in one message"),
      QRT_BOUND("turn", 1, 3, turn, "events taken in before the effects are taken"),
      QRT_BOUND("tail", 0, 1000, tail, "entries that a restart finds in memory"),
      QRT_BOUND("quorum-rule", 0, 1, quorum_rule, "a commit on too few disks is broken already"),
      QRT_BOUND("symmetry", 0, 1, symmetry, "mirror images count as one state"),
      QRT_BOUND("protocol", 0, std::size(consensus::kProtocols) - 1, protocol,
                "0: raft, 1: multipaxos"),
      QRT_BOUND("depth", 1, UINT64_MAX, depth, "moves from the start"),
  };
  return kBounds;
}

#undef QRT_BOUND

struct Named {
  const char* name;
  const char* text;
  const char* bounds;
};

// The small ones end within seconds; those with a capital letter are as large as their time.
constexpr Named kNamed[] = {
    {"learners", "a learner comes, goes, is promoted or demoted, with an election",
     "nodes=4 change-kinds=1 terms=1 timeouts=1 heartbeats=0 commands=0 changes=1 slow-disk=0 "
     "in-flight=2"},
    {"members", "two changes of one voter, one of them of another leader",
     "nodes=4 voters=4 terms=1 timeouts=1 heartbeats=0 commands=0 changes=2 slow-disk=0 "
     "in-flight=2"},
    {"lease", "a read from a lease beside an election",
     "shared-clocks=1 lease-reads=1 check-quorum=1 terms=1 timeouts=1 reads=1 ticks=2 commands=1 "
     "heartbeats=0 slow-disk=0 in-flight=2"},
    {"joint", "from any voters to any others, with an election",
     "nodes=4 terms=1 timeouts=1 heartbeats=0 commands=0 changes=1 change-kinds=2 slow-disk=0 "
     "in-flight=2"},
    {"duplicates", "every message may come again, as often as it likes",
     "terms=1 timeouts=1 heartbeats=0 commands=1 duplicates=15 in-flight=3 slow-disk=0"},
    {"crashes", "a command, an election and a crash at any step of any disk",
     "terms=1 timeouts=1 heartbeats=0 commands=1 crashes=1 in-flight=2"},
    {"elections", "two elections among founders, a crash anywhere",
     "led=0 terms=2 timeouts=2 commands=0 heartbeats=0 crashes=1 in-flight=2"},
    {"pre-vote", "pre-votes, quorum checks, broken connections and clocks that oversleep",
     "pre-vote=1 check-quorum=1 terms=1 timeouts=2 heartbeats=1 passes=1 commands=0 slow-disk=0 "
     "in-flight=2 disconnects=1"},
    {"snapshots", "a log is given back, a snapshot fails on its way, an election",
     "terms=1 timeouts=1 heartbeats=1 commands=1 compactions=1 failures=1 slow-disk=0 in-flight=2"},
    {"wipes", "a node loses its disk and comes back",
     "wipes=1 terms=1 timeouts=1 commands=1 heartbeats=1 slow-disk=0 in-flight=2"},
    {"transfer", "a lease, a transfer of leadership and a read",
     "shared-clocks=1 lease-reads=1 check-quorum=1 terms=1 timeouts=1 reads=1 transfers=1 ticks=1 "
     "commands=1 heartbeats=0 slow-disk=0 in-flight=2"},
    {"reads", "two reads around an election",
     "terms=1 timeouts=1 heartbeats=1 commands=1 reads=2 slow-disk=0 in-flight=2"},
    {"members-twice", "two changes of one voter in up to three terms",
     "nodes=4 terms=2 timeouts=2 heartbeats=0 commands=0 changes=2 slow-disk=0 in-flight=2"},
    {"R1", "elections, commands and a crash",
     "led=0 terms=2 timeouts=2 heartbeats=1 commands=1 crashes=1 crashes-each=1 in-flight=2"},
    {"R3", "snapshots beside changes of members",
     "voters=2 terms=1 timeouts=1 heartbeats=1 commands=1 changes=1 compactions=1 failures=1 "
     "slow-disk=0 in-flight=2"},
    {"R4", "three candidates with pre-votes, quorum checks and clocks that oversleep",
     "pre-vote=1 check-quorum=1 terms=2 timeouts=3 heartbeats=1 passes=1 commands=0 slow-disk=0 "
     "in-flight=2 disconnects=1"},
    {"R5", "leases, transfers and reads in three ticks",
     "shared-clocks=1 lease-reads=1 check-quorum=1 terms=1 timeouts=1 reads=1 transfers=1 ticks=3 "
     "commands=1 heartbeats=1 slow-disk=0 in-flight=2"},
};

}  // namespace

const std::vector<Scope>& named_scopes() {
  static const std::vector<Scope> kScopes = [] {
    std::vector<Scope> scopes;
    for (const Named& named : kNamed) {
      Scope scope;
      scope.name = named.name;
      scope.text = named.text;
      const Result<void> set = set_bounds(scope, named.bounds);
      CHECK(set, "the bounds of a named scope are bounds");
      scopes.push_back(std::move(scope));
    }
    return scopes;
  }();
  return kScopes;
}

// Random walks go far, so the search behind them can only be short.
Scope walk_scope(uint64_t seed) {
  Rng rng(seed);
  Scope scope;
  scope.name = "walk " + std::to_string(seed);
  scope.text = "every short way on from where a random walk ends";
  scope.nodes = 3 + rng.below(2);
  scope.voters = rng.between(1, scope.nodes);
  scope.pre_vote = rng.below(2) == 0;
  scope.check_quorum = rng.below(2) == 0;
  scope.slow_disk = rng.below(2) == 0;
  scope.start = rng.below(2) == 0 ? Start::led : Start::founded;
  scope.changes = rng.below(2) == 0 ? Changes::any : Changes::learners;
  scope.append_max = rng.below(2) == 0 ? 1 : 1000;
  scope.tail = rng.below(2) == 0 ? 0 : 1000;
  scope.terms = 100;
  scope.in_flight = rng.between(2, 4);
  scope.budgets = {.timeouts = 2,
                   .heartbeats = 2,
                   .passes = 1,
                   .crashes = 1,
                   .wipes = 1,
                   .commands = 1,
                   .changes = 1,
                   .reads = 1,
                   .transfers = 1,
                   .compactions = 1,
                   .duplicates = 1,
                   .disconnects = 1,
                   .failures = 1};
  if (rng.below(4) == 0) {
    scope.clocks = Clocks::shared;
    scope.lease_reads = scope.check_quorum = true;
    scope.budgets.ticks = 3;
  }
  scope.depth = 6;
  return scope;
}

std::vector<std::pair<std::string, std::string>> bound_names() {
  std::vector<std::pair<std::string, std::string>> names;
  for (const Bound& each : bounds()) {
    names.emplace_back(std::string(each.name), std::string(each.meaning));
  }
  return names;
}

Result<Scope> scope_named(std::string_view name) {
  std::string known;
  for (const Scope& scope : named_scopes()) {
    if (scope.name == name) return scope;
    known += " " + scope.name;
  }
  return fail(ErrorKind::not_found,
              "there is no scope \"" + std::string(name) + "\"; there are:" + known);
}

// Only what differs from a scope with nothing set is worth saying, except the size.
std::string describe(const Scope& scope) {
  const Scope nothing;
  std::string text;
  for (const Bound& each : bounds()) {
    const uint64_t value = each.get(scope);
    const bool size = each.name == "nodes" || each.name == "terms" || each.name == "in-flight" ||
                      each.name == "timeouts" || each.name == "heartbeats" ||
                      each.name == "commands";
    if (!size && value == each.get(nothing)) continue;
    text += (text.empty() ? "" : " ") + std::string(each.name) + "=" + std::to_string(value);
  }
  return text;
}

Result<void> set_bounds(Scope& scope, std::string_view words) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    const std::string_view word = words.substr(0, end);
    words.remove_prefix(std::min(end + 1, words.size()));
    if (word.empty()) continue;
    const size_t equals = word.find('=');
    if (equals == std::string_view::npos) {
      return fail(ErrorKind::invalid,
                  "\"" + std::string(word) + "\" is no bound; write name=value");
    }
    auto set = set_bound(scope, word.substr(0, equals), word.substr(equals + 1));
    if (!set) return set;
  }
  return {};
}

Result<void> set_bound(Scope& scope, std::string_view name, std::string_view value) {
  std::string known;
  for (const Bound& each : bounds()) {
    known += " " + std::string(each.name);
    if (each.name != name) continue;
    uint64_t parsed = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    const bool whole = error == std::errc() && end == value.data() + value.size();
    if (!whole || parsed < each.least || parsed > each.most) {
      return fail(ErrorKind::invalid, std::string(name) + ": \"" + std::string(value) +
                                          "\" is not a number from " + std::to_string(each.least) +
                                          " to " + std::to_string(each.most));
    }
    each.set(scope, parsed);
    return {};
  }
  return fail(ErrorKind::invalid,
              "no bound is called \"" + std::string(name) + "\"; there are:" + known);
}

}  // namespace quorate::explore
