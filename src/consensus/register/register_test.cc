// The rules of registers, one by one; what follows from them is simulated in src/sim/registers.
#include <gtest/gtest.h>

#include "consensus/register/limits.h"
#include "consensus/register/registers.h"

namespace quorate::consensus::caspaxos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Members voters(uint64_t count) {
  Members members;
  for (uint64_t id = 1; id <= count; ++id) members.voters.push_back({NodeId{id}, 0, {}});
  return members;
}

// Nodes whose disks and network take no time; a node may be cut off.
class Three {
 public:
  Three() {
    for (uint64_t id = 1; id <= 3; ++id) start(id);
  }
  void start(uint64_t id) {
    nodes_.erase(id);
    nodes_.emplace(id, Registers({NodeId{id}, NodeId{id}}, voters(3), disks_[id], Rng(id)));
  }
  Outcome ask(uint64_t id, const Change& change, const std::string& name = "x") {
    const ProposalId number{NodeId{id}, ++sequence_};
    nodes_.at(id).change(now_, number, name, change, now_ + seconds(5));
    for (int round = 0; round < 1000; ++round) {
      run();
      for (const Finished& it : finished_) {
        if (it.id == number) return it.outcome;
      }
      now_ += milliseconds(10);
      for (auto& [other, node] : nodes_) node.wake(now_);
    }
    return {};
  }
  void run() {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto& [id, node] : nodes_) {
        Effects effects = node.take_effects();
        if (effects.write) apply(*effects.write, disks_[id]);
        for (const Finished& it : effects.finished) finished_.push_back(it);
        for (const Envelope& it : effects.messages) {
          moved = true;
          if (deaf_ == it.to.value || mute_accepted_ == id) continue;
          const auto travelled = decode(encode(it.body));
          ASSERT_EQ(travelled, it.body);
          nodes_.at(it.to.value).receive(now_, NodeId{id}, *travelled);
        }
      }
    }
  }

  std::map<uint64_t, Registers> nodes_;
  std::map<uint64_t, Durable> disks_;
  std::vector<Finished> finished_;
  uint64_t sequence_ = 0;
  uint64_t deaf_ = 0;
  uint64_t mute_accepted_ = 0;
  Time now_{};
};

TEST(Register, SetGetAndCompareFromAnyNode) {
  Three cluster;
  EXPECT_EQ(cluster.ask(1, Get{}), (Outcome{Verdict::applied, Why::none, 0, {}}));
  EXPECT_EQ(cluster.ask(1, Set{Bytes("a")}).version, 1);
  EXPECT_EQ(cluster.ask(2, Get{}).value, Bytes("a"));
  EXPECT_EQ(cluster.ask(3, CompareAndSet{Bytes("b"), Bytes("c")}),
            (Outcome{Verdict::mismatch, Why::none, 1, Bytes("a")}));
  EXPECT_EQ(cluster.ask(3, CompareAndSet{Bytes("a"), Bytes("c")}),
            (Outcome{Verdict::applied, Why::none, 2, Bytes("c")}));
  EXPECT_EQ(cluster.ask(2, CompareAndSet{std::nullopt, Bytes("d")}).verdict, Verdict::mismatch);
  EXPECT_EQ(cluster.ask(2, CompareAndSet{std::nullopt, Bytes("d")}, "y").version, 1);
  EXPECT_EQ(cluster.ask(1, Get{}).value, Bytes("c"));
}

TEST(Register, OneNodeMayBeAwayAndTheOthersStartAnew) {
  Three cluster;
  cluster.ask(1, Set{Bytes("a")});
  cluster.deaf_ = 1;
  EXPECT_EQ(cluster.ask(2, Set{Bytes("b")}).version, 2);
  cluster.start(2);
  cluster.start(3);
  EXPECT_EQ(cluster.ask(3, Get{}).value, Bytes("b"));
  cluster.deaf_ = 0;
  EXPECT_EQ(cluster.ask(1, Get{}).value, Bytes("b"));
}

