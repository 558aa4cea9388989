// What every protocol behind the door owes its users, continued: transfers, snapshots, hints,
// members, learners, lost data.
#include <gtest/gtest.h>

#include "consensus/conformance.h"

namespace quorate::consensus::testing {
namespace {

class Service : public Conformance {
 protected:
  static uint64_t other_than(uint64_t first, uint64_t second = 0) {
    for (uint64_t id = 1;; ++id) {
      if (id != first && id != second) return id;
    }
  }
  static Members members_of(const Members& known, const std::vector<uint64_t>& voters,
                            const std::vector<uint64_t>& learners = {}) {
    Members members;
    for (const uint64_t id : voters) members.voters.push_back(*known.find(NodeId{id}));
    for (const uint64_t id : learners) members.learners.push_back(*known.find(NodeId{id}));
    return members;
  }
  static TestOptions with_learners(size_t learners) {
    TestOptions settings = options();
    settings.learners = learners;
    return settings;
  }
  std::vector<uint64_t> all_voters() const {
    std::vector<uint64_t> ids;
    for (uint64_t id = 1; id <= voters(); ++id) ids.push_back(id);
    return ids;
  }
  // Until the leader's configuration is this one and settled.
  static void await_members(TestCluster& cluster, const Members& wanted) {
    for (int attempt = 0; attempt < 100; ++attempt) {
      const uint64_t leader = cluster.leader();
      if (leader != 0) {
        const Members& found = cluster.replica(leader).members();
        const Status status = cluster.status(leader);
        const bool same = found.voters.size() == wanted.voters.size() &&
                          found.learners.size() == wanted.learners.size() && !found.joint();
        if (same && status.established && status.committed == status.last) return;
      }
      cluster.advance(cluster.heartbeat_interval());
    }
    FAIL() << "the change does not come to its end";
  }
};

INSTANTIATE_TEST_SUITE_P(AllProtocols, Service, ::testing::ValuesIn(settings_of({3, 5})),
                         name_of_setting);

// ---- Transfers.

TEST_P(Service, LeadershipGoesToWhoeverIsAskedFor) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "before");
  cluster.settle();
  const uint64_t heir = leader == voters() ? 1 : leader + 1;
  cluster.step(leader, TransferLead{NodeId{heir}});
  cluster.settle();
  cluster.advance(cluster.heartbeat_interval());
  ASSERT_EQ(cluster.leader(), heir) << "without waiting for anybody's patience to end";
  EXPECT_NE(cluster.status(leader).role, Role::leader);
  cluster.propose(heir, "after");
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  for (const uint64_t id : all_voters()) {
    EXPECT_EQ(cluster.texts(id), (std::vector<std::string>{"before", "after"})) << id;
  }
}

TEST_P(Service, WhatIsProposedDuringATransferIsRefusedOrApplied) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.step(leader, TransferLead{});
  const ProposalId proposal = cluster.propose(leader, "meanwhile");
  cluster.settle();
  cluster.advance(3 * cluster.election_timeout());
  bool refused = false;
  for (const Refused& it : cluster.node(leader).refused) {
    refused = refused || std::get<ProposalId>(it.what) == proposal;
  }
  EXPECT_EQ(cluster.texts(cluster.leader()).size(), refused ? 0U : 1U);
}

TEST_P(Service, ATransferToOneThatIsAwayComesToNothing) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t away = other_than(leader);
  cluster.isolate(away);
  cluster.step(leader, TransferLead{NodeId{away}});
  cluster.advance(3 * cluster.election_timeout());
  const uint64_t now = cluster.elect();
  EXPECT_NE(now, away);
  cluster.propose(now, "works");
  cluster.settle();
  EXPECT_EQ(cluster.texts(now), std::vector<std::string>{"works"});
}

// ---- Hints.

TEST_P(Service, ABrokenConnectionHastensTheNextElection) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.crash(leader);
  for (const uint64_t id : all_voters()) {
    if (id != leader) cluster.step(id, Disconnected{NodeId{leader}});
  }
  cluster.advance(cluster.election_timeout() / 2);
  EXPECT_NE(cluster.leader(), 0U);
}

TEST_P(Service, OneBrokenConnectionDeposesNobody) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const Ballot ballot = cluster.status(leader).ballot;
  cluster.advance(cluster.heartbeat_interval());
  cluster.step(other_than(leader), Disconnected{NodeId{leader}});
  cluster.step(leader, Disconnected{NodeId{other_than(leader)}});
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(cluster.status(leader).ballot, ballot);
}

// ---- Snapshots.

