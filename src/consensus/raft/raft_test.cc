// Elections, log repair and commitment, as the papers tell them.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "consensus/raft/wire.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::raft {
namespace {

using testing::TestCluster;
using testing::TestNode;
using testing::TestOptions;

// A founded log with entries of the given terms behind the founding one.
void write_log(TestCluster& cluster, uint64_t id, const std::vector<uint64_t>& terms,
               uint64_t current_term, NodeId vote = {}) {
  TestNode& node = cluster.node(id);
  cluster.crash(id);
  Write write;
  write.id = WriteId{node.disk.last_write.value + 1};
  write.hard_state = HardState{{current_term, vote}, {}, Index{1}};
  Index index{1};
  for (const uint64_t term : terms) {
    ++index;
    Entry entry{index, {term, {}}, EntryKind::command, {}, Bytes("t" + std::to_string(term))};
    write.entries.push_back(entry);
  }
  node.disk.put(write);
}

TEST(RaftElection, TheFirstElectionAsksEvenWithoutPreVote) {
  TestOptions options;
  options.pre_vote = false;
  TestCluster cluster(options);
  cluster.isolate(1);
  cluster.pass(10 * cluster.election_timeout());
  cluster.wake(1);
  // A lone founder promises nothing, so it stays virgin (docs/decisions/0004).
  EXPECT_EQ(cluster.node(1).disk.hard_state.promised, (Ballot{1, {}}));
  cluster.heal();
  cluster.elect();
  EXPECT_GE(cluster.status(1).ballot.round, 2U);
}

TEST(RaftElection, ALonelyMemberDoesNotRaiseTerms) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t term = cluster.status(leader).ballot.round;
  const uint64_t lonely = leader % 3 + 1;
  cluster.isolate(lonely);
  cluster.advance(30 * cluster.election_timeout());
  EXPECT_EQ(cluster.status(lonely).ballot.round, term);
  cluster.heal();
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader) << "its return disturbed the leader";
  EXPECT_EQ(cluster.status(leader).ballot.round, term);
}

TEST(RaftElection, ALeaderThatHearsNobodyGoesAndFallsSilent) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  cluster.advance(2 * cluster.election_timeout());
  EXPECT_NE(cluster.status(leader).role, Role::leader);
  cluster.advance(4 * cluster.election_timeout());
  ASSERT_NE(cluster.leader(), 0U);
  EXPECT_NE(cluster.leader(), leader);
}

TEST(RaftElection, WithoutCheckQuorumItStaysButServesNothing) {
  TestOptions options;
  options.check_quorum = false;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  cluster.isolate(leader);
  cluster.read(leader);
  cluster.advance(10 * cluster.election_timeout());
  EXPECT_EQ(cluster.status(leader).role, Role::leader);
  EXPECT_TRUE(cluster.node(leader).reads.empty());
}

TEST(RaftElection, TheTimeoutIsDrawnAnewForEachCampaign) {
  TestCluster cluster;
  cluster.isolate(1);
  std::set<int64_t> waits;
  for (int campaign = 0; campaign < 10; ++campaign) {
    cluster.pass(cluster.replica(1).deadline() - cluster.now());
    cluster.wake(1);
    const Duration wait = cluster.replica(1).deadline() - cluster.now();
    EXPECT_GE(wait, cluster.election_timeout());
    EXPECT_LT(wait, 2 * cluster.election_timeout());
    waits.insert(wait.count());
  }
  EXPECT_GE(waits.size(), 9U);
}

TEST(RaftElection, AVoteLeavesOnlyWhenItIsDurable) {
  TestCluster cluster;
  cluster.node(2).disk_stalls = true;
  cluster.cut(1, 3);
  cluster.pass(2 * cluster.election_timeout());
  cluster.wake(1);
  cluster.settle();
  EXPECT_EQ(cluster.status(2).ballot.round, 2U) << "it has heard of the new term";
  EXPECT_NE(cluster.status(1).role, Role::leader);
  // The crash forgets the vote; it must not have been counted.
  cluster.restart(2);
  EXPECT_EQ(cluster.status(2).ballot.round, 1U);
  EXPECT_NE(cluster.status(1).role, Role::leader);
}

TEST(RaftElection, ACandidateCountsItsOwnVoteOnceItIsDurable) {
  TestOptions options;
  options.voters = 1;
  TestCluster cluster(options);
  cluster.node(1).disk_stalls = true;
  cluster.wake(1);
  EXPECT_EQ(cluster.status(1).role, Role::candidate);
  cluster.sync(1);
  EXPECT_EQ(cluster.status(1).role, Role::leader);
}

