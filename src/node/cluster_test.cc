// Whole nodes: the real runtime, log and protocol; simulated time and network, real files.
#include <gtest/gtest.h>

#include "node/identity.h"
#include "node/test_cluster.h"

namespace quorate::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TestCluster;
using Answer = TestCluster::Answer;

class ClusterTest : public ::testing::Test {
 protected:
  void begin(TestCluster& cluster) {
    cluster.start_all();
    ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
  }
  void put(TestCluster& cluster, uint64_t id, const std::string& command) {
    const auto call = cluster.propose(id, command, seconds(5));
    ASSERT_TRUE(cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6)));
    ASSERT_EQ(call->answer, Answer::applied) << command;
  }
  std::string get(TestCluster& cluster, uint64_t id, const std::string& key) {
    const auto call = cluster.read(id, key, seconds(5));
    cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6));
    return call->answer == Answer::applied ? call->body : "(refused)";
  }
  void expect_settled(TestCluster& cluster, Duration patience = seconds(20)) {
    EXPECT_TRUE(cluster.run_until([&] { return cluster.settled(); }, patience));
    EXPECT_TRUE(cluster.same_state());
  }
};

TEST_F(ClusterTest, AloneItFoundsItsClusterAndServes) {
  TestCluster cluster(1);
  begin(cluster);
  put(cluster, 1, "a=1");
  EXPECT_EQ(get(cluster, 1, "a"), "1");
  const NodeStatus status = cluster.members.at(1).node->status();
  EXPECT_TRUE(status.ready);
  ASSERT_EQ(status.members.size(), 1U);
  EXPECT_EQ(status.members[0].name, "m1");
  EXPECT_GT(status.wal_syncs, 0U);
}

TEST_F(ClusterTest, WhatAMachineHasLeftToDoGoesOnWhileNothingIsWritten) {
  TestCluster cluster(1);
  begin(cluster);
  put(cluster, 1, "chores=" + std::string(20, 'x'));
  EXPECT_GT(cluster.machine(1).chores, 10U) << "in portions";
  cluster.run_for(milliseconds(500));
  EXPECT_EQ(cluster.machine(1).chores, 0U);
}

TEST_F(ClusterTest, ThreeServeWritesAndReadsOnEveryMember) {
  TestCluster cluster(3);
  begin(cluster);
  for (uint64_t id = 1; id <= 3; ++id) put(cluster, id, "a=" + std::to_string(id));
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(get(cluster, id, "a"), "123");
  expect_settled(cluster);
  size_t replies = 0;
  for (uint64_t id = 1; id <= 3; ++id) replies += cluster.machine(id).replies_made;
  EXPECT_EQ(replies, 3U) << "only where somebody waits";
}

TEST_F(ClusterTest, TwoOfThreeFoundAfterAWhileAndTheThirdJoins) {
  TestCluster cluster(3);
  ASSERT_TRUE(cluster.start(1));
  cluster.run_for(seconds(10));
  EXPECT_EQ(cluster.members.at(1).node->leader(), NodeId{}) << "alone it must not found";
  ASSERT_TRUE(cluster.start(2));
  ASSERT_TRUE(cluster.run_until([&] { return cluster.leader() != 0; }, seconds(20)));
  put(cluster, 1, "a=x");
  ASSERT_TRUE(cluster.start(3));
  ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
  EXPECT_EQ(get(cluster, 3, "a"), "x");
}

TEST_F(ClusterTest, LosingTheLeaderCostsClientsOfOthersNoError) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=0");
  const uint64_t lead = cluster.leader();
  const uint64_t other = lead % 3 + 1;
  std::vector<std::shared_ptr<TestCluster::Call>> calls;
  for (int count = 0; count < 20; ++count) {
    calls.push_back(cluster.propose(other, "k" + std::to_string(count) + "=v", seconds(7)));
  }
  // Some have reached the leader, none is answered.
  cluster.run_for(std::chrono::microseconds(120));
  cluster.kill(lead);
  const auto read = cluster.read(other, "a", seconds(7));
  cluster.run_for(seconds(8));
  for (const auto& call : calls) EXPECT_EQ(call->answer, Answer::applied);
  EXPECT_EQ(read->body, "0");
  for (int count = 0; count < 20; ++count) {
    EXPECT_EQ(cluster.machine(other).rows().at("k" + std::to_string(count)), "v") << "once each";
  }
  ASSERT_TRUE(cluster.start(lead));
  expect_settled(cluster);
}

