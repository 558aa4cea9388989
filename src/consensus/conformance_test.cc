// What every protocol behind the door owes its users, told only in the door's own words: order,
// durability, reads, restarts. Transfers, snapshots and members are in
// conformance_service_test.cc.
#include "consensus/conformance.h"

#include <gtest/gtest.h>

namespace quorate::consensus::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(AllProtocols, ConformanceOfThree,
                         ::testing::ValuesIn(settings_of({3, 4, 5, 7})), name_of_setting);
INSTANTIATE_TEST_SUITE_P(AllProtocols, Conformance,
                         ::testing::ValuesIn(settings_of({1, 2, 3, 4, 5, 7})), name_of_setting);

TEST_P(Conformance, ElectsOneLeaderThatEverybodyKnows) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= voters(); ++id) {
    EXPECT_EQ(cluster.status(id).leader, NodeId{leader});
    EXPECT_EQ(cluster.status(id).established, id == leader);
  }
}

TEST_P(Conformance, CommitsInTheSameOrderOnAll) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  std::vector<std::string> expected;
  for (int number = 0; number < 50; ++number) {
    expected.push_back("command " + std::to_string(number));
    cluster.propose(leader, expected.back());
  }
  cluster.settle();
  for (uint64_t id = 1; id <= voters(); ++id) EXPECT_EQ(cluster.texts(id), expected) << id;
}

TEST_P(Conformance, ProposalsKeepTheirIdentity) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const ProposalId proposal = cluster.propose(leader, "mine");
  cluster.settle();
  EXPECT_EQ(cluster.node(leader).applied.back().id, proposal);
}

TEST_P(Conformance, WhoDoesNotLeadRefusesAndPointsToTheLeader) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= voters(); ++id) {
    if (id == leader) continue;
    const ProposalId proposal = cluster.propose(id, "lost");
    const ReadId read = cluster.read(id);
    ASSERT_EQ(cluster.node(id).refused.size(), 2U);
    EXPECT_EQ(std::get<ProposalId>(cluster.node(id).refused[0].what), proposal);
    EXPECT_EQ(std::get<ReadId>(cluster.node(id).refused[1].what), read);
    for (const Refused& refused : cluster.node(id).refused) {
      EXPECT_EQ(refused.why, Refusal::not_leader);
      EXPECT_EQ(refused.leader_hint, NodeId{leader});
    }
  }
}

TEST_P(Conformance, AMinorityDownHindersNobody) {
  TestCluster cluster(options());
  cluster.elect();
  const size_t minority = (voters() - 1) / 2;
  for (size_t count = 0; count < minority; ++count) {
    const uint64_t leader = cluster.leader();
    cluster.crash(leader);
    const uint64_t next = cluster.elect();
    cluster.propose(next, "after " + std::to_string(count));
    cluster.settle();
    EXPECT_EQ(cluster.texts(next).size(), count + 1);
  }
}

TEST_P(Conformance, CommittedEntriesSurviveThatAllCrash) {
  TestCluster cluster(options());
  std::vector<std::string> expected;
  for (int round = 0; round < 4; ++round) {
    const uint64_t leader = cluster.elect();
    for (int number = 0; number < 10; ++number) {
      expected.push_back(std::to_string(round) + "/" + std::to_string(number));
      cluster.propose(leader, expected.back());
    }
    cluster.settle();
    EXPECT_EQ(cluster.texts(leader), expected);
    for (uint64_t id = 1; id <= voters(); ++id) cluster.crash(id);
    for (uint64_t id = 1; id <= voters(); ++id) cluster.restart(id);
  }
  cluster.elect();
  cluster.settle();
  for (uint64_t id = 1; id <= voters(); ++id) EXPECT_EQ(cluster.texts(id), expected) << id;
}

TEST_P(Conformance, NothingIsCommittedWithoutAMajorityOfDisks) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const Index before = cluster.status(leader).committed;
  // Just enough disks stall that the others are no majority.
  size_t stalled = 0;
  for (uint64_t id = 1; id <= voters() && stalled < (voters() + 1) / 2; ++id, ++stalled) {
    cluster.node(id).disk_stalls = true;
  }
  cluster.propose(leader, "waits");
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before);
  for (uint64_t id = 1; id <= voters(); ++id) {
    cluster.node(id).disk_stalls = false;
    cluster.sync(id);
  }
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, before.next());
}

