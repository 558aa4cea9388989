// Changes of members (thesis, chapter 4), leases (section 6.4.1), and a leader whose disk hangs.
#include <gtest/gtest.h>

#include "consensus/raft/wire.h"
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

TestOptions sized(size_t voters, size_t learners = 0) {
  TestOptions options;
  options.voters = voters;
  options.learners = learners;
  return options;
}

Members members_of(const Members& known, std::vector<uint64_t> voters,
                   std::vector<uint64_t> learners = {}) {
  Members members;
  for (const uint64_t id : voters) members.voters.push_back(*known.find(NodeId{id}));
  for (const uint64_t id : learners) members.learners.push_back(*known.find(NodeId{id}));
  return members;
}

void isolate_all(TestCluster& cluster, std::vector<uint64_t> ids) {
  for (const uint64_t id : ids) cluster.isolate(id);
}

// ---- One change at a time, and not too early.

TEST(RaftChange, WaitsForAnEntryOfTheLeadersOwnTerm) {
  TestCluster cluster(sized(4));
  cluster.elect();
  // Elected, but nobody acknowledges its first entry.
  cluster.filter = [](const Message& message) { return message.entries.empty(); };
  const uint64_t next = other_than(cluster.leader());
  cluster.crash(cluster.leader());
  cluster.make_leader(next);
  ASSERT_FALSE(cluster.status(next).established);
  cluster.propose_members(next, members_of(cluster.founding(), {1, 2, 3}));
  ASSERT_EQ(cluster.node(next).refused.size(), 1U);
  EXPECT_EQ(cluster.node(next).refused[0].why, Refusal::not_ready);
}

TEST(RaftChange, ASecondOneWaitsForTheFirst) {
  TestCluster cluster(sized(3, 2));
  const uint64_t leader = cluster.elect();
  cluster.propose_members(leader, members_of(cluster.founding(), {1, 2, 3, 4}, {5}));
  cluster.propose_members(leader, members_of(cluster.founding(), {1, 2, 3, 5}, {4}));
  ASSERT_EQ(cluster.node(leader).refused.size(), 1U);
  EXPECT_EQ(cluster.node(leader).refused[0].why, Refusal::busy);
  cluster.settle();
  cluster.propose_members(leader, members_of(cluster.founding(), {1, 2, 3, 4, 5}));
  cluster.settle();
  EXPECT_EQ(cluster.replica(leader).members().voters.size(), 5U);
}

TEST(RaftChange, LivesAreNotChangedByAStaleTarget) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t wiped = other_than(leader);
  const Members before = cluster.replica(leader).members();
  cluster.wipe_and_restart(wiped);
  cluster.advance(5 * cluster.heartbeat_interval());
  Members target = before;
  target.voters[0].about = Bytes("moved");
  cluster.propose_members(leader, target);
  cluster.settle();
  const Members& after = cluster.replica(leader).members();
  EXPECT_EQ(after.voters[0].about, Bytes("moved"));
  EXPECT_EQ(after.find(NodeId{wiped})->incarnation, cluster.node(wiped).incarnation);
}

// ---- Joint configurations.

TEST(RaftJoint, ASingleVoterChangesInOneStep) {
  TestCluster cluster(sized(3, 1));
  const uint64_t leader = cluster.elect();
  const Index before = cluster.status(leader).last;
  cluster.propose_members(leader, members_of(cluster.founding(), {1, 2, 3, 4}));
  EXPECT_FALSE(cluster.replica(leader).members().joint());
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).last, before.next());
}

TEST(RaftJoint, ItIsNotLeftBeforeItIsCertain) {
  TestCluster cluster(sized(3, 2));
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= 5; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  cluster.propose_members(leader, members_of(cluster.founding(), {leader, 4, 5}));
  cluster.settle();
  EXPECT_TRUE(cluster.replica(leader).members().joint());
  EXPECT_TRUE(cluster.replica(5).members().joint());
}