TEST_F(ClusterTest, AnIsolatedLeaderNeitherAcknowledgesNorServesStaleReads) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=old");
  const uint64_t lead = cluster.leader();
  const uint64_t other = lead % 3 + 1;
  cluster.hub.isolate(NodeId{lead});
  const auto lost = cluster.propose(lead, "lost=1", seconds(3));
  const auto stale = cluster.read(lead, "a", seconds(3));
  cluster.run_for(seconds(2));
  EXPECT_NE(cluster.leader(), lead);
  put(cluster, other, "a=new");
  cluster.run_for(seconds(3));
  EXPECT_EQ(stale->answer, Answer::refused);
  EXPECT_NE(lost->answer, Answer::none) << "answered in bounded time";
  EXPECT_NE(lost->answer, Answer::applied);
  const auto minority = cluster.propose(lead, "never=1", seconds(2));
  cluster.run_for(seconds(3));
  EXPECT_EQ(minority->answer, Answer::refused);
  EXPECT_EQ(minority->why, RefusedWhy::no_leader);
  cluster.hub.rejoin(NodeId{lead});
  expect_settled(cluster);
  EXPECT_EQ(get(cluster, lead, "a"), "oldnew");
  EXPECT_FALSE(cluster.machine(lead).rows().contains("never"));
}

TEST_F(ClusterTest, EverybodyRestartsOnTheirData) {
  TestCluster cluster(3);
  begin(cluster);
  for (int count = 0; count < 50; ++count) put(cluster, 1, "k" + std::to_string(count) + "=v");
  for (uint64_t id = 1; id <= 3; ++id) cluster.kill(id);
  begin(cluster);
  for (int count = 0; count < 50; ++count) {
    EXPECT_EQ(get(cluster, 2, "k" + std::to_string(count)), "v");
  }
  expect_settled(cluster);
}

TEST_F(ClusterTest, AWipedMemberIsReadmittedWithAllData) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=1");
  for (uint64_t victim = 1; victim <= 3; ++victim) {
    cluster.kill(victim);
    cluster.wipe(victim);
    const uint64_t other = victim % 3 + 1;
    put(cluster, other, "a=" + std::to_string(victim));
    ASSERT_TRUE(cluster.start(victim));
    ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
    EXPECT_TRUE(cluster.run_until(
        [&] {
          auto identity = load_identity(*cluster.disk, cluster.directory(victim));
          return identity && *identity && !(*identity)->amnesiac && (*identity)->incarnation != 0;
        },
        seconds(20)))
        << "re-admitted";
    // It counts again: the two of them are a majority.
    const uint64_t third = other % 3 + 1;
    cluster.kill(third);
    put(cluster, victim, "b=" + std::to_string(victim));
    ASSERT_TRUE(cluster.start(third));
    expect_settled(cluster);
  }
  EXPECT_EQ(get(cluster, 1, "a"), "1123");
}

TEST_F(ClusterTest, AnAmnesiacThatRestartsIsStillOne) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=1");
  cluster.kill(3);
  cluster.wipe(3);
  ASSERT_TRUE(cluster.start(3));
  // Known as amnesiac, but nobody there to re-admit it.
  cluster.run_for(milliseconds(2));
  cluster.hub.isolate(NodeId{3});
  cluster.run_for(seconds(1));
  cluster.kill(3);
  const auto identity = load_identity(*cluster.disk, cluster.directory(3));
  ASSERT_TRUE(identity && *identity);
  EXPECT_TRUE((*identity)->amnesiac);
  ASSERT_TRUE(cluster.start(3));
  cluster.run_for(seconds(5));
  EXPECT_EQ(cluster.members.at(3).node->leader(), NodeId{});
  cluster.hub.rejoin(NodeId{3});
  ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
  expect_settled(cluster);
}