TEST(Register, WithoutAMajorityAReadFailsSurelyAndAWriteThatNeverBeganToo) {
  Three cluster;
  cluster.nodes_.at(1).change(cluster.now_, {NodeId{1}, 1}, "x", Set{Bytes("a")},
                              cluster.now_ + seconds(1));
  const Effects lost = cluster.nodes_.at(1).take_effects();
  EXPECT_EQ(lost.messages.size(), 3);
  cluster.nodes_.at(1).wake(cluster.now_ + seconds(1));
  const Effects end = cluster.nodes_.at(1).take_effects();
  ASSERT_EQ(end.finished.size(), 1);
  EXPECT_EQ(end.finished[0].outcome.verdict, Verdict::not_applied);
  EXPECT_EQ(cluster.nodes_.at(1).deadline(), kNever);
}

TEST(Register, TheFirstBallotWaitsForItsRoundAndARestartBeginsBehindIt) {
  Registers node({NodeId{1}, NodeId{1}}, voters(3), {}, Rng(1));
  node.change({}, {NodeId{1}, 1}, "x", Get{}, Time{} + seconds(1));
  const Effects effects = node.take_effects();
  ASSERT_TRUE(effects.write);
  Durable disk;
  apply(*effects.write, disk);
  EXPECT_GT(disk.rounds_reserved, 1);
  for (const Envelope& it : effects.messages) EXPECT_EQ(it.after, effects.write->id);
  Registers again({NodeId{1}, NodeId{1}}, voters(3), disk, Rng(1));
  again.change({}, {NodeId{1}, 2}, "x", Get{}, Time{} + seconds(1));
  const Effects later = again.take_effects();
  EXPECT_GT(std::get<Prepare>(later.messages.at(0).body).ballot.round, disk.rounds_reserved);
}

// One change whose first ballot was accepted by somebody while the answers got lost.
class Interrupted {
 public:
  Interrupted() : proposer_("x", voters(3), id_, Set{Bytes("mine")}) {
    proposer_.begin({1, NodeId{1}});
    promise(1, std::nullopt);
    const auto accept = promise(2, std::nullopt);
    cell_ = std::get<Accept>(accept).vote.cell;
    proposer_.begin({5, NodeId{1}});
    ballot_ = {5, NodeId{1}};
  }
  std::variant<std::monostate, Accept, Outcome> promise(uint64_t from, std::optional<Vote> vote) {
    return proposer_.on(NodeId{from}, Promise{"x", ballot_, std::move(vote)});
  }
  Outcome end() {
    proposer_.on(NodeId{1}, Accepted{"x", ballot_});
    return proposer_.on(NodeId{2}, Accepted{"x", ballot_}).value_or(Outcome{});
  }

  ProposalId id_{NodeId{1}, 7};
  Ballot ballot_{1, NodeId{1}};
  Proposer proposer_;
  Cell cell_;
};

Cell built_on(Cell cell, uint64_t changes) {
  for (uint64_t change = 1; change <= changes; ++change) {
    cell = *apply(Set{Bytes("other")}, cell, {NodeId{2}, change});
  }
  return cell;
}

TEST(RegisterProposer, FindsItselfAgainBelowLaterChanges) {
  Interrupted it;
  it.promise(1, Vote{{3, NodeId{2}}, built_on(it.cell_, 2)});
  const auto next = it.promise(2, std::nullopt);
  EXPECT_EQ(std::get<Accept>(next).vote.cell, built_on(it.cell_, 2));  // unchanged
  EXPECT_EQ(it.end(), (Outcome{Verdict::applied, Why::none, 1, Bytes("mine")}));
}

TEST(RegisterProposer, AppliesAgainWhatSurelyIsNotThere) {
  Interrupted it;
  it.promise(1, Vote{{3, NodeId{2}}, built_on({}, 3)});
  const auto next = it.promise(2, std::nullopt);
  EXPECT_EQ(std::get<Accept>(next).vote.cell.version, 4);
  EXPECT_EQ(it.end().version, 4);
}

