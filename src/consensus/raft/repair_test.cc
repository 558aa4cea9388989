// Entries that a disk has lost: who may vote and lead meanwhile, and how they come back.
#include <gtest/gtest.h>

#include "consensus/raft/wire.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::raft {
namespace {

using testing::TestCluster;
using testing::TestNode;
using testing::TestOptions;

using Texts = std::vector<std::string>;

// Down, and nothing but its log left: what it serves again it must have read from there.
void crash_without_state(TestCluster& cluster, uint64_t id) {
  cluster.crash(id);
  TestNode& node = cluster.node(id);
  node.applied.clear();
}

uint64_t next_to(uint64_t id) { return id % 3 + 1; }

// A leader and four committed commands at the indexes returned.
struct Filled {
  explicit Filled(TestOptions options = {}) : cluster(options) {
    leader = cluster.elect();
    for (const char* text : {"a", "b", "c", "d"}) {
      cluster.propose(leader, text);
      cluster.settle();
    }
    last = cluster.status(leader).last;
    follower = next_to(leader);
    third = next_to(follower);
  }
  uint64_t index(uint64_t number) const { return last.value - 4 + number; }  // 1 to 4

  TestCluster cluster;
  uint64_t leader = 0;
  uint64_t follower = 0;
  uint64_t third = 0;
  Index last;
};

const Texts kAll{"a", "b", "c", "d"};

TEST(RaftRepair, AFollowerGetsBackWhatItLost) {
  Filled log;
  crash_without_state(log.cluster, log.follower);
  log.cluster.rot(log.follower, log.index(2));
  log.cluster.rot(log.follower, log.index(4));
  log.cluster.restart(log.follower);
  EXPECT_EQ(log.cluster.status(log.follower).damaged, 2U);
  EXPECT_EQ(log.cluster.status(log.follower).damaged_first, Index{log.index(2)});
  EXPECT_NE(log.cluster.replica(log.follower).describe().find("damaged=2@"), std::string::npos);
  log.cluster.advance(std::chrono::milliseconds(500));
  EXPECT_EQ(log.cluster.status(log.follower).damaged, 0U);
  EXPECT_TRUE(log.cluster.node(log.follower).disk.damaged.empty());
  EXPECT_EQ(log.cluster.texts(log.follower), kAll);
  EXPECT_EQ(log.cluster.leader(), log.leader) << "repair disturbs nobody";
}

TEST(RaftRepair, NothingBehindAHoleIsAcknowledgedOrApplied) {
  Filled log;
  crash_without_state(log.cluster, log.follower);
  log.cluster.rot(log.follower, log.index(2));
  log.cluster.restart(log.follower);
  log.cluster.crash(log.third);
  log.cluster.filter = [](Message& message) {
    const auto head = decode_head(message.head);
    return !head || !std::holds_alternative<RepairReply>(head->body);
  };
  log.cluster.propose(log.leader, "e");
  log.cluster.advance(std::chrono::milliseconds(800));
  EXPECT_EQ(log.cluster.status(log.leader).committed, log.last)
      << "committed by a member that lost an entry before it";
  EXPECT_EQ(log.cluster.texts(log.follower), Texts{"a"});
  log.cluster.filter = {};
  log.cluster.advance(2 * log.cluster.election_timeout());
  EXPECT_EQ(log.cluster.texts(log.follower), (Texts{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(log.cluster.status(log.leader).committed, log.last.next());
}

TEST(RaftRepair, EachEntryWholeSomewhereIsEnough) {
  Filled log;
  for (uint64_t id = 1; id <= 3; ++id) crash_without_state(log.cluster, id);
  for (const uint64_t number : {1U, 2U}) log.cluster.rot(1, log.index(number));
  for (const uint64_t number : {2U, 3U}) log.cluster.rot(2, log.index(number));
  for (const uint64_t number : {1U, 3U, 4U}) log.cluster.rot(3, log.index(number));
  for (uint64_t id = 1; id <= 3; ++id) log.cluster.restart(id);
  const uint64_t leader = log.cluster.elect();
  log.cluster.propose(leader, "e");
  log.cluster.advance(log.cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(log.cluster.texts(id), (Texts{"a", "b", "c", "d", "e"})) << id;
    EXPECT_TRUE(log.cluster.node(id).disk.damaged.empty()) << id;
  }
}

TEST(RaftRepair, WhatIsLostEverywhereIsWaitedFor) {
  Filled log;
  for (uint64_t id = 1; id <= 3; ++id) {
    crash_without_state(log.cluster, id);
    log.cluster.rot(id, log.index(3));
    log.cluster.restart(id);
  }
  log.cluster.advance(20 * log.cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_FALSE(log.cluster.status(id).established);
    EXPECT_EQ(log.cluster.texts(id), (Texts{"a", "b"})) << "and nothing false is served";
    EXPECT_EQ(log.cluster.status(id).damaged, 1U);
  }
  const uint64_t leader = log.cluster.leader();
  ASSERT_NE(leader, 0U);
  log.cluster.propose(leader, "e");
  ASSERT_EQ(log.cluster.node(leader).refused.size(), 1U);
  EXPECT_EQ(log.cluster.node(leader).refused[0].why, Refusal::not_ready);
  log.cluster.read(leader);
  log.cluster.advance(log.cluster.election_timeout());
  EXPECT_TRUE(log.cluster.node(leader).reads.empty());
}

// D17: what is damaged was there, and counts as there.
TEST(RaftRepair, ADamagedMemberVotesForNoShorterLog) {
  Filled log;
  log.cluster.isolate(log.third);
  log.cluster.propose(log.leader, "e");
  log.cluster.settle();
  log.cluster.crash(log.leader);
  crash_without_state(log.cluster, log.follower);
  log.cluster.heal();
  log.cluster.rot(log.follower, log.last.value + 1);
  log.cluster.restart(log.follower);
  log.cluster.advance(20 * log.cluster.election_timeout());
  // Committed by the leader and the damaged member alone: without the first nobody may go on.
  EXPECT_EQ(log.cluster.texts(log.third), kAll);
  for (const uint64_t id : {log.follower, log.third}) {
    EXPECT_FALSE(log.cluster.status(id).established) << id;
  }
  log.cluster.restart(log.leader);
  log.cluster.elect();
  log.cluster.advance(2 * log.cluster.election_timeout());
  EXPECT_EQ(log.cluster.texts(log.third), (Texts{"a", "b", "c", "d", "e"}));
}

// Only the old leader ever had it: nobody can have been told that it is committed.
TEST(RaftRepair, WhatAMajorityNeverHeldIsDropped) {
  Filled log;
  log.cluster.isolate(log.leader);
  log.cluster.propose(log.leader, "e");
  log.cluster.settle();
  crash_without_state(log.cluster, log.leader);
  log.cluster.crash(log.third);
  log.cluster.heal();
  log.cluster.rot(log.leader, log.last.value + 1);
  log.cluster.restart(log.leader);
  // With one of the others down, what that one holds is unknown: it is waited for.
  log.cluster.advance(10 * log.cluster.election_timeout());
  EXPECT_FALSE(log.cluster.status(log.leader).established);
  EXPECT_FALSE(log.cluster.status(log.follower).established);
  log.cluster.restart(log.third);
  const uint64_t leader = log.cluster.elect();
  log.cluster.propose(leader, "f");
  log.cluster.advance(2 * log.cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(log.cluster.texts(id), (Texts{"a", "b", "c", "d", "f"})) << id;
    EXPECT_EQ(log.cluster.status(id).damaged, 0U) << id;
  }
}

TEST(RaftRepair, ALeaderDropsAnUncommittedEntryWhenItsVotersNeverHeldIt) {
  TestOptions options;
  options.voters = 4;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "a");
  cluster.settle();
  const Index last = cluster.status(leader).last;
  cluster.isolate(leader);
  cluster.propose(leader, "b");
  cluster.settle();
  crash_without_state(cluster, leader);
  cluster.heal();
  cluster.rot(leader, last.value + 1);
  cluster.restart(leader);
  // The others are three of four, but only two of them are up: they need the damaged one's vote,
  // and it has more than they do. Three who never held it decide, itself not among them.
  cluster.make_leader(leader);
  EXPECT_GE(cluster.elect(), 1U);
  cluster.advance(2 * cluster.election_timeout());
  for (uint64_t id = 1; id <= 4; ++id) EXPECT_EQ(cluster.texts(id), Texts{"a"}) << id;
  EXPECT_EQ(cluster.status(leader).damaged, 0U);
}

TEST(RaftRepair, AnotherTermsEntryIsNoReplacement) {
  Filled log;
  crash_without_state(log.cluster, log.follower);
  log.cluster.rot(log.follower, log.index(2));
  log.cluster.isolate(log.follower);
  log.cluster.restart(log.follower);
  const TestNode& node = log.cluster.node(log.follower);
  const auto offer = [&](Entry entry) {
    const uint64_t term = log.cluster.status(log.leader).ballot.round;
    const RepairReply reply{Index{log.index(2)}, term, Index{log.index(2)}, {}};
    Message message;
    message.from = NodeId{log.leader};
    message.to = NodeId{log.follower};
    message.head = encode_head({term, log.cluster.node(log.leader).incarnation, false, reply});
    message.entries.push_back(std::move(entry));
    log.cluster.step(log.follower, Receive{std::move(message)});
  };
  const Entry lost = node.disk.entries.at(Index{log.index(2)});
  Entry false_one = lost;
  false_one.ballot.round += 1;
  false_one.data = Bytes("x");
  offer(false_one);
  EXPECT_EQ(log.cluster.status(log.follower).damaged, 1U);
  false_one = lost;
  false_one.kind = EntryKind::members;
  offer(false_one);
  EXPECT_EQ(log.cluster.status(log.follower).damaged, 1U);
  offer(lost);
  EXPECT_EQ(log.cluster.status(log.follower).damaged, 0U);
}

TEST(RaftRepair, WhoLostAConfigurationDoesNotCampaignOnAnOldOne) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  Members changed = cluster.founding();
  changed.voters[2].about = Bytes("moved");
  cluster.propose_members(leader, changed);
  cluster.settle();
  const Index last = cluster.status(leader).last;
  const uint64_t damaged = next_to(leader);
  crash_without_state(cluster, damaged);
  cluster.rot(damaged, last.value);
  cluster.isolate(damaged);
  cluster.restart(damaged);
  EXPECT_EQ(cluster.replica(damaged).members(), cluster.founding());
  cluster.advance(10 * cluster.election_timeout());
  EXPECT_EQ(cluster.status(damaged).role, Role::follower);
  cluster.heal();
  cluster.advance(cluster.election_timeout());
  EXPECT_EQ(cluster.replica(damaged).members(), changed);
  EXPECT_EQ(cluster.status(damaged).damaged, 0U);
}

TEST(RaftRepair, WhereOnlyTheStateIsLeftASnapshotComes) {
  Filled log;
  crash_without_state(log.cluster, log.follower);
  log.cluster.rot(log.follower, log.index(2));
  log.cluster.compact(log.leader, log.index(3));
  log.cluster.compact(log.third, log.index(3));
  log.cluster.restart(log.follower);
  log.cluster.advance(log.cluster.election_timeout());
  EXPECT_EQ(log.cluster.texts(log.follower), kAll);
  EXPECT_EQ(log.cluster.status(log.follower).damaged, 0U);
  EXPECT_EQ(log.cluster.node(log.follower).installs, 1U);
}

// All are down at once and the only whole copy has been given back to the state machine.
TEST(RaftRepair, ASnapshotComesWithoutALeaderToo) {
  Filled log;
  log.cluster.compact(log.third, log.index(3));
  for (uint64_t id = 1; id <= 3; ++id) {
    id == log.third ? log.cluster.crash(id) : crash_without_state(log.cluster, id);
  }
  log.cluster.rot(log.leader, log.index(2));
  log.cluster.rot(log.follower, log.index(2));
  for (uint64_t id = 1; id <= 3; ++id) log.cluster.restart(id);
  log.cluster.elect();
  log.cluster.advance(2 * log.cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(log.cluster.texts(id), kAll) << id;
    EXPECT_EQ(log.cluster.status(id).damaged, 0U) << id;
  }
}

TEST(RaftRepair, ALostStoreIsReplacedAndUntilThenTheMemberOnlyVotes) {
  Filled log;
  for (uint64_t id = 1; id <= 3; ++id) log.cluster.compact(id, log.index(3));
  crash_without_state(log.cluster, log.follower);
  log.cluster.answer_snapshots(false);
  log.cluster.node(log.follower).store_lost = true;
  log.cluster.restart(log.follower);
  EXPECT_TRUE(log.cluster.status(log.follower).store_lost);
  log.cluster.crash(log.third);
  log.cluster.propose(log.leader, "e");
  log.cluster.advance(std::chrono::milliseconds(900));
  EXPECT_EQ(log.cluster.status(log.leader).committed, log.last) << "it counts for nothing";
  EXPECT_TRUE(log.cluster.texts(log.follower).empty());
  EXPECT_EQ(log.cluster.leader(), log.leader);
  log.cluster.answer_snapshots(true);
  log.cluster.advance(3 * log.cluster.election_timeout());
  EXPECT_FALSE(log.cluster.status(log.follower).store_lost);
  EXPECT_EQ(log.cluster.texts(log.follower), (Texts{"a", "b", "c", "d", "e"}));
}

TEST(RaftRepair, RotFoundWhileRunningIsRepairedInAnyRole) {
  for (const bool in_memory : {true, false}) {
    TestOptions options;
    options.tail_entries = 2;
    Filled log(options);
    if (!in_memory) {
      for (uint64_t id = 1; id <= 3; ++id) log.cluster.restart(id);
      log.leader = log.cluster.elect();
    }
    for (uint64_t id = 1; id <= 3; ++id) {
      log.cluster.rot(id, log.index(id));
      log.cluster.notice(id, log.index(id));
    }
    log.cluster.propose(log.leader, "e");
    log.cluster.advance(2 * log.cluster.election_timeout());
    EXPECT_EQ(log.cluster.leader(), log.leader) << "no reason to leave office";
    for (uint64_t id = 1; id <= 3; ++id) {
      EXPECT_TRUE(log.cluster.node(id).disk.damaged.empty()) << id;
      EXPECT_EQ(log.cluster.texts(id), (Texts{"a", "b", "c", "d", "e"})) << id;
    }
  }
}

TEST(RaftRepair, AWholeMemberIsPreferredAsLeader) {
  int whole = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    TestOptions options;
    options.seed = seed;
    Filled log(options);
    for (uint64_t id = 1; id <= 3; ++id) {
      crash_without_state(log.cluster, id);
      if (id != 2) log.cluster.rot(id, log.index(1));
    }
    log.cluster.filter = [](Message& message) {
      const auto head = decode_head(message.head);
      return !head || !std::holds_alternative<RepairRequest>(head->body);
    };
    for (uint64_t id = 1; id <= 3; ++id) log.cluster.restart(id);
    log.cluster.advance(3 * log.cluster.election_timeout());
    if (log.cluster.leader() == 2) ++whole;
  }
  EXPECT_EQ(whole, 20);
}

// An append may bring what is missing before any request is answered.
TEST(RaftRepair, AnAppendFillsAHole) {
  Filled log;
  crash_without_state(log.cluster, log.follower);
  log.cluster.rot(log.follower, log.last.value);
  log.cluster.filter = [](Message& message) {
    const auto head = decode_head(message.head);
    return !head || !std::holds_alternative<RepairRequest>(head->body);
  };
  log.cluster.restart(log.follower);
  log.cluster.restart(log.leader);  // probes from where its followers' logs may end
  const uint64_t leader = log.cluster.elect();
  const Index previous{log.last.value - 1};
  const uint64_t term = log.cluster.status(leader).ballot.round;
  const Entry& lost = log.cluster.node(leader).disk.entries.at(log.last);
  Message message;
  message.from = NodeId{leader};
  message.to = NodeId{log.follower};
  message.head = encode_head({term, log.cluster.node(leader).incarnation, false,
                              Append{previous, lost.ballot.round, previous}});
  message.entries.push_back(lost);
  if (leader != log.follower) log.cluster.step(log.follower, Receive{message});
  log.cluster.settle();
  if (leader != log.follower) {
    EXPECT_EQ(log.cluster.status(log.follower).damaged, 0U);
  }
}

// Truncated while its replacement is on the way to the disk, and written anew: the old write
// must not vouch for the new entry.
TEST(RaftRepair, ARepairOvertakenByATruncationVouchesForNothing) {
  Filled log;
  log.cluster.isolate(log.leader);
  log.cluster.propose(log.leader, "e");
  log.cluster.settle();
  const Index uncommitted = log.last.next();
  const Entry lost = log.cluster.node(log.leader).disk.entries.at(uncommitted);
  crash_without_state(log.cluster, log.leader);
  log.cluster.rot(log.leader, uncommitted.value);
  log.cluster.restart(log.leader);
  TestNode& node = log.cluster.node(log.leader);
  node.disk_stalls = true;
  Message message;
  message.from = NodeId{log.follower};
  message.to = NodeId{log.leader};
  message.head = encode_head({lost.ballot.round, 0, false,
                              RepairReply{uncommitted, lost.ballot.round, uncommitted, Index{}}});
  message.entries.push_back(lost);
  log.cluster.step(log.leader, Receive{message});
  ASSERT_EQ(node.unsynced.size(), 1U);
  log.cluster.elect();
  log.cluster.heal();
  log.cluster.advance(log.cluster.election_timeout());
  log.cluster.sync(log.leader);
  node.disk_stalls = false;
  log.cluster.advance(2 * log.cluster.election_timeout());
  EXPECT_EQ(log.cluster.texts(log.leader), kAll);
  EXPECT_EQ(log.cluster.status(log.leader).damaged, 0U);
  EXPECT_TRUE(node.disk.damaged.empty());
}

}  // namespace
}  // namespace quorate::consensus::raft