TEST_F(ClusterTest, ALaggingMemberGetsASnapshotWhileTheOthersServe) {
  TestCluster cluster(3);
  cluster.snapshot_count = 100;
  cluster.catch_up_entries = 20;
  begin(cluster);
  put(cluster, 1, "a=1");
  const uint64_t victim = cluster.leader() % 3 + 1;
  const uint64_t other = victim % 3 + 1;
  cluster.kill(victim);
  for (int count = 0; count < 600; ++count) {
    put(cluster, other, "k" + std::to_string(count % 50) + "=" + std::string(3000, 'v'));
  }
  EXPECT_GT(cluster.members.at(other).node->status().consensus.first.value, 300U)
      << "the log was cut";
  ASSERT_TRUE(cluster.start(victim));
  for (int count = 0; count < 50; ++count) put(cluster, other, "b=x");
  expect_settled(cluster);
  EXPECT_GT(cluster.members.at(victim).node->status().consensus.first.value, 300U);
  cluster.kill(victim);
  put(cluster, other, "b=y");
  ASSERT_TRUE(cluster.start(victim));
  expect_settled(cluster);
  EXPECT_EQ(cluster.disk->list(cluster.directory(victim) + "/store")->size(), 1U);
}

TEST_F(ClusterTest, ACrashAtAnyMomentOfAnInstallIsSurvived) {
  TestCluster cluster(3);
  cluster.snapshot_count = 50;
  cluster.catch_up_entries = 10;
  begin(cluster);
  for (int crash = 0; crash < 20; ++crash) {
    const uint64_t victim = cluster.leader() % 3 + 1;
    const uint64_t other = victim % 3 + 1;
    cluster.kill(victim);
    for (int count = 0; count < 80; ++count) {
      cluster.propose(other, "k" + std::to_string(count) + "=" + std::string(1000, 'v'),
                      seconds(5));
    }
    cluster.run_for(seconds(1));
    ASSERT_TRUE(cluster.start(victim));
    cluster.run_for(std::chrono::microseconds(750) * crash);
    cluster.kill(victim);
    const auto started = cluster.start(victim);
    ASSERT_TRUE(started) << started.error().text;
    ASSERT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20))) << crash;
    ASSERT_TRUE(cluster.same_state()) << crash;
  }
}

TEST_F(ClusterTest, DirectoriesOfOthersAreRefused) {
  TestCluster cluster(3);
  begin(cluster);
  const std::string mine = cluster.directory(1);
  EXPECT_FALSE(cluster.start(1)) << "the directory is in use";
  cluster.kill(1);
  cluster.cluster_id = 8;
  auto other_cluster = cluster.start(1);
  ASSERT_FALSE(other_cluster);
  EXPECT_EQ(other_cluster.error().kind, ErrorKind::conflict);
  cluster.cluster_id = 7;
  ASSERT_TRUE(cluster.disk->rename(mine, cluster.root.path() + "/aside"));
  cluster.kill(2);
  ASSERT_TRUE(cluster.disk->rename(cluster.directory(2), mine));
  auto other_member = cluster.start(1);
  ASSERT_FALSE(other_member);
  EXPECT_EQ(other_member.error().kind, ErrorKind::conflict);
  ASSERT_TRUE(cluster.disk->remove_tree(mine + "/wal"));
  ASSERT_TRUE(cluster.disk->rename(mine, cluster.directory(2)));
}

TEST_F(ClusterTest, StoppingHandsTheLeadOverAndAnswersEverybody) {
  TestCluster cluster(3);
  begin(cluster);
  const uint64_t lead = cluster.leader();
  const auto call = cluster.propose(lead, "a=1", seconds(5));
  bool done = false;
  cluster.members.at(lead).node->stop(milliseconds(1500), [&] { done = true; });
  ASSERT_TRUE(cluster.run_until([&] { return done; }, milliseconds(1600)));
  EXPECT_NE(call->answer, Answer::none);
  const auto late = cluster.propose(lead, "a=2", seconds(5));
  cluster.run_for(milliseconds(1));
  EXPECT_EQ(late->why, RefusedWhy::stopping);
  cluster.kill(lead);
  const uint64_t next = cluster.leader();
  EXPECT_NE(next, 0U) << "the lead was handed over before the end";
  EXPECT_NE(next, lead);
}

