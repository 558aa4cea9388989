// Reads, transfer, snapshots, windows, members and lost data.
#include <gtest/gtest.h>

#include "consensus/limits.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::raft {
namespace {

using testing::TestCluster;
using testing::TestOptions;

uint64_t other_than(uint64_t first, uint64_t second = 0) {
  for (uint64_t id = 1;; ++id) {
    if (id != first && id != second) return id;
  }
}

TEST(RaftReads, ManyReadsShareARound) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  size_t messages = 0;
  cluster.filter = [&](const Message&) {
    ++messages;
    return true;
  };
  for (uint64_t read = 1; read <= 500; ++read) cluster.read(leader);
  cluster.settle();
  EXPECT_EQ(cluster.node(leader).reads.size(), 500U);
  EXPECT_LE(messages, 12U);
}

TEST(RaftReads, AMinorityConfirmsNothing) {
  TestOptions options;
  options.voters = 5;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  uint64_t cut = 0;
  for (uint64_t id = 1; id <= 5 && cut < 3; ++id) {
    if (id == leader) continue;
    cluster.cut(id, leader);
    ++cut;
  }
  cluster.read(leader);
  cluster.settle();
  EXPECT_TRUE(cluster.node(leader).reads.empty());
  cluster.heal();
  cluster.advance(2 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.node(leader).reads.size(), 1U);
}

TEST(RaftTransfer, GoesToTheOneAskedForAndRefusesMeanwhile) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t heir = other_than(leader);
  cluster.step(leader, TransferLead{NodeId{heir}});
  cluster.propose(leader, "late");
  ASSERT_EQ(cluster.node(leader).refused.size(), 1U);
  EXPECT_EQ(cluster.node(leader).refused[0].why, Refusal::transferring);
  cluster.settle();
  EXPECT_EQ(cluster.leader(), heir) << "the others had heard a living leader a moment ago";
  EXPECT_EQ(cluster.status(leader).role, Role::follower);
}

TEST(RaftTransfer, GivesUpAfterAnElectionTimeout) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t heir = other_than(leader);
  cluster.isolate(heir);
  cluster.step(leader, TransferLead{NodeId{heir}});
  cluster.advance(2 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  cluster.propose(leader, "again");
  cluster.settle();
  EXPECT_EQ(cluster.texts(leader), std::vector<std::string>{"again"});
}

TEST(RaftTransfer, ChoosesTheMostAdvanced) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t behind = other_than(leader);
  const uint64_t ahead = other_than(leader, behind);
  cluster.isolate(behind);
  cluster.propose(leader, "a");
  cluster.settle();
  cluster.step(leader, TransferLead{});
  cluster.settle();
  EXPECT_EQ(cluster.leader(), ahead);
}

TEST(RaftSnapshot, AnOlderOneThanTheLogIsIgnored) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t follower = other_than(leader);
  for (int number = 0; number < 20; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  const Status before = cluster.status(follower);
  const SnapshotMeta old{Index{5}, {2, {}}, encode_members(cluster.founding())};
  cluster.step(follower, SnapshotArrived{NodeId{leader}, old});
  EXPECT_EQ(cluster.node(follower).installs, 0U);
  EXPECT_EQ(cluster.status(follower).committed, before.committed);
  EXPECT_EQ(cluster.status(follower).last, before.last);
}

