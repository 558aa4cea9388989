#include "consensus/log_tail.h"

#include <gtest/gtest.h>

#include "consensus/quorum.h"

namespace quorate::consensus {
namespace {

Entry entry(uint64_t index, uint64_t round) {
  return {Index{index}, {round, {}}, EntryKind::command, {}, Bytes("payload")};
}

LogTail log_of(const std::vector<uint64_t>& rounds) {
  LogTail log;
  for (size_t place = 0; place < rounds.size(); ++place)
    log.append(entry(place + 1, rounds[place]));
  return log;
}

TEST(LogTail, BallotsFollowTheRuns) {
  const LogTail log = log_of({1, 1, 2, 2, 2, 5});
  const std::vector<uint64_t> expected = {0, 1, 1, 2, 2, 2, 5};
  for (size_t index = 0; index < expected.size(); ++index) {
    EXPECT_EQ(log.ballot_at(Index{index}).round, expected[index]);
  }
  EXPECT_EQ(log.newest_with_round_at_most(Index{6}, 4), Index{5});
  EXPECT_EQ(log.newest_with_round_at_most(Index{4}, 4), Index{4});
  EXPECT_EQ(log.newest_with_round_at_most(Index{9}, 1), Index{2});
  EXPECT_EQ(log.newest_with_round_at_most(Index{6}, 0), Index{0});
}

TEST(LogTail, TruncatingAndDroppingKeepItWhole) {
  for (uint64_t drop = 0; drop <= 6; ++drop) {
    for (uint64_t keep = drop; keep <= 6; ++keep) {
      LogTail log = log_of({1, 1, 2, 2, 2, 5});
      log.drop_prefix(Index{drop});
      log.truncate_from(Index{keep + 1});
      log.check_invariants();
      EXPECT_EQ(log.first(), Index{drop + 1});
      EXPECT_EQ(log.last(), Index{keep});
      log.append(entry(keep + 1, 7));
      log.check_invariants();
      EXPECT_EQ(log.ballot_at(Index{keep + 1}).round, 7U);
      EXPECT_EQ(log.find(Index{drop}), nullptr);
    }
  }
}

TEST(LogTail, EvictionForgetsPayloadsOnly) {
  LogTail log = log_of({1, 1, 2, 2, 2, 5});
  log.evict(Index{4}, 0);
  EXPECT_EQ(log.find(Index{4}), nullptr);
  ASSERT_NE(log.find(Index{5}), nullptr);
  EXPECT_EQ(log.ballot_at(Index{2}).round, 1U);
  log.check_invariants();
}

TEST(LogTail, RecoversARunThatBeganBeforeTheSnapshot) {
  Recovered recovered;
  recovered.snapshot.index = Index{4};
  recovered.snapshot.ballot = {2, {}};
  recovered.runs = {{Index{1}, {1, {}}}, {Index{3}, {2, {}}}, {Index{6}, {5, {}}}};
  recovered.last = Index{6};
  recovered.tail = {entry(6, 5)};
  const LogTail log(recovered);
  EXPECT_EQ(log.ballot_at(Index{5}).round, 2U);
  EXPECT_EQ(log.ballot_at(Index{6}).round, 5U);
}

TEST(Quorum, AMajorityReaches) {
  const auto reached = [](std::vector<uint64_t> values) { return majority_reaches(values); };
  EXPECT_EQ(reached({7}), 7U);
  EXPECT_EQ(reached({7, 3}), 3U);
  EXPECT_EQ(reached({1, 9, 5}), 5U);
  EXPECT_EQ(reached({4, 3, 2, 1}), 2U);
  EXPECT_EQ(reached({5, 1, 4, 2, 3}), 3U);
}

TEST(Quorum, BothHalvesOfAJointConfigurationDecide) {
  Members members;
  for (const uint64_t id : {1U, 2U, 3U}) members.voters.push_back({NodeId{id}, 0, {}});
  members.outgoing = {{NodeId{3}, 0, {}}, {NodeId{4}, 0, {}}, {NodeId{5}, 0, {}}};
  const auto decided = [&](std::vector<NodeId> ids) { return decides(members, ids); };
  EXPECT_FALSE(decided({NodeId{1}, NodeId{2}, NodeId{3}}));
  EXPECT_TRUE(decided({NodeId{1}, NodeId{3}, NodeId{4}}));
  EXPECT_FALSE(decided({NodeId{1}, NodeId{1}, NodeId{4}, NodeId{5}}));
  EXPECT_FALSE(decided({NodeId{8}, NodeId{9}, NodeId{4}, NodeId{5}}));
}

}  // namespace
}  // namespace quorate::consensus