TEST(RaftJoint, TheNewHalfAloneElectsNobody) {
  TestCluster cluster(sized(3, 2));
  const uint64_t leader = cluster.elect();
  // The joint configuration reaches everybody but is never acknowledged, so it is not left.
  for (uint64_t id = 1; id <= 5; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  const uint64_t both = other_than(leader);
  const uint64_t old_only = other_than(leader, both);
  cluster.propose_members(leader, members_of(cluster.founding(), {both, 4, 5}));
  cluster.settle();
  ASSERT_TRUE(cluster.replica(4).members().joint());
  isolate_all(cluster, {leader, old_only});
  cluster.advance(20 * cluster.election_timeout());
  for (const uint64_t id : {both, uint64_t{4}, uint64_t{5}}) {
    EXPECT_NE(cluster.status(id).role, Role::leader) << id;
  }
}

TEST(RaftJoint, ANewLeaderFinishesWhatAnotherBegan) {
  TestCluster cluster(sized(3, 2));
  const uint64_t leader = cluster.elect();
  const uint64_t both = other_than(leader);
  const Members target = members_of(cluster.founding(), {both, 4, 5});
  for (uint64_t id = 1; id <= 5; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  cluster.propose_members(leader, target);
  cluster.settle();
  cluster.crash(leader);
  cluster.heal();
  cluster.elect();
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.replica(both).members(), target);
  EXPECT_EQ(cluster.replica(4).members(), target);
}

TEST(RaftJoint, AllVotersAreReplacedAtOnceAndNothingIsLost) {
  TestCluster cluster(sized(3, 3));
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "before");
  cluster.propose_members(leader, members_of(cluster.founding(), {4, 5, 6}));
  cluster.advance(cluster.election_timeout());
  for (const uint64_t id : {1U, 2U, 3U}) cluster.crash(id);
  const uint64_t next = cluster.elect();
  EXPECT_GE(next, 4U);
  cluster.propose(next, "after");
  cluster.settle();
  EXPECT_EQ(cluster.texts(next), (std::vector<std::string>{"before", "after"}));
}

// Scylla and etcd both met this: whoever is demoted still decides in the outgoing half.
TEST(RaftJoint, AVoterOnItsWayToLearnerMayStillWin) {
  TestCluster cluster(sized(3, 3));
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= 6; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  cluster.propose_members(leader, members_of(cluster.founding(), {4, 5, 6}, {1, 2, 3}));
  cluster.settle();
  ASSERT_TRUE(cluster.replica(leader).members().joint());
  EXPECT_TRUE(cluster.replica(leader).members().is_learner(NodeId{leader}));
  cluster.heal();
  for (uint64_t id = 1; id <= 6; ++id) cluster.restart(id);
  // Nobody else is woken: it alone can finish what it began, and hand over to the new voters.
  for (int attempt = 0; attempt < 3; ++attempt) {
    cluster.pass(2 * cluster.election_timeout());
    if (cluster.replica(leader).deadline() != kNever) cluster.wake(leader);
    cluster.settle();
  }
  EXPECT_EQ(cluster.status(leader).role, Role::learner);
  EXPECT_FALSE(cluster.replica(4).members().joint());
}

// ---- Leaving.

TEST(RaftLeave, ALeaderThatRemovesItselfHandsOverAtOnce) {
  TestCluster cluster(sized(3));
  const uint64_t leader = cluster.elect();
  std::vector<uint64_t> rest;
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) rest.push_back(id);
  }
  cluster.propose_members(leader, members_of(cluster.founding(), rest));
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).role, Role::follower);
  EXPECT_EQ(cluster.replica(leader).deadline(), kNever) << "it does not campaign";
  const uint64_t next = cluster.leader();
  ASSERT_NE(next, 0U) << "without anybody waiting for a timeout";
  ASSERT_NE(next, leader);
  cluster.crash(leader);
  cluster.propose(next, "goes on");
  cluster.settle();
  EXPECT_EQ(cluster.texts(next).size(), 1U);
}

TEST(RaftLeave, ALeaderOutsideTheConfigurationDoesNotCountItself) {
  TestCluster cluster(sized(4));
  const uint64_t leader = cluster.elect();
  std::vector<uint64_t> rest;
  for (uint64_t id = 1; id <= 4; ++id) {
    if (id != leader) rest.push_back(id);
  }
  // One of the three that stay acknowledges: with the leader's own copy that would make two.
  cluster.cut(rest[1], leader);
  cluster.cut(rest[2], leader);
  const Index before = cluster.status(leader).committed;
  cluster.propose_members(leader, members_of(cluster.founding(), rest));
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before);
  cluster.heal();
  cluster.advance(5 * cluster.heartbeat_interval());
  EXPECT_GT(cluster.status(rest[0]).committed, before);
}

