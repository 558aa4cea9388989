// Rules that random lives and scenarios do not show when they are broken: each of these tests is
// what notices a planted bug (base/mutants.def).
#include <gtest/gtest.h>

#include "consensus/limits.h"
#include "consensus/raft/wire.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::raft {
namespace {

using testing::TestCluster;
using testing::TestOptions;

// A candidate that was given a vote is given the time to use it (R05_PATIENCE).
TEST(RaftRules, AVoterIsPatientWithItsCandidate) {
  TestOptions options;
  options.pre_vote = false;
  options.check_quorum = false;
  TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  const uint64_t voter = leader == 3 ? 1 : leader + 1;
  const uint64_t candidate = 6 - leader - voter;
  cluster.crash(leader);
  cluster.pass(cluster.election_timeout() / 2);
  const Time before = cluster.replica(voter).deadline();
  Message request;
  request.from = NodeId{candidate};
  request.to = NodeId{voter};
  VoteRequest vote;
  vote.asked_term = cluster.status(voter).ballot.round + 1;
  vote.last = Index{1'000};
  vote.last_term = vote.asked_term - 1;
  request.head = encode_head({vote.asked_term, 0, false, vote});
  cluster.step(voter, Receive{request});
  ASSERT_EQ(cluster.status(voter).ballot.round, vote.asked_term);
  EXPECT_GE(cluster.replica(voter).deadline(), cluster.now() + cluster.election_timeout());
  EXPECT_GT(cluster.replica(voter).deadline(), before);
}

// Two payloads for one index and term: somebody is broken, and going on would spread it (R18).
TEST(RaftRulesDeathTest, AnotherPayloadAtAKnownPositionStopsTheMember) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t follower = leader == 1 ? 2 : 1;
  cluster.propose(leader, "right");
  cluster.settle();
  const Index last = cluster.status(follower).last;
  Entry entry = *cluster.replica(follower).find(last);
  entry.data = Bytes(std::string_view("wrong"));
  Message message;
  message.from = NodeId{leader};
  message.to = NodeId{follower};
  const uint64_t term = cluster.status(leader).ballot.round;
  message.head = encode_head({term, 0, false, Append{last.previous(), term, {}}});
  message.entries = {entry};
  EXPECT_DEATH(cluster.step(follower, Receive{message}), "one leader wrote one entry");
}

// What was answered makes room for more than a window's bytes (N13).
TEST(RaftRules, AnswersMakeRoomInTheWindow) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  constexpr size_t kEntryBytes = kAppendBytesMax;
  for (size_t sent = 0; sent < kInflightBytesMax + 4 * kEntryBytes; sent += kEntryBytes) {
    cluster.propose(leader, std::string(kEntryBytes, 'x'));
    cluster.settle();
  }
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(cluster.status(id).committed, cluster.status(leader).last) << id;
  }
}

}  // namespace
}  // namespace quorate::consensus::raft