TEST_F(ClusterTest, SequenceNumbersNeverComeBackEvenWhenTheClockDoes) {
  TestCluster cluster(1);
  begin(cluster);
  const auto first = load_identity(*cluster.disk, cluster.directory(1));
  cluster.kill(1);
  ASSERT_TRUE(cluster.start(1));  // at the same wall clock
  const auto second = load_identity(*cluster.disk, cluster.directory(1));
  EXPECT_GT((*second)->next_sequence, (*first)->next_sequence);
}

// Random faults under load. Every answer must be true in the end: acknowledged commands are
// there once, refused ones never, unknown ones at most once.
class ChaosTest : public ClusterTest, public ::testing::WithParamInterface<uint64_t> {};

struct Issued {
  std::string token;
  std::shared_ptr<TestCluster::Call> call;
};

void disturb(TestCluster& cluster, Rng& rng, uint64_t& down) {
  switch (rng.below(8)) {
    case 0:
      if (down != 0) break;
      down = rng.between(1, cluster.size);
      cluster.kill(down);
      if (rng.below(4) == 0) cluster.wipe(down);
      break;
    case 1:
    case 2:
      if (down == 0) break;
      ASSERT_TRUE(cluster.start(down));
      down = 0;
      break;
    case 3:
      cluster.hub.isolate(NodeId{rng.between(1, cluster.size)});
      break;
    case 4:
      cluster.hub.cut(NodeId{1}, NodeId{rng.between(2, cluster.size)});
      break;
    default:
      for (uint64_t id = 1; id <= cluster.size; ++id) cluster.hub.rejoin(NodeId{id});
  }
}

TEST_P(ChaosTest, EveryAnswerIsTrueInTheEnd) {
  Rng rng(GetParam());
  TestCluster cluster(3, GetParam());
  cluster.snapshot_count = 60;
  cluster.catch_up_entries = 20;
  begin(cluster);
  std::vector<Issued> issued;
  uint64_t down = 0;  // zero: none
  for (int round = 0; round < 60; ++round) {
    disturb(cluster, rng, down);
    const uint64_t calls = rng.below(15);
    for (uint64_t call = 0; call < calls; ++call) {
      const uint64_t id = rng.between(1, 3);
      if (!cluster.running(id)) continue;
      const std::string token = "<" + std::to_string(issued.size()) + ">";
      issued.push_back(
          {token, cluster.propose(id, "all=" + token, milliseconds(rng.between(100, 4000)))});
    }
    cluster.run_for(milliseconds(rng.between(1, 400)));
  }
  for (uint64_t id = 1; id <= 3; ++id) cluster.hub.rejoin(NodeId{id});
  if (down != 0) {
    ASSERT_TRUE(cluster.start(down));
  }
  cluster.run_for(seconds(6));
  expect_settled(cluster, seconds(30));
  const auto& rows = cluster.machine(1).rows();
  const std::string all = rows.contains("all") ? rows.at("all") : "";
  size_t applied = 0;
  for (const Issued& one : issued) {
    const size_t first = all.find(one.token);
    const bool there = first != std::string::npos;
    EXPECT_FALSE(there && all.find(one.token, first + 1) != std::string::npos) << one.token;
    if (one.call->answer == Answer::applied) {
      EXPECT_TRUE(there) << one.token;
      ++applied;
    }
    if (one.call->answer == Answer::refused) {
      EXPECT_FALSE(there) << one.token;
    }
  }
  EXPECT_GT(applied, 20U) << "the run did something";
  for (const auto& [id, member] : cluster.members) EXPECT_FALSE(member.failure.has_value());
}

INSTANTIATE_TEST_SUITE_P(Seeds, ChaosTest, ::testing::Range<uint64_t>(1, 6));

}  // namespace
}  // namespace quorate::node