TEST(RaftElection, TheLastTermDecidesBeforeTheLength) {
  TestCluster cluster;
  write_log(cluster, 1, {2, 2, 2, 2}, 3);
  write_log(cluster, 2, {3}, 3);
  write_log(cluster, 3, {3}, 3);
  for (uint64_t id = 1; id <= 3; ++id) cluster.restart(id);
  cluster.pass(3 * cluster.election_timeout());
  cluster.wake(1);
  cluster.settle();
  EXPECT_NE(cluster.status(1).role, Role::leader);
  cluster.make_leader(2);
  EXPECT_EQ(cluster.texts(1), std::vector<std::string>{"t3"});
}

// Long logs in an old term ask those with short logs in a new one, and the other way round:
// neither may stall the other for ever.
TEST(RaftElection, TermsSpreadThroughRefusals) {
  TestOptions options;
  options.voters = 4;
  TestCluster cluster(options);
  write_log(cluster, 1, {2, 2, 2}, 2);
  write_log(cluster, 2, {2, 2, 2}, 2);
  write_log(cluster, 3, {2}, 9);
  write_log(cluster, 4, {2}, 9);
  for (uint64_t id = 1; id <= 4; ++id) cluster.restart(id);
  const uint64_t leader = cluster.elect();
  EXPECT_LE(leader, 2U) << "only the long logs can win";
  EXPECT_GE(cluster.status(leader).ballot.round, 10U);
}

// A member with a higher term but a log that cannot win must be able to follow.
TEST(RaftElection, AMemberAheadInTermFollowsInTheEnd) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t ahead = leader % 3 + 1;
  cluster.propose(leader, "a");
  cluster.settle();
  TestNode& node = cluster.node(ahead);
  cluster.crash(ahead);
  Write write;
  write.id = WriteId{node.disk.last_write.value + 1};
  write.hard_state = HardState{{40, node.id}, {}, node.disk.hard_state.committed};
  node.disk.put(write);
  cluster.propose(leader, "b");
  cluster.settle();
  cluster.restart(ahead);
  cluster.advance(6 * cluster.election_timeout());
  const uint64_t next = cluster.elect();
  EXPECT_GT(cluster.status(next).ballot.round, 40U);
  cluster.propose(next, "c");
  cluster.settle();
  EXPECT_EQ(cluster.texts(ahead), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(RaftElection, ABrokenConnectionStartsAnElectionAtOnce) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  cluster.crash(leader);
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != leader) cluster.step(id, Disconnected{NodeId{leader}});
  }
  cluster.advance(3 * cluster.heartbeat_interval());
  EXPECT_NE(cluster.leader(), 0U);
}

TEST(RaftElection, OneBrokenConnectionIsNoReasonForAnother) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t term = cluster.status(leader).ballot.round;
  const uint64_t broken = leader % 3 + 1;
  cluster.cut(leader, broken);
  cluster.step(broken, Disconnected{NodeId{leader}});
  cluster.advance(4 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.leader(), leader);
  cluster.heal();
  cluster.advance(2 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(cluster.status(leader).ballot.round, term);
}

void hear_from(TestCluster& cluster, uint64_t leader) {
  cluster.pass(cluster.heartbeat_interval());
  cluster.wake(leader);
  cluster.settle();
}

TEST(RaftElection, ASilentLeaderIsReplacedWithinTheTimeout) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    TestOptions options;
    options.seed = seed;
    TestCluster cluster(options);
    const uint64_t frozen = cluster.elect();
    hear_from(cluster, frozen);
    cluster.isolate(frozen);
    cluster.pass(cluster.election_timeout() * 59 / 100);
    for (uint64_t id = 1; id <= 3; ++id) {
      if (id == frozen) continue;
      cluster.wake(id);
      EXPECT_EQ(cluster.status(id).leader, NodeId{frozen}) << "six heartbeats may be late";
    }
    cluster.advance(cluster.election_timeout() * 41 / 100);
    EXPECT_NE(cluster.leader(), frozen) << "seed " << seed;
  }
}