TEST(RaftLeave, TwoBecomeOneAndOneBecomesTwo) {
  TestCluster cluster(sized(2));
  const uint64_t leader = cluster.elect();
  const uint64_t other = other_than(leader);
  cluster.crash(other);
  cluster.propose_members(leader, members_of(cluster.founding(), {leader}));
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, cluster.status(leader).last);
  cluster.restart(other);
  cluster.propose_members(leader, members_of(cluster.founding(), {1, 2}));
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader) << "it gave the new voter time to be heard";
  EXPECT_EQ(cluster.status(leader).committed, cluster.status(leader).last);
}

// openraft #2091: everybody else waits for the vote of the one that is being removed.
TEST(RaftLeave, WhoIsRemovedByAnUncertainChangeMayStillWin) {
  TestCluster cluster(sized(2, 2));
  const uint64_t leader = cluster.elect();
  // The joint configuration becomes certain; the final one reaches nobody.
  bool final_held_back = false;
  cluster.filter = [&](const Message& message) {
    for (const Entry& entry : message.entries) {
      if (entry.kind != EntryKind::members || entry.index.value == 1) continue;
      if (decode_members(entry.data)->joint()) continue;
      final_held_back = true;
      return false;
    }
    return true;
  };
  cluster.propose_members(leader, members_of(cluster.founding(), {3, 4}));
  cluster.settle();
  ASSERT_TRUE(final_held_back);
  cluster.crash(leader);
  cluster.filter = nullptr;
  cluster.network().clear();
  cluster.restart(leader);
  cluster.elect();
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.replica(3).members(), members_of(cluster.founding(), {3, 4}));
}

TEST(RaftLeave, OneThatDoesNotKnowThatItWasRemovedDisturbsNobody) {
  TestOptions options = sized(4);
  options.pre_vote = false;
  options.check_quorum = false;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  const uint64_t removed = other_than(leader);
  cluster.isolate(removed);
  std::vector<uint64_t> rest;
  for (uint64_t id = 1; id <= 4; ++id) {
    if (id != removed) rest.push_back(id);
  }
  cluster.propose_members(leader, members_of(cluster.founding(), rest));
  cluster.settle();
  cluster.heal();
  const uint64_t term = cluster.status(leader).ballot.round;
  cluster.advance(30 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(cluster.status(leader).ballot.round, term);
}

// ---- A disk that hangs.

TEST(RaftDisk, ALeaderThatCannotWriteGivesWay) {
  TestCluster cluster;
  const uint64_t old = cluster.elect();
  cluster.node(old).disk_stalls = true;
  cluster.propose(old, "stored by the others");
  cluster.settle();
  EXPECT_EQ(cluster.texts(old).size(), 1U) << "two disks are a majority";
  cluster.advance(3 * cluster.election_timeout());
  const uint64_t next = cluster.leader();
  ASSERT_NE(next, old);
  cluster.propose(next, "goes on");
  cluster.settle();
  EXPECT_EQ(cluster.texts(next).size(), 2U);
  EXPECT_EQ(cluster.replica(old).deadline(), kNever) << "it does not campaign either";
  cluster.node(old).disk_stalls = false;
  cluster.sync(old);
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.texts(old).size(), 2U);
  EXPECT_NE(cluster.replica(old).deadline(), kNever);
}

TEST(RaftDisk, WhoseDiskIsNoSlowerThanTheOthersStays) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= 3; ++id) cluster.node(id).disk_stalls = true;
  cluster.propose(leader, "waits");
  cluster.settle();
  cluster.advance(5 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
}

// ---- Leases.

TestOptions with_leases() {
  TestOptions options;
  options.lease_reads = true;
  return options;
}

size_t reads_at_once(TestCluster& cluster, uint64_t leader) {
  cluster.node(leader).reads.clear();
  cluster.read(leader);
  return cluster.node(leader).reads.size();
}

TEST(RaftLease, AReadNeedsNoRoundWhileItHolds) {
  TestCluster cluster(with_leases());
  const uint64_t leader = cluster.elect();
  cluster.advance(2 * cluster.heartbeat_interval());
  cluster.filter = [](const Message&) { return false; };
  EXPECT_EQ(reads_at_once(cluster, leader), 1U);
  cluster.pass(cluster.election_timeout() / 2);
  EXPECT_EQ(reads_at_once(cluster, leader), 1U);
  cluster.pass(cluster.election_timeout() / 2);
  EXPECT_EQ(reads_at_once(cluster, leader), 0U);
}

