// The rules of one decree, one by one. What follows from them together is explored exhaustively in
// src/explore/synod.
#include <gtest/gtest.h>

#include "consensus/synod/acceptor.h"
#include "consensus/synod/back_off.h"
#include "consensus/synod/learner.h"
#include "consensus/synod/proposer.h"

namespace quorate::consensus::synod {
namespace {

Members three() {
  Members members;
  for (uint64_t id = 1; id <= 3; ++id) members.voters.push_back({NodeId{id}, 0, {}});
  return members;
}
Ballot ballot(uint64_t round, uint64_t node) { return {round, NodeId{node}}; }
Proposal proposal(uint64_t round, uint64_t node, std::string_view value) {
  return {ballot(round, node), Bytes(value)};
}

TEST(SynodAcceptor, PromisesOnlyUpwards) {
  Acceptor acceptor({});
  EXPECT_TRUE(acceptor.on(Prepare{ballot(2, 1)}).after_write);
  const Answer lower = acceptor.on(Prepare{ballot(1, 9)});
  EXPECT_EQ(std::get<Refused>(lower.body).promised, ballot(2, 1));
  EXPECT_FALSE(lower.after_write);
  EXPECT_TRUE(std::holds_alternative<Refused>(acceptor.on(Prepare{ballot(2, 1)}).body));
  EXPECT_TRUE(std::holds_alternative<Promise>(acceptor.on(Prepare{ballot(2, 2)}).body));
}

TEST(SynodAcceptor, AcceptsAtOrAboveItsPromiseAndTellsOfIt) {
  Acceptor acceptor({});
  acceptor.on(Prepare{ballot(2, 1)});
  EXPECT_TRUE(std::holds_alternative<Refused>(acceptor.on(Accept{proposal(1, 1, "a")}).body));
  EXPECT_EQ(acceptor.state().accepted, std::nullopt);
  const Answer answer = acceptor.on(Accept{proposal(3, 2, "b")});  // never prepared here
  EXPECT_EQ(std::get<Accepted>(answer.body).proposal, proposal(3, 2, "b"));
  EXPECT_TRUE(answer.after_write);
  EXPECT_EQ(acceptor.state().promised, ballot(3, 2));
  const Answer promise = acceptor.on(Prepare{ballot(4, 1)});
  EXPECT_EQ(std::get<Promise>(promise.body).accepted, proposal(3, 2, "b"));
}

TEST(SynodAcceptor, WhatIsRepeatedWaitsForTheDiskToo) {
  Acceptor acceptor({});
  acceptor.on(Accept{proposal(1, 1, "a")});
  EXPECT_TRUE(acceptor.on(Accept{proposal(1, 1, "a")}).after_write);
}

TEST(SynodProposer, ProposesItsWishToAnEmptyMajority) {
  Proposer proposer(NodeId{4}, three(), Bytes("mine"), 0);
  const Prepare prepare = proposer.begin();
  EXPECT_EQ(proposer.round_used(), 1);
  EXPECT_FALSE(proposer.on(NodeId{1}, Promise{prepare.ballot, {}}));
  EXPECT_FALSE(proposer.on(NodeId{1}, Promise{prepare.ballot, {}}));  // the same acceptor again
  EXPECT_FALSE(proposer.on(NodeId{7}, Promise{prepare.ballot, {}}));  // no acceptor at all
  const auto accept = proposer.on(NodeId{3}, Promise{prepare.ballot, {}});
  ASSERT_TRUE(accept);
  EXPECT_EQ(accept->proposal, proposal(1, 4, "mine"));
  EXPECT_FALSE(proposer.on(NodeId{2}, Promise{prepare.ballot, {}}));  // asked once
}

TEST(SynodProposer, AdoptsTheHighestAccepted) {
  for (const bool highest_first : {false, true}) {
    Proposer proposer(NodeId{4}, three(), Bytes("mine"), 8);
    const Prepare prepare = proposer.begin();
    const Promise low{prepare.ballot, proposal(1, 5, "low")};
    const Promise high{prepare.ballot, proposal(3, 4, "high")};
    EXPECT_FALSE(proposer.on(NodeId{1}, highest_first ? high : low));
    const auto accept = proposer.on(NodeId{2}, highest_first ? low : high);
    ASSERT_TRUE(accept);
    EXPECT_EQ(accept->proposal, proposal(9, 4, "high"));
  }
}

TEST(SynodProposer, DoesNotCountPromisesOfAnEarlierBallot) {
  Proposer proposer(NodeId{4}, three(), Bytes("mine"), 0);
  const Prepare first = proposer.begin();
  const Prepare second = proposer.begin();
  EXPECT_FALSE(proposer.on(NodeId{1}, Promise{first.ballot, {}}));
  EXPECT_FALSE(proposer.on(NodeId{2}, Promise{second.ballot, {}}));
  EXPECT_TRUE(proposer.on(NodeId{3}, Promise{second.ballot, {}}));
}

TEST(SynodProposer, NeverUsesARoundTwiceAndJumpsOverWhatRefusedIt) {
  Proposer proposer(NodeId{4}, three(), Bytes("mine"), 3);  // restarted
  const Prepare prepare = proposer.begin();
  EXPECT_EQ(prepare.ballot, ballot(4, 4));
  proposer.on(Refused{prepare.ballot, ballot(10, 5)});
  EXPECT_EQ(proposer.phase(), Proposer::Phase::idle);
  EXPECT_FALSE(proposer.on(NodeId{1}, Promise{prepare.ballot, {}}));
  EXPECT_EQ(proposer.begin().ballot, ballot(11, 4));
  proposer.on(Refused{prepare.ballot, ballot(12, 5)});  // late, of the ballot before
  EXPECT_EQ(proposer.phase(), Proposer::Phase::preparing);
}

TEST(SynodLearner, CountsAcceptorsOfOneBallot) {
  Learner learner(three());
  learner.on(NodeId{1}, Accepted{proposal(1, 4, "a")});
  learner.on(NodeId{1}, Accepted{proposal(1, 4, "a")});
  learner.on(NodeId{2}, Accepted{proposal(2, 5, "b")});
  EXPECT_FALSE(learner.learned());
  learner.on(NodeId{3}, Accepted{proposal(3, 4, "a")});  // the same value, another ballot
  EXPECT_FALSE(learner.learned());
  learner.on(NodeId{3}, Accepted{proposal(2, 5, "b")});
  EXPECT_EQ(learner.learned(), Bytes("b"));
}

TEST(SynodBackOff, TheWindowDoublesUpToItsBound) {
  BackOff back_off(Duration(10), Duration(35));
  Rng rng(1);
  const int64_t bounds[] = {10, 20, 35, 35, 35};
  for (const int64_t bound : bounds) EXPECT_LE(back_off.next(rng).count(), bound);
  back_off.reset();
  EXPECT_LE(back_off.next(rng).count(), 10);
}

}  // namespace
}  // namespace quorate::consensus::synod