TEST(RegisterProposer, SaysThatItDoesNotKnowWhenTooMuchHasHappened) {
  Interrupted it;
  it.promise(1, Vote{{3, NodeId{2}}, built_on({}, kRecentMax + 1)});
  const auto next = it.promise(2, std::nullopt);
  EXPECT_EQ(std::get<Outcome>(next).verdict, Verdict::unknown);
  EXPECT_EQ(it.proposer_.give_up(Why::timed_out).verdict, Verdict::unknown);
}

TEST(RegisterMessage, WhatIsBeyondTheBoundsIsNotDecoded) {
  const Ballot ballot{3, NodeId{2}};
  EXPECT_FALSE(decode(encode(Prepare{"", ballot})));
  EXPECT_FALSE(decode(encode(Prepare{std::string(kNameBytesMax + 1, 'n'), ballot})));
  EXPECT_FALSE(decode(encode(Prepare{"x", {0, NodeId{2}}})));
  EXPECT_FALSE(decode(encode(Prepare{"x", {UINT64_MAX, NodeId{2}}})));
  EXPECT_FALSE(decode(encode(Accept{"x", {ballot, {1, Bytes("a"), {}}}})));  // made by nobody
  EXPECT_FALSE(decode(Bytes("")));
  const Bytes whole = encode(Accept{"x", {ballot, built_on({}, 3)}});
  EXPECT_TRUE(decode(whole));
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_FALSE(decode(whole.slice(0, size)));
  const AcceptorState state{ballot, Vote{ballot, built_on({}, 40)}};
  const auto read = decode_state(encode_state("x", state).view());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->second, state);
}

TEST(Register, ARequestThatComesTwiceIsNoReasonToGiveUp) {
  Registers node({NodeId{1}, NodeId{1}}, voters(3), {}, Rng(1));
  node.change({}, {NodeId{1}, 1}, "x", Get{}, Time{} + seconds(1));
  const Body prepare = node.take_effects().messages.at(0).body;
  Acceptors acceptors({});
  EXPECT_TRUE(std::holds_alternative<Promise>(acceptors.on(std::get<Prepare>(prepare)).body));
  const Body second = acceptors.on(std::get<Prepare>(prepare)).body;
  EXPECT_FALSE(std::get<Refused>(second).full);
  const Time before = node.deadline();
  node.receive({}, NodeId{2}, second);
  EXPECT_TRUE(node.take_effects().finished.empty());
  EXPECT_EQ(node.deadline(), before);
}

TEST(Register, BoundsAreKept) {
  Registers node({NodeId{1}, NodeId{1}}, voters(3), {}, Rng(1));
  const auto why_of = [&](const std::string& name, const Change& change) {
    node.change({}, {NodeId{1}, 1}, name, change, Time{} + seconds(1));
    const Effects effects = node.take_effects();
    return effects.finished.empty() ? Why::none : effects.finished[0].outcome.why;
  };
  EXPECT_EQ(why_of("", Get{}), Why::too_large);
  EXPECT_EQ(why_of("x", Set{Bytes(std::string(kValueBytesMax + 1, 'v'))}), Why::too_large);
  for (size_t count = 0; count < kChangesMax; ++count) EXPECT_EQ(why_of("x", Get{}), Why::none);
  EXPECT_EQ(why_of("y", Get{}), Why::busy);
  Acceptors acceptors({});
  for (size_t count = 0; count < kRegistersMax; ++count) {
    acceptors.on(Prepare{std::to_string(count), {1, NodeId{1}}});
  }
  const auto answer = acceptors.on(Prepare{"one more", {1, NodeId{1}}});
  EXPECT_TRUE(std::get<Refused>(answer.body).full);
  EXPECT_FALSE(answer.changed);
}

}  // namespace
}  // namespace quorate::consensus::caspaxos