TEST_P(Conformance, AReadSeesEveryWriteThatWasAnswered) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "written");
  cluster.settle();
  const Index written = cluster.status(leader).committed;
  cluster.read(leader);
  cluster.settle();
  ASSERT_EQ(cluster.node(leader).reads.size(), 1U);
  EXPECT_GE(cluster.node(leader).reads[0].index, written);
}

TEST_P(ConformanceOfThree, ADeposedLeaderServesNoRead) {
  TestCluster cluster(options());
  const uint64_t old = cluster.elect();
  cluster.isolate(old);
  const ReadId stale = cluster.read(old);
  cluster.advance(5 * cluster.election_timeout());
  const uint64_t leader = cluster.leader();
  ASSERT_NE(leader, old);
  cluster.propose(leader, "new");
  cluster.settle();
  EXPECT_TRUE(cluster.node(old).reads.empty());
  cluster.heal();
  cluster.advance(2 * cluster.election_timeout());
  EXPECT_TRUE(cluster.node(old).reads.empty());
  ASSERT_EQ(cluster.node(old).refused.size(), 1U);
  EXPECT_EQ(std::get<ReadId>(cluster.node(old).refused[0].what), stale);
  EXPECT_EQ(cluster.texts(old), cluster.texts(leader));
}

TEST_P(ConformanceOfThree, AReadWaitsForANewLeadersFirstCommit) {
  TestCluster cluster(options());
  const uint64_t old = cluster.elect();
  // The followers hold the entry but do not know that it is committed.
  cluster.filter = [&](const Message& message) {
    return message.from != NodeId{old} || !message.entries.empty();
  };
  cluster.propose(old, "answered");
  cluster.settle();
  const Index answered = cluster.status(old).committed;
  EXPECT_EQ(cluster.texts(old).size(), 1U);
  cluster.filter = nullptr;
  cluster.network().clear();
  cluster.crash(old);
  const uint64_t heir = old == 1 ? 2 : 1;
  for (int attempt = 0; attempt < 100 && cluster.leader() == 0; ++attempt) {
    cluster.pass(2 * cluster.election_timeout());
    cluster.wake(heir);
    while (cluster.leader() == 0 && cluster.deliver_one()) {
    }
  }
  ASSERT_EQ(cluster.leader(), heir);
  cluster.read(heir);
  EXPECT_TRUE(cluster.node(heir).reads.empty());
  cluster.advance(cluster.election_timeout());
  ASSERT_EQ(cluster.node(heir).reads.size(), 1U);
  EXPECT_GE(cluster.node(heir).reads[0].index, answered);
}

TEST_P(ConformanceOfThree, AFollowerThatWasAwayCatchesUp) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t away = leader == 1 ? 2 : 1;
  cluster.crash(away);
  for (int number = 0; number < 100; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.restart(away);
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.texts(away).size(), 100U);
}

TEST_P(ConformanceOfThree, ASnapshotHelpsWhoNeedsDroppedEntries) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t away = leader == 1 ? 2 : 1;
  cluster.crash(away);
  for (int number = 0; number < 100; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.compact(leader, cluster.status(leader).committed.value - 10);
  EXPECT_EQ(cluster.status(leader).last - cluster.status(leader).first, 9U);
  cluster.restart(away);
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.node(away).installs, 1U);
  cluster.propose(cluster.leader(), "after");
  cluster.settle();
  EXPECT_EQ(cluster.texts(away).size(), 101U);
}

TEST_P(ConformanceOfThree, ARestartWithoutPayloadsInMemoryStillServesTheOthers) {
  TestOptions settings = options();
  settings.tail_entries = 3;
  TestCluster cluster(settings);
  const uint64_t leader = cluster.elect();
  const uint64_t away = leader == 1 ? 2 : 1;
  cluster.crash(away);
  for (int number = 0; number < 700; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  for (uint64_t id = 1; id <= voters(); ++id) cluster.restart(id);
  cluster.elect();
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.texts(away).size(), 700U);
  EXPECT_GT(cluster.node(cluster.leader()).fetches, 0U);
}

TEST_P(ConformanceOfThree, NobodyLeadsWhileAMajorityOfDisksStalls) {
  TestCluster cluster(options());
  const uint64_t old = cluster.elect();
  cluster.crash(old);
  // What they promise a candidate they must be able to remember.
  for (uint64_t id = 1; id <= voters(); ++id) cluster.node(id).disk_stalls = true;
  cluster.advance(10 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), 0U);
  for (uint64_t id = 1; id <= voters(); ++id) {
    cluster.node(id).disk_stalls = false;
    if (id != old) cluster.sync(id);
  }
  EXPECT_NE(cluster.elect(), old);
}