TEST(RaftElection, AFollowerIsLoyalForMostOfTheTimeout) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t asker = leader % 3 + 1;
  const uint64_t asked = asker % 3 + 1;
  const auto ask = [&] {
    VoteRequest request;
    request.before_vote = true;
    request.asked_term = cluster.status(asked).ballot.round + 1;
    request.last = Index{1000};
    request.last_term = request.asked_term;
    size_t granted = 0;
    cluster.filter = [&](Message& message) {
      const auto head = decode_head(message.head);
      const auto* reply = std::get_if<VoteReply>(&head->body);
      granted += reply != nullptr && reply->granted ? 1 : 0;
      return false;
    };
    Message message;
    message.from = NodeId{asker};
    message.to = NodeId{asked};
    message.head = encode_head({cluster.status(asked).ballot.round, 0, false, request});
    cluster.step(asked, Receive{message});
    return granted;
  };
  hear_from(cluster, leader);
  cluster.pass(cluster.election_timeout() * 59 / 100);
  EXPECT_EQ(ask(), 0U);
  cluster.pass(cluster.election_timeout() * 2 / 100);
  EXPECT_EQ(ask(), 1U);
}

TEST(RaftElection, VotesOfAnEarlierTermDoNotCount) {
  TestOptions options;
  options.pre_vote = false;
  TestCluster cluster(options);
  write_log(cluster, 1, {2}, 5);
  cluster.restart(1);
  cluster.isolate(1);
  cluster.pass(3 * cluster.election_timeout());
  cluster.wake(1);
  ASSERT_EQ(cluster.status(1).role, Role::candidate);
  for (const uint64_t id : {2U, 3U}) {
    Message late;
    late.from = NodeId{id};
    late.to = NodeId{1};
    const uint64_t earlier = cluster.status(1).ballot.round - 1;
    late.head =
        encode_head({earlier, cluster.node(id).incarnation, false, VoteReply{false, true, 1}});
    cluster.step(1, Receive{late});
  }
  EXPECT_EQ(cluster.status(1).role, Role::candidate);
}

// The paper's figure 7: the leader of term 8 against every kind of follower.
TEST(RaftLog, Figure7) {
  const std::vector<uint64_t> leader = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
  const std::vector<std::vector<uint64_t>> followers = {
      {1, 1, 1, 4, 4, 5, 5, 6, 6},           // a
      {1, 1, 1, 4},                          // b
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},     // c
      {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},  // d
      {1, 1, 1, 4, 4, 4, 4},                 // e
      {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},     // f
  };
  TestOptions options;
  options.voters = 7;
  TestCluster cluster(options);
  write_log(cluster, 1, leader, 7);
  for (uint64_t id = 2; id <= 7; ++id) {
    const auto& terms = followers[id - 2];
    write_log(cluster, id, terms, std::max<uint64_t>(terms.back(), 7));
  }
  for (uint64_t id = 1; id <= 7; ++id) cluster.restart(id);
  std::map<uint64_t, int> appends;
  cluster.filter = [&](const Message& message) {
    if (message.from == NodeId{1}) ++appends[message.to.value];
    return true;
  };
  cluster.make_leader(1);
  cluster.advance(cluster.election_timeout());
  for (uint64_t id = 1; id <= 7; ++id) {
    EXPECT_EQ(cluster.status(id).last, cluster.status(1).last) << id;
    EXPECT_EQ(cluster.texts(id), cluster.texts(1)) << id;
    EXPECT_EQ(cluster.texts(id).size(), leader.size()) << id;
  }
}

// A follower with a long tail of a dead term is repaired in a few round trips.
TEST(RaftLog, BacktrackingTakesOneStepForATerm) {
  TestCluster cluster;
  std::vector<uint64_t> long_tail(500, 2);
  std::vector<uint64_t> mine(400, 3);
  write_log(cluster, 1, mine, 4);
  write_log(cluster, 2, mine, 4);
  write_log(cluster, 3, long_tail, 4);
  for (uint64_t id = 1; id <= 3; ++id) cluster.restart(id);
  int refusals = 0;
  int messages = 0;
  cluster.filter = [&](const Message& message) {
    if (message.from == NodeId{1} && message.to == NodeId{3}) ++messages;
    if (message.from == NodeId{3}) ++refusals;
    return true;
  };
  cluster.make_leader(1);
  EXPECT_EQ(cluster.status(3).last, cluster.status(1).last);
  EXPECT_LE(messages, 15);
  EXPECT_LE(refusals, 15);
}