TEST_P(Service, EverybodyCompactsAndGoesOn) {
  TestCluster cluster(options());
  std::vector<std::string> expected;
  for (int round = 0; round < 5; ++round) {
    const uint64_t leader = cluster.elect();
    for (int number = 0; number < 20; ++number) {
      expected.push_back(std::to_string(round) + "/" + std::to_string(number));
      cluster.propose(leader, expected.back());
    }
    cluster.settle();
    cluster.advance(2 * cluster.heartbeat_interval());
    for (const uint64_t id : all_voters()) {
      cluster.compact(id, cluster.node(id).applied.size());
      EXPECT_EQ(cluster.status(id).first, cluster.status(id).last.next()) << id;
    }
    cluster.crash(leader);
    cluster.elect();
    cluster.restart(leader);
    cluster.advance(2 * cluster.election_timeout());
  }
  for (const uint64_t id : all_voters()) EXPECT_EQ(cluster.texts(id), expected) << id;
}

TEST_P(Service, AnOlderSnapshotThanTheLogIsIgnored) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  for (int number = 0; number < 20; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  const uint64_t other = other_than(leader);
  SnapshotMeta old{Index{5},
                   {cluster.node(leader).applied[4].ballot.round, {}},
                   encode_members(cluster.founding())};
  cluster.step(other, SnapshotArrived{NodeId{leader}, old});
  EXPECT_EQ(cluster.node(other).installs, 0U);
  EXPECT_EQ(cluster.texts(other).size(), 20U);
}

TEST_P(Service, AFailedSnapshotIsTriedAgain) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t away = other_than(leader);
  cluster.crash(away);
  for (int number = 0; number < 50; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.compact(leader, cluster.node(leader).applied.size());
  cluster.answer_snapshots(false);
  cluster.restart(away);
  cluster.advance(2 * cluster.election_timeout());
  ASSERT_FALSE(cluster.node(leader).snapshots.empty());
  cluster.node(leader).snapshots.clear();
  cluster.step(leader, SnapshotSent{NodeId{away}, {}, false});
  cluster.answer_snapshots(true);
  cluster.advance(5 * cluster.election_timeout());
  EXPECT_EQ(cluster.texts(away).size(), 50U);
}

// ---- Members.

TEST_P(Service, LearnersFollowButDecideNothing) {
  TestCluster cluster(with_learners(2));
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "for all");
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  for (uint64_t id = voters() + 1; id <= voters() + 2; ++id) {
    EXPECT_EQ(cluster.texts(id), std::vector<std::string>{"for all"});
    EXPECT_EQ(cluster.status(id).role, Role::learner);
  }
  // With a minority of the voters they are no majority.
  for (uint64_t id = 1; id <= voters(); ++id) {
    if (id > (voters() - 1) / 2) cluster.crash(id);
  }
  cluster.advance(10 * cluster.election_timeout());
  const uint64_t somebody = cluster.leader();
  if (somebody != 0) {
    const Index before = cluster.status(somebody).committed;
    cluster.propose(somebody, "too few");
    cluster.settle();
    EXPECT_EQ(cluster.status(somebody).committed, before);
  }
}

TEST_P(Service, ALearnerBecomesAVoterAndCounts) {
  TestCluster cluster(with_learners(1));
  const uint64_t leader = cluster.elect();
  const uint64_t learner = voters() + 1;
  std::vector<uint64_t> grown = all_voters();
  grown.push_back(learner);
  cluster.propose_members(leader, members_of(cluster.founding(), grown));
  await_members(cluster, members_of(cluster.founding(), grown));
  cluster.propose(leader, "of more");
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.texts(learner), std::vector<std::string>{"of more"});
  EXPECT_NE(cluster.status(learner).role, Role::learner);
  // Half of the new configuration decides nothing.
  for (uint64_t id = 1; id <= (voters() + 1) / 2; ++id) cluster.crash(id);
  cluster.advance(10 * cluster.election_timeout());
  const uint64_t somebody = cluster.leader();
  if (somebody != 0) {
    const Index before = cluster.status(somebody).committed;
    cluster.propose(somebody, "too few");
    cluster.settle();
    EXPECT_EQ(cluster.status(somebody).committed, before);
  }
}

TEST_P(Service, ARemovedMemberDisturbsNobody) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t leaver = other_than(leader);
  std::vector<uint64_t> left = all_voters();
  std::erase(left, leaver);
  cluster.propose_members(leader, members_of(cluster.founding(), left));
  await_members(cluster, members_of(cluster.founding(), left));
  const uint64_t now = cluster.leader();
  const Ballot ballot = cluster.status(now).ballot;
  cluster.advance(20 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), now);
  EXPECT_EQ(cluster.status(now).ballot, ballot);
}

