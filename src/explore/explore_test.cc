// The searcher against a plainer one, its reductions against searches without them, the
// fingerprints against behaviour, and the rules against logs that break them.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <utility>

#include "explore/frontier.h"
#include "explore/report.h"
#include "explore/search.h"
#include "explore/visited.h"

namespace quorate::explore {
namespace {

using consensus::Ballot;
using consensus::Entry;
using consensus::EntryKind;
using consensus::Members;

Scope small_scope() {
  Scope scope;
  scope.terms = 1;
  scope.in_flight = 2;
  scope.budgets.timeouts = 1;
  scope.budgets.heartbeats = 0;
  scope.budgets.commands = 1;
  return scope;
}

Limits small_limits() {
  Limits limits;
  limits.table_bytes = size_t{1} << 26U;
  limits.frontier_bytes = size_t{1} << 26U;
  return limits;
}

Report search(const Scope& scope, uint64_t verify_every = 0) {
  Limits limits = small_limits();
  limits.verify_every = verify_every;
  Report report = explore(scope, limits);
  EXPECT_EQ(report.broken, "");
  return report;
}

// The parts of a state by their prints: numbers given in one search mean nothing in another.
using Key = std::pair<std::vector<Print>, std::vector<uint8_t>>;

// A search as plain as can be: every state in full in a sorted set, one after the other.
class PlainSearch : Moves::Sink {
 public:
  PlainSearch(const Scope& scope, bool explicit_loss)
      : universe_(scope), moves_(universe_), explicit_loss_(explicit_loss) {
    const ChecksAreFindings guard;
    State start = moves_.first();
    if (scope.start == Start::led) {
      EXPECT_EQ(moves_.lead(start), "");
    }
    start.budgets = scope.budgets;
    add(start);
    while (!waiting_.empty()) {
      const State state = waiting_.back();
      waiting_.pop_back();
      moves_.expand(state, *this);
      if (explicit_loss_) lose(state);
    }
  }

  size_t states() const { return states_.size(); }
  size_t orbits() const { return orbits_.size(); }
  // What the cluster can come to, whatever is in flight.
  std::set<Key> situations() const {
    std::set<Key> all;
    for (const auto& [key, packets] : states_) all.insert(key);
    return all;
  }

 private:
  void add(const State& state) {
    const auto budgets = std::bit_cast<std::array<uint8_t, sizeof(Budgets)>>(state.budgets);
    Key key;
    key.first.push_back(*universe_.history_prints(state.history));
    for (size_t place = 0; place < universe_.scope().nodes; ++place) {
      key.first.push_back(*universe_.node_prints(state.nodes[place]));
    }
    key.second.assign(budgets.begin(), budgets.end());
    std::vector<uint32_t> packets(state.packets.begin(), state.packets.begin() + state.in_flight);
    if (!states_.insert({key, packets}).second) return;
    orbits_.insert(moves_.canonical(state));
    waiting_.push_back(state);
  }
  void lose(const State& state) {
    for (uint8_t lost = 0; lost < state.in_flight; ++lost) {
      State next = state;
      for (size_t place = lost; place + 1U < next.in_flight; ++place) {
        next.packets[place] = next.packets[place + 1];
      }
      next.packets[--next.in_flight] = 0;
      add(next);
    }
  }
  void reach(const Move& /*move*/, const State& next) override { add(next); }
  void broken(const Move& /*move*/, const std::string& rule) override { ADD_FAILURE() << rule; }