// The paper's figure 8: (c) must not commit term 2's entry by counting copies.
TEST(RaftLog, Figure8) {
  TestOptions options;
  options.voters = 5;
  TestCluster cluster(options);
  write_log(cluster, 1, {2}, 4);
  write_log(cluster, 2, {2}, 2);
  write_log(cluster, 3, {}, 4);
  write_log(cluster, 4, {}, 4);
  write_log(cluster, 5, {3}, 3);
  for (uint64_t id = 1; id <= 4; ++id) cluster.restart(id);
  // S1 leads a new term, but its own entries reach nobody: only the old one is copied.
  cluster.pass(3 * cluster.election_timeout());
  cluster.wake(1);
  bool stopped = false;
  cluster.filter = [&](Message& message) {
    // Drop the new term's entry from every append: what is left is the old entry alone.
    std::vector<Entry>& entries = message.entries;
    while (!entries.empty() && entries.back().ballot.round > 2) {
      entries.pop_back();
      stopped = true;
    }
    return true;
  };
  cluster.settle();
  ASSERT_EQ(cluster.status(1).role, Role::leader);
  EXPECT_TRUE(stopped);
  EXPECT_GE(cluster.status(2).last, Index{2});
  EXPECT_EQ(cluster.status(1).committed, Index{1}) << "an old entry was committed by counting";
  // S5 may still replace it.
  cluster.crash(1);
  cluster.filter = nullptr;
  cluster.network().clear();
  cluster.restart(5);
  cluster.make_leader(5);
  EXPECT_EQ(cluster.texts(2), std::vector<std::string>{"t3"});
}

TEST(RaftLog, AcknowledgementsOfAnEarlierTermDoNotCount) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const Status status = cluster.status(leader);
  cluster.isolate(leader);
  cluster.propose(leader, "nobody has it");
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id == leader) continue;
    // What it said under an earlier leader, about entries that have been replaced since.
    const AppendReply reply{true, status.last.next(), {}, 0};
    Message late;
    late.from = NodeId{id};
    late.to = NodeId{leader};
    late.head = encode_head({status.ballot.round - 1, cluster.node(id).incarnation, false, reply});
    cluster.step(leader, Receive{late});
  }
  EXPECT_EQ(cluster.status(leader).committed, status.committed);
}

TEST(RaftLog, TwoFollowersCommitWithoutTheLeadersDisk) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  cluster.node(leader).disk_stalls = true;
  const Index before = cluster.status(leader).committed;
  cluster.propose(leader, "fast");
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before.next());
}

TEST(RaftLog, TheLeadersOwnCopyCountsOnceDurable) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t down = leader % 3 + 1;
  cluster.crash(down);
  cluster.node(leader).disk_stalls = true;
  const Index before = cluster.status(leader).committed;
  cluster.propose(leader, "slow");
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before);
  cluster.sync(leader);
  EXPECT_EQ(cluster.status(leader).committed, before.next());
}

TEST(RaftLog, ADuplicateIsNotAcknowledgedBeforeItsDisk) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t follower = leader % 3 + 1;
  const uint64_t other = follower % 3 + 1 == leader ? leader % 3 + 2 : follower % 3 + 1;
  cluster.crash(other == 4 ? 1 : other);
  cluster.node(follower).disk_stalls = true;
  std::vector<Message> copies;
  cluster.filter = [&](const Message& message) {
    if (!message.entries.empty()) copies.push_back(message);
    return true;
  };
  const Index before = cluster.status(leader).committed;
  cluster.propose(leader, "once");
  cluster.settle();
  ASSERT_FALSE(copies.empty());
  for (const Message& copy : copies) {
    if (copy.to == NodeId{follower}) cluster.step(follower, Receive{copy});
  }
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before);
  cluster.sync(follower);
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before.next());
}

TEST(RaftLog, LostAppendsAreSentAgain) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  cluster.filter = [](const Message& message) { return message.entries.empty(); };
  for (int number = 0; number < 20; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.filter = nullptr;
  cluster.advance(5 * cluster.heartbeat_interval());
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(cluster.texts(id).size(), 20U) << id;
}

TEST(RaftLog, OneTurnMakesOneAppendForEachPeer) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  size_t appends = 0;
  for (uint64_t number = 1; number <= 100; ++number) {
    cluster.replica(leader).step(cluster.now(),
                                 Propose{{NodeId{leader}, number}, EntryKind::command, Bytes("x")});
  }
  const Ready ready = cluster.replica(leader).take_ready();
  for (const Message& message : ready.messages) {
    if (message.entries.empty()) continue;
    ++appends;
    EXPECT_EQ(message.entries.size(), 100U);
    EXPECT_FALSE(message.urgent);
    EXPECT_EQ(message.after, WriteId{}) << "a leader does not wait for its disk";
  }
  EXPECT_EQ(appends, 2U);
  ASSERT_TRUE(ready.write);
  EXPECT_EQ(ready.write->entries.size(), 100U);
}

}  // namespace
}  // namespace quorate::consensus::raft