TEST_P(Service, ALeaderThatRemovesItselfHandsOver) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  std::vector<uint64_t> left = all_voters();
  std::erase(left, leader);
  cluster.propose_members(leader, members_of(cluster.founding(), left));
  cluster.settle();
  cluster.advance(5 * cluster.election_timeout());
  const uint64_t next = cluster.elect();
  EXPECT_NE(next, leader);
  cluster.propose(next, "without it");
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  for (const uint64_t id : left) {
    EXPECT_EQ(cluster.texts(id), std::vector<std::string>{"without it"}) << id;
  }
}

TEST_P(Service, SeveralVotersAreReplacedAtOnce) {
  TestCluster cluster(with_learners(2));
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "old");
  cluster.settle();
  std::vector<uint64_t> next;
  for (uint64_t id = 3; id <= voters() + 2; ++id) next.push_back(id);
  cluster.propose_members(leader, members_of(cluster.founding(), next));
  await_members(cluster, members_of(cluster.founding(), next));
  const uint64_t now = cluster.elect();
  cluster.propose(now, "new");
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  for (const uint64_t id : next) {
    EXPECT_EQ(cluster.texts(id), (std::vector<std::string>{"old", "new"})) << id;
  }
}

TEST_P(Service, OneChangeOfMembersAtATime) {
  TestCluster cluster(with_learners(2));
  const uint64_t leader = cluster.elect();
  cluster.filter = [](const Message& message) { return message.entries.empty(); };
  std::vector<uint64_t> first = all_voters();
  first.push_back(voters() + 1);
  std::vector<uint64_t> second = all_voters();
  second.push_back(voters() + 2);
  cluster.propose_members(leader, members_of(cluster.founding(), first, {voters() + 2}));
  cluster.propose_members(leader, members_of(cluster.founding(), second, {voters() + 1}));
  ASSERT_EQ(cluster.node(leader).refused.size(), 1U);
  EXPECT_EQ(cluster.node(leader).refused[0].why, Refusal::busy);
}

TEST_P(Service, AChangeOutlivesItsLeader) {
  TestCluster cluster(with_learners(1));
  const uint64_t leader = cluster.elect();
  std::vector<uint64_t> grown = all_voters();
  grown.push_back(voters() + 1);
  cluster.propose_members(leader, members_of(cluster.founding(), grown));
  cluster.settle();
  cluster.crash(leader);
  const uint64_t next = cluster.elect();
  cluster.propose(next, "goes on");
  cluster.settle();
  for (uint64_t id = 1; id <= voters() + 1; ++id) {
    if (cluster.node(id).replica == nullptr) continue;
    cluster.restart(id);
  }
  cluster.elect();
  cluster.restart(leader);
  cluster.advance(3 * cluster.election_timeout());
  EXPECT_EQ(cluster.replica(cluster.leader()).members().voters.size(), voters() + 1);
  EXPECT_EQ(cluster.texts(voters() + 1), std::vector<std::string>{"goes on"});
}

// ---- Lost data (docs/decisions/0004).

TEST_P(Service, WhoLostItsDataDecidesNothingUntilItIsReadmitted) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "acknowledged");
  cluster.settle();
  // Everybody but the leader forgets: nobody may lead without it.
  for (const uint64_t id : all_voters()) {
    if (id != leader) cluster.crash(id);
  }
  cluster.crash(leader);
  for (const uint64_t id : all_voters()) {
    if (id != leader) cluster.wipe_and_restart(id);
  }
  cluster.advance(20 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), 0U) << "an acknowledged entry would have been lost";
}

TEST_P(Service, OnceReadmittedItTakesPartAsBefore) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "kept");
  cluster.settle();
  const uint64_t wiped = other_than(leader);
  cluster.wipe_and_restart(wiped);
  cluster.advance(5 * cluster.election_timeout());
  const Member* admitted = cluster.replica(cluster.leader()).members().find(NodeId{wiped});
  ASSERT_NE(admitted, nullptr);
  EXPECT_EQ(admitted->incarnation, cluster.node(wiped).incarnation);
  cluster.crash(cluster.leader());
  const uint64_t next = cluster.elect();
  cluster.propose(next, "after");
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.texts(wiped), (std::vector<std::string>{"kept", "after"}));
}

TEST_P(Service, WhatADiskLostComesBackFromTheOthers) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  for (int number = 0; number < 10; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.advance(2 * cluster.heartbeat_interval());
  const uint64_t hurt = other_than(leader);
  cluster.crash(hurt);
  cluster.rot(hurt, 4);
  cluster.rot(hurt, 7);
  cluster.restart(hurt);
  cluster.advance(5 * cluster.election_timeout());
  EXPECT_EQ(cluster.status(hurt).damaged, 0U);
  EXPECT_TRUE(cluster.node(hurt).disk.damaged.empty());
  EXPECT_EQ(cluster.texts(hurt).size(), 10U);
}

}  // namespace
}  // namespace quorate::consensus::testing