TEST_P(ConformanceOfThree, WhatWasNotDurableMayVanishButNothingThatWasDecided) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "decided");
  cluster.settle();
  for (uint64_t id = 1; id <= voters(); ++id) cluster.node(id).disk_stalls = true;
  cluster.propose(leader, "lost or not");
  cluster.settle();
  for (uint64_t id = 1; id <= voters(); ++id) cluster.crash(id);
  for (uint64_t id = 1; id <= voters(); ++id) {
    cluster.node(id).disk_stalls = false;
    cluster.restart(id);
  }
  const uint64_t next = cluster.elect();
  cluster.propose(next, "after");
  cluster.settle();
  const std::vector<std::string> found = cluster.texts(next);
  ASSERT_GE(found.size(), 2U);
  EXPECT_EQ(found.front(), "decided");
  EXPECT_EQ(found.back(), "after");
}

TEST_P(ConformanceOfThree, ARefusedProposalIsNeverApplied) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t other = leader == 1 ? 2 : 1;
  cluster.propose(other, "refused");
  ASSERT_EQ(cluster.node(other).refused.size(), 1U);
  cluster.crash(leader);
  cluster.elect();
  cluster.restart(leader);
  cluster.advance(3 * cluster.election_timeout());
  for (uint64_t id = 1; id <= voters(); ++id) EXPECT_TRUE(cluster.texts(id).empty()) << id;
}

TEST_P(ConformanceOfThree, MoreThanMayBeOpenIsRefusedAsBusy) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= voters(); ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  const std::string large(1'000'000, 'x');
  for (size_t sent = 0; sent <= kUncommittedBytesMax; sent += large.size()) {
    cluster.propose(leader, large);
  }
  ASSERT_FALSE(cluster.node(leader).refused.empty());
  EXPECT_EQ(cluster.node(leader).refused.back().why, Refusal::busy);
}

TEST_P(ConformanceOfThree, ReadsOfATurnAreAllAnswered) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  for (int number = 0; number < 100; ++number) {
    if (number % 10 == 0) cluster.propose(leader, std::to_string(number));
    cluster.read(leader);
  }
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.node(leader).reads.size(), 100U);
  EXPECT_TRUE(cluster.node(leader).refused.empty());
}

TEST_P(ConformanceOfThree, AQuietClusterKeepsItsLeader) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const Ballot ballot = cluster.status(leader).ballot;
  cluster.advance(50 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(cluster.status(leader).ballot, ballot);
}

TEST_P(ConformanceOfThree, WhoComesBackDoesNotDeposeAWorkingLeader) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t away = leader == 1 ? 2 : 1;
  cluster.isolate(away);
  cluster.advance(20 * cluster.election_timeout());
  ASSERT_EQ(cluster.leader(), leader);
  const Ballot ballot = cluster.status(leader).ballot;
  cluster.heal();
  cluster.advance(5 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(cluster.status(leader).ballot, ballot);
}

TEST_P(ConformanceOfThree, TheSameSeedLivesTheSameLife) {
  const auto life = [&] {
    TestOptions settings = options();
    settings.seed = 7;
    TestCluster cluster(settings);
    std::string told;
    for (int round = 0; round < 3; ++round) {
      const uint64_t leader = cluster.elect();
      cluster.propose(leader, std::to_string(round));
      cluster.settle();
      told += cluster.replica(leader).describe() + "\n";
      cluster.crash(leader);
      cluster.elect();
      cluster.restart(leader);
      cluster.advance(cluster.election_timeout());
    }
    for (uint64_t id = 1; id <= voters(); ++id) told += cluster.replica(id).describe() + "\n";
    return told;
  };
  EXPECT_EQ(life(), life());
}

TEST_P(ConformanceOfThree, ACopyGoesItsOwnWay) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const auto copy = cluster.replica(leader).clone();
  const std::string before = copy->describe();
  cluster.propose(leader, "only here");
  cluster.settle();
  EXPECT_EQ(copy->describe(), before);
  EXPECT_NE(cluster.replica(leader).describe(), before);
}

}  // namespace
}  // namespace quorate::consensus::testing