TEST(RaftSnapshot, AFailedTransferIsTriedAgain) {
  TestCluster cluster;
  cluster.answer_snapshots(false);
  const uint64_t leader = cluster.elect();
  const uint64_t away = other_than(leader);
  cluster.crash(away);
  for (int number = 0; number < 20; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.compact(leader, 15);
  cluster.restart(away);
  cluster.advance(2 * cluster.election_timeout());
  ASSERT_EQ(cluster.node(leader).snapshots.size(), 1U) << "one at a time";
  cluster.node(leader).snapshots.clear();
  cluster.step(leader, SnapshotSent{NodeId{away}, {}, false});
  cluster.answer_snapshots(true);
  cluster.advance(4 * cluster.election_timeout());
  EXPECT_EQ(cluster.node(away).installs, 1U);
  EXPECT_EQ(cluster.texts(away).size(), 20U);
}

TEST(RaftSnapshot, TheLogWaitsForASnapshotOnItsWay) {
  TestCluster cluster;
  cluster.answer_snapshots(false);
  const uint64_t leader = cluster.elect();
  const uint64_t away = other_than(leader);
  cluster.crash(away);
  for (int number = 0; number < 20; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.compact(leader, 15);
  cluster.restart(away);
  cluster.advance(2 * cluster.election_timeout());
  ASSERT_EQ(cluster.node(leader).snapshots.size(), 1U);
  cluster.compact(leader, 20);
  EXPECT_EQ(cluster.status(leader).first, Index{16});
  cluster.send_snapshot(leader, NodeId{away});
  cluster.settle();
  EXPECT_EQ(cluster.texts(away).size(), 20U);
  cluster.compact(leader, 20);
  EXPECT_EQ(cluster.status(leader).first, Index{21});
}

TEST(RaftWindows, ASilentPeerStopsAtTheWindow) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t silent = other_than(leader);
  cluster.cut(silent, leader);
  size_t messages = 0;
  size_t bytes = 0;
  cluster.filter = [&](const Message& message) {
    if (message.to != NodeId{silent} || message.entries.empty()) return true;
    ++messages;
    for (const Entry& entry : message.entries) bytes += entry.data.size();
    return false;
  };
  for (int number = 0; number < 400; ++number) {
    cluster.propose(leader, std::string(100'000, 'x'));
    cluster.settle();
  }
  EXPECT_LE(messages, kInflightMessagesMax);
  EXPECT_LE(bytes, kInflightBytesMax + kAppendBytesMax);
  EXPECT_EQ(cluster.texts(leader).size(), 400U);
  cluster.filter = nullptr;
  cluster.heal();
  cluster.advance(10 * cluster.election_timeout());
  EXPECT_EQ(cluster.texts(silent).size(), 400U);
  EXPECT_GT(cluster.node(leader).fetches, 0U) << "the tail in memory is bounded";
}

TEST(RaftWindows, TooMuchUncommittedIsRefused) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  const std::string large(1'000'000, 'x');
  for (size_t sent = 0; sent <= kUncommittedBytesMax; sent += large.size()) {
    cluster.propose(leader, large);
  }
  ASSERT_FALSE(cluster.node(leader).refused.empty());
  EXPECT_EQ(cluster.node(leader).refused.back().why, Refusal::busy);
}

// How a member that was away for long is helped: by the log, or by what the log led to.
size_t installs_of_a_late_comer(uint64_t store_bytes) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t away = other_than(leader);
  cluster.crash(away);
  for (int number = 0; number < 200; ++number) {
    cluster.propose(leader, std::string(size_t{64} << 10U, 'x'));
    cluster.settle();
  }
  cluster.step(leader, SnapshotTaken{Index{1}, store_bytes});
  cluster.restart(away);
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.texts(away).size(), 200U);
  return cluster.node(away).installs;
}