  Universe universe_;
  Moves moves_;
  bool explicit_loss_;
  std::set<std::pair<Key, std::vector<uint32_t>>> states_;
  std::set<Print> orbits_;
  std::vector<State> waiting_;
};

TEST(Search, FindsWhatAPlainOneFinds) {
  for (const bool led : {true, false}) {
    Scope scope = small_scope();
    scope.start = led ? Start::led : Start::founded;
    scope.symmetry = false;
    const Report report = search(scope);
    EXPECT_TRUE(report.exhausted());
    EXPECT_GT(report.states, 1000U);
    EXPECT_EQ(report.states, PlainSearch(scope, false).states());
  }
}

// The states of a search without symmetry fall into as many classes as one with symmetry meets:
// what is possible for some nodes is possible for all others in their place.
TEST(Search, MirrorImagesAreOneStateAndNoneIsForgotten) {
  Scope scope = small_scope();
  scope.start = Start::founded;
  scope.budgets.compactions = 1;
  scope.slow_disk = false;
  const Report report = search(scope);
  EXPECT_TRUE(report.exhausted());
  Scope whole = scope;
  whole.symmetry = false;
  const Report all = search(whole);
  EXPECT_GT(all.states, 4 * report.states);
  // The same states again, but counted by the class that each belongs to.
  const PlainSearch plain(whole, false);
  EXPECT_EQ(plain.states(), all.states);
  Scope renamed = scope;
  EXPECT_EQ(PlainSearch(renamed, false).orbits(), report.states);
}

// Messages are only lost when there is no room. Losing them at any time leads nowhere else.
TEST(Search, LossForWantOfRoomIsAllTheLossThereIs) {
  for (const bool slow_disk : {false, true}) {
    Scope scope = small_scope();
    scope.symmetry = false;
    scope.slow_disk = slow_disk;
    const PlainSearch sparing(scope, false);
    const PlainSearch losing(scope, true);
    EXPECT_LT(sparing.states(), losing.states());
    EXPECT_TRUE(sparing.situations() == losing.situations());
  }
}

// Fingerprints must not forget anything: nodes that have the same one live the same random life.
TEST(Search, WhatHasOneFingerprintBehavesAlike) {
  std::vector<Scope> scopes(5, small_scope());
  scopes[0].budgets = {.timeouts = 1, .heartbeats = 2, .crashes = 1, .commands = 1};
  scopes[1].pre_vote = scopes[1].check_quorum = true;
  scopes[1].budgets = {.timeouts = 1,
                       .heartbeats = 1,
                       .passes = 1,
                       .commands = 1,
                       .reads = 1,
                       .transfers = 1,
                       .compactions = 1,
                       .disconnects = 1,
                       .failures = 1};
  scopes[2].lease_reads = scopes[2].check_quorum = true;
  scopes[2].clocks = Clocks::shared;
  scopes[2].budgets = {.timeouts = 1, .heartbeats = 1, .commands = 1, .reads = 1, .ticks = 3};
  scopes[3].turn = 2;
  scopes[3].tail = 0;
  scopes[3].budgets = {.timeouts = 1, .heartbeats = 1, .crashes = 1, .commands = 1, .changes = 1};
  scopes[4].nodes = 4;
  scopes[4].changes = Changes::any;
  scopes[4].budgets = {.timeouts = 1, .heartbeats = 1, .wipes = 1, .commands = 0, .changes = 1};
  for (Scope& scope : scopes) {
    scope.depth = 7;
    EXPECT_GT(search(scope, 1).verified, 300U) << describe(scope);
  }
}

TEST(Search, AClusterThatWorksBreaksNoRuleAndItsStoryCanBeToldAgain) {
  Scope scope = small_scope();
  struct First : Moves::Sink {
    std::vector<std::pair<Move, State>> all;
    void reach(const Move& move, const State& next) override { all.emplace_back(move, next); }
    void broken(const Move& /*move*/, const std::string& rule) override { FAIL() << rule; }
  };
  const ChecksAreFindings guard;
  Universe universe(scope);
  Moves moves(universe);
  State state = moves.first();
  ASSERT_EQ(moves.lead(state), "");
  TraceFile trace;
  trace.scope = scope;
  trace.rule = "none";
  for (int step = 0; step < 6; ++step) {
    First next;
    moves.expand(state, next);
    ASSERT_FALSE(next.all.empty());
    trace.moves.push_back(moves.describe(state, next.all.back().first, &next.all.back().second));
    state = next.all.back().second;
  }
  const auto read = parse_trace(trace_text(trace));
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(describe(read->scope), describe(scope));
  EXPECT_EQ(read->moves, trace.moves);
  const Report again = replay(read->scope, 0, 1, read->moves);
  EXPECT_EQ(again.trace, trace.moves);
  EXPECT_EQ(again.stopped + again.broken, "");
  trace.moves[3] = "2 does what it never does";
  EXPECT_NE(replay(scope, 0, 1, trace.moves).stopped, "");
}

TEST(Search, SaysWhyItEnds) {
  Scope scope = small_scope();
  scope.depth = 3;
  const Report shallow = explore(scope, small_limits());
  EXPECT_FALSE(shallow.exhausted());
  EXPECT_NE(shallow.stopped, "");
  EXPECT_GT(shallow.waiting, 0U);
  Limits limits = small_limits();
  limits.table_bytes = 0;
  scope.budgets.timeouts = 2;
  scope.depth = UINT64_MAX;
  EXPECT_EQ(explore(scope, limits).stopped, "the table of states is full");
}

TEST(Scope, BoundsAreReadAndRefused) {
  Scope scope;
  EXPECT_TRUE(set_bound(scope, "nodes", "5"));
  EXPECT_EQ(scope.nodes, 5U);
  for (const auto& [name, value] : std::vector<std::pair<const char*, const char*>>{
           {"nodes", "9"}, {"nodes", "0"}, {"nodes", "3x"}, {"nodes", ""}, {"node", "3"}}) {
    EXPECT_FALSE(set_bound(scope, name, value)) << name << "=" << value;
  }
  EXPECT_FALSE(scope_named("none"));
  for (const Scope& each : named_scopes()) {
    EXPECT_TRUE(scope_named(each.name));
    EXPECT_FALSE(each.text.empty());
  }
}

TEST(Frontier, GivesBackWhatWasPushed) {
  Rng rng(5);
  std::vector<std::pair<State, uint32_t>> pushed;
  Frontier frontier;
  for (int count = 0; count < 50'000; ++count) {
    State state;
    for (uint32_t& node : state.nodes) node = static_cast<uint32_t>(rng.below(1U << 30U));
    state.history = static_cast<uint32_t>(rng.below(300));
    state.budgets.ticks = static_cast<uint8_t>(rng.below(16));
    state.budgets.proposed = 200;
    state.in_flight = static_cast<uint8_t>(rng.below(kInFlightMax + 1));
    for (size_t place = 0; place < state.in_flight; ++place) {
      state.packets[place] = static_cast<uint32_t>(rng.next());
    }
    pushed.emplace_back(state, static_cast<uint32_t>(rng.next()));
    frontier.push(state, pushed.back().second, kNodesMax);
  }
  EXPECT_EQ(frontier.size(), pushed.size());
  State state;
  uint32_t place = 0;
  for (const auto& [expected, expected_place] : pushed) {
    ASSERT_TRUE(frontier.pop(state, place, kNodesMax));
    ASSERT_EQ(place, expected_place);
    ASSERT_EQ(state.nodes, expected.nodes);
    ASSERT_EQ(state.history, expected.history);
    ASSERT_TRUE(state.budgets == expected.budgets);
    ASSERT_EQ(state.in_flight, expected.in_flight);
    for (size_t each = 0; each < state.in_flight; ++each) {
      ASSERT_EQ(state.packets[each], expected.packets[each]);
    }
  }
  EXPECT_FALSE(frontier.pop(state, place, kNodesMax));
}

TEST(Visited, KnowsWhatItHasMetAndFromWhere) {
  Rng rng(6);
  Visited visited(size_t{1} << 20U);
  std::map<Print, uint32_t> places;
  while (places.size() < visited.capacity()) {
    const Print print{rng.below(50'000), rng.below(3)};
    const auto parent = static_cast<uint32_t>(places.size());
    const Visited::Answer answer = visited.insert(print, parent);
    const auto [known, fresh] = places.emplace(print, answer.place);
    ASSERT_EQ(answer.fresh, fresh);
    ASSERT_EQ(answer.place, known->second);
    if (fresh) {
      ASSERT_EQ(visited.parent(answer.place), parent);
    }
  }
  EXPECT_TRUE(visited.full());
}

// ---- The rules.

Entry entry(uint64_t index, uint64_t term, uint64_t sequence = 0) {
  return {Index{index}, Ballot{term, {}}, EntryKind::command, ProposalId{NodeId{1}, sequence}, {}};
}

LogImage log_of(const std::vector<Entry>& entries) {
  LogImage log;
  consensus::Write write;
  write.id = WriteId{1};
  write.hard_state = consensus::HardState{Ballot{1, {}}, {}, Index{}};
  write.entries = entries;
  EXPECT_EQ(log.apply(write, 0), "");
  return log;
}

Members three() { return {{{NodeId{1}, 0, {}}, {NodeId{2}, 0, {}}, {NodeId{3}, 0, {}}}, {}, {}}; }

struct RulesTest : ::testing::Test {
  LogImage founder = log_of({entry(1, 1)});
  LogImage holds_two = log_of({entry(1, 1), entry(2, 2, 7)});
  LogImage holds_other = log_of({entry(1, 1), entry(2, 3, 8)});
  History history = History::founded(founder);
  std::vector<const LogImage*> two_hold = {&holds_two, &holds_two, &founder};

  std::string commit(const LogImage& log, uint64_t index, uint64_t round,
                     const std::vector<const LogImage*>& disks) {
    return history.committed(NodeId{1}, Index{index}, round, log, {three(), three(), three()},
                             disks);
  }
};

TEST_F(RulesTest, OneLeaderForEachTerm) {
  EXPECT_EQ(history.leading(NodeId{1}, 2, founder), "");
  EXPECT_EQ(history.leading(NodeId{1}, 2, founder), "");
  EXPECT_EQ(history.leading(NodeId{2}, 3, founder), "");
  EXPECT_NE(history.leading(NodeId{2}, 2, founder), "");
}

TEST_F(RulesTest, ALeaderHoldsWhatWasCommitted) {
  EXPECT_EQ(commit(holds_two, 2, 2, two_hold), "");
  EXPECT_EQ(history.leading(NodeId{2}, 3, holds_two), "");
  EXPECT_NE(history.leading(NodeId{3}, 4, founder), "");
  EXPECT_NE(history.leading(NodeId{3}, 5, holds_other), "");
}

TEST_F(RulesTest, ACommitIsDurableOnAQuorum) {
  EXPECT_NE(commit(holds_two, 2, 2, {&holds_two, &founder, &founder}), "");
  EXPECT_NE(commit(holds_two, 2, 2, {&holds_two, &holds_other, &founder}), "");
  Members joint = three();
  joint.outgoing = {{NodeId{3}, 0, {}}};
  EXPECT_NE(history.committed(NodeId{1}, Index{2}, 2, holds_two, {joint, joint, three()}, two_hold),
            "");
  EXPECT_EQ(
      history.committed(NodeId{1}, Index{2}, 2, holds_two, {joint, three(), three()}, two_hold),
      "");
}

TEST_F(RulesTest, NobodyCommitsAnythingElse) {
  EXPECT_EQ(commit(holds_two, 2, 2, two_hold), "");
  EXPECT_NE(commit(holds_other, 2, 3, two_hold), "");
  EXPECT_NE(commit(founder, 2, 3, two_hold), "");
  const LogImage twice = log_of({entry(1, 1), entry(2, 2, 7), entry(3, 2, 7)});
  EXPECT_NE(commit(twice, 3, 2, {&twice, &twice, &founder}), "");
}

TEST_F(RulesTest, AReadIsNotOlderThanTheQuestion) {
  history.read_asked(NodeId{1}, ReadId{1});
  EXPECT_EQ(commit(holds_two, 2, 2, two_hold), "");
  history.read_asked(NodeId{1}, ReadId{2});
  history.read_asked(NodeId{1}, ReadId{3});
  EXPECT_EQ(history.read_answered(NodeId{1}, ReadId{1}, Index{1}), "");
  EXPECT_NE(history.read_answered(NodeId{1}, ReadId{2}, Index{1}), "");
  history.read_refused(ReadId{3});
  EXPECT_NE(history.read_answered(NodeId{1}, ReadId{3}, Index{2}), "") << "nobody waits";
}

TEST_F(RulesTest, LogsThatMeetOnceAreOneUpToThere) {
  EXPECT_EQ(logs_match(NodeId{1}, holds_two, NodeId{2}, holds_other), "");
  EXPECT_EQ(logs_match(NodeId{1}, holds_two, NodeId{2}, founder), "");
  const LogImage one = log_of({entry(1, 1), entry(2, 2, 7), entry(3, 4)});
  const LogImage other = log_of({entry(1, 1), entry(2, 3, 8), entry(3, 4)});
  EXPECT_NE(logs_match(NodeId{1}, one, NodeId{2}, other), "");
}

TEST(LogImage, GuardsWhatTheRealLogGuards) {
  LogImage log = log_of({entry(1, 1), entry(2, 2)});
  consensus::Write write;
  write.id = WriteId{2};
  write.hard_state = consensus::HardState{Ballot{3, NodeId{2}}, {}, Index{2}};
  EXPECT_EQ(LogImage(log).apply(write, 0), "");
  EXPECT_EQ(log.apply(write, 0), "");
  EXPECT_NE(LogImage(log).apply(write, 0), "") << "an id twice";
  write.id = WriteId{3};
  write.hard_state->promised.node = NodeId{1};
  EXPECT_NE(LogImage(log).apply(write, 0), "") << "two votes in a term";
  write.hard_state->promised = {2, {}};
  EXPECT_NE(LogImage(log).apply(write, 0), "") << "a term goes back";
  write.hard_state->promised = {4, {}};
  write.hard_state->committed = Index{1};
  EXPECT_NE(LogImage(log).apply(write, 0), "") << "committed goes back";
  write.hard_state.reset();
  write.truncate_from = Index{2};
  EXPECT_NE(LogImage(log).apply(write, 0), "") << "what is committed is replaced";
  write.truncate_from.reset();
  write.entries = {entry(4, 3)};
  EXPECT_NE(LogImage(log).apply(write, 0), "") << "a gap";
  write.entries = {entry(3, 3)};
  EXPECT_EQ(LogImage(log).apply(write, 0), "");
}

}  // namespace
}  // namespace quorate::explore