TEST(RaftLease, ItCountsFromTheQuestion) {
  TestCluster cluster(with_leases());
  const uint64_t leader = cluster.elect();
  cluster.advance(3 * cluster.election_timeout());
  cluster.pass(cluster.heartbeat_interval());
  cluster.wake(leader);  // a round leaves; its answers take long
  cluster.pass(cluster.election_timeout() * 9 / 10);
  while (cluster.deliver_one()) {
  }
  cluster.pass(cluster.election_timeout() / 5);
  EXPECT_EQ(reads_at_once(cluster, leader), 0U);
}

TEST(RaftLease, ItIsShorterByWhatClocksMayRunApart) {
  TestOptions options = with_leases();
  options.clock_drift_per_million = 100'000;  // ten percent, on either side
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  cluster.advance(3 * cluster.election_timeout());
  cluster.pass(cluster.heartbeat_interval());
  cluster.wake(leader);
  while (cluster.deliver_one()) {
  }
  cluster.filter = [](const Message&) { return false; };
  cluster.pass(cluster.election_timeout() * 80 / 100);
  EXPECT_EQ(reads_at_once(cluster, leader), 1U);
  cluster.pass(cluster.election_timeout() * 3 / 100);
  EXPECT_EQ(reads_at_once(cluster, leader), 0U);
}

TEST(RaftLease, ItEndsWhenAnotherIsToldToCampaign) {
  TestCluster cluster(with_leases());
  const uint64_t leader = cluster.elect();
  cluster.advance(2 * cluster.heartbeat_interval());
  cluster.step(leader, TransferLead{NodeId{other_than(leader)}});
  EXPECT_EQ(reads_at_once(cluster, leader), 0U);
  // Even when nothing comes of it: the one that was told may have been heard late.
  cluster.network().clear();
  cluster.advance(3 * cluster.election_timeout());
  ASSERT_EQ(cluster.leader(), leader);
  cluster.filter = [](const Message&) { return false; };
  EXPECT_EQ(reads_at_once(cluster, leader), 0U);
}

TEST(RaftLease, ItDoesNotOutliveAChangeOfMembers) {
  TestOptions options = with_leases();
  options.learners = 1;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  cluster.advance(2 * cluster.heartbeat_interval());
  ASSERT_EQ(reads_at_once(cluster, leader), 1U);
  cluster.filter = [](const Message&) { return false; };
  cluster.propose_members(leader, members_of(cluster.founding(), {1, 2, 3, 4}));
  EXPECT_EQ(reads_at_once(cluster, leader), 0U);
}

TEST(RaftLease, AFollowerKeepsItsPromiseThoughTheConnectionBreaks) {
  TestCluster cluster(with_leases());
  const uint64_t leader = cluster.elect();
  cluster.advance(2 * cluster.heartbeat_interval());
  cluster.isolate(leader);
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) cluster.step(id, Disconnected{NodeId{leader}});
  }
  cluster.advance(cluster.election_timeout() * 8 / 10);
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(reads_at_once(cluster, leader), 1U);
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_NE(cluster.leader(), leader);
}

TEST(RaftLease, ARestartDoesNotForgetThatAPromiseMayHaveBeenGiven) {
  TestOptions options = with_leases();
  options.pre_vote = false;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  cluster.advance(2 * cluster.heartbeat_interval());
  const uint64_t first = other_than(leader);
  const uint64_t second = other_than(leader, first);
  cluster.restart(first);
  cluster.pass(cluster.election_timeout() / 10);
  // Somebody whose clock runs wild asks for its vote.
  VoteRequest request;
  request.asked_term = cluster.status(leader).ballot.round + 1;
  request.last = Index{100};
  request.last_term = cluster.status(leader).ballot.round;
  const Bytes head = encode_head({request.asked_term, 0, false, request});
  size_t answers = 0;
  cluster.filter = [&](const Message&) { return ++answers == 0; };
  cluster.step(first, Receive{{NodeId{second}, NodeId{first}, {}, true, head, {}}});
  EXPECT_EQ(answers, 0U);
  cluster.pass(cluster.election_timeout());
  cluster.step(first, Receive{{NodeId{second}, NodeId{first}, {}, true, head, {}}});
  EXPECT_EQ(answers, 1U) << "the promise has an end";
}

}  // namespace
}  // namespace quorate::consensus::raft