TEST(RaftSnapshot, IsSentWhereItWeighsLessThanTheLog) {
  EXPECT_EQ(installs_of_a_late_comer(10'000), 1U);
}

TEST(RaftSnapshot, IsNotSentWhereTheLogWeighsLess) {
  EXPECT_EQ(installs_of_a_late_comer(100'000'000), 0U);
  EXPECT_EQ(installs_of_a_late_comer(0), 0U) << "nobody knows what it weighs";
}

TEST(RaftMembers, OneChangeAtATimeAndOnlyWhenEstablished) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  Members changed = cluster.founding();
  changed.voters[0].about = Bytes("moved");
  cluster.node(leader).refused.clear();
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  cluster.propose_members(leader, changed);
  EXPECT_TRUE(cluster.node(leader).refused.empty());
  EXPECT_EQ(cluster.replica(leader).members(), changed) << "effective when appended";
  cluster.propose_members(leader, cluster.founding());
  ASSERT_EQ(cluster.node(leader).refused.size(), 1U);
  EXPECT_EQ(cluster.node(leader).refused[0].why, Refusal::busy);
}

TEST(RaftMembers, ATruncatedConfigurationIsNoLongerInForce) {
  TestCluster cluster;
  const uint64_t old = cluster.elect();
  cluster.isolate(old);
  Members changed = cluster.founding();
  changed.voters[0].about = Bytes("moved");
  cluster.propose_members(old, changed);
  EXPECT_EQ(cluster.replica(old).members(), changed);
  cluster.advance(5 * cluster.election_timeout());
  ASSERT_NE(cluster.leader(), old);
  cluster.heal();
  cluster.advance(2 * cluster.election_timeout());
  EXPECT_EQ(cluster.replica(old).members(), cluster.founding());
}

TEST(RaftMembers, AJointConfigurationNeedsBothMajorities) {
  TestOptions options;
  options.voters = 3;
  options.learners = 2;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  Members target;
  target.voters = {cluster.founding().voters[leader - 1], cluster.founding().learners[0],
                   cluster.founding().learners[1]};
  // Only the old half answers.
  cluster.cut(4, leader);
  cluster.cut(5, leader);
  const Index before = cluster.status(leader).committed;
  cluster.propose_members(leader, target);
  cluster.settle();
  EXPECT_TRUE(cluster.replica(leader).members().joint());
  EXPECT_EQ(cluster.status(leader).committed, before);
  cluster.heal();
  cluster.advance(5 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.status(leader).committed, before + 2) << "the way in and the way out";
  EXPECT_EQ(cluster.replica(leader).members(), target);
}

TEST(RaftMembers, LearnersFollowButDecideNothing) {
  TestOptions options;
  options.voters = 3;
  options.learners = 2;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  EXPECT_EQ(cluster.status(4).role, Role::learner);
  EXPECT_EQ(cluster.replica(4).deadline(), kNever);
  cluster.propose(leader, "seen");
  cluster.settle();
  EXPECT_EQ(cluster.texts(5), std::vector<std::string>{"seen"});
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) cluster.isolate(id);
  }
  cluster.propose(leader, "undecided");
  cluster.settle();
  EXPECT_EQ(cluster.texts(leader).size(), 1U);
}

TEST(RaftAmnesia, ItDoesNotVoteUntilReadmitted) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t wiped = other_than(leader);
  const uint64_t away = other_than(leader, wiped);
  cluster.propose(leader, "kept");
  cluster.settle();
  // The third has never seen the entry; the wiped one forgets it; the leader dies.
  cluster.isolate(away);
  cluster.propose(leader, "acknowledged");
  cluster.settle();
  EXPECT_EQ(cluster.texts(leader).size(), 2U);
  cluster.crash(leader);
  cluster.wipe_and_restart(wiped);
  cluster.heal();
  cluster.advance(20 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), 0U) << "an acknowledged entry would have been lost";
  cluster.restart(leader);
  cluster.elect();
  cluster.advance(5 * cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(cluster.texts(id), (std::vector<std::string>{"kept", "acknowledged"})) << id;
  }
}

TEST(RaftAmnesia, OnceReadmittedItTakesPartAsBefore) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t wiped = other_than(leader);
  cluster.propose(leader, "a");
  cluster.settle();
  cluster.wipe_and_restart(wiped);
  EXPECT_EQ(cluster.replica(wiped).deadline(), kNever) << "it does not campaign";
  cluster.advance(5 * cluster.heartbeat_interval());
  const Member* admitted = cluster.replica(leader).members().find(NodeId{wiped});
  ASSERT_NE(admitted, nullptr);
  EXPECT_EQ(admitted->incarnation, cluster.node(wiped).incarnation);
  EXPECT_NE(cluster.replica(wiped).deadline(), kNever);
  // It votes and counts again, also after a restart that still calls it amnesiac.
  cluster.restart(wiped);
  EXPECT_NE(cluster.replica(wiped).deadline(), kNever);
  cluster.crash(leader);
  const uint64_t next = cluster.elect();
  cluster.propose(next, "b");
  cluster.settle();
  EXPECT_EQ(cluster.texts(wiped), (std::vector<std::string>{"a", "b"}));
}

TEST(RaftAmnesia, ItIsNotCountedForCommits) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t wiped = other_than(leader);
  const uint64_t away = other_than(leader, wiped);
  cluster.wipe_and_restart(wiped);
  cluster.isolate(away);
  const Index before = cluster.status(leader).committed;
  cluster.propose(leader, "two copies, one of them forgetful");
  cluster.settle();
  cluster.advance(3 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.status(leader).committed, before);
  EXPECT_GE(cluster.status(wiped).last, before.next()) << "it takes entries all the same";
}

}  // namespace
}  // namespace quorate::consensus::raft
