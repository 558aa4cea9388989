// Ballots, phases, holes and configurations, rule by rule: most of these tests are what notices a
// planted bug of the catalogue (X.. in base/mutants.def).
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "consensus/paxos/wire.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::paxos {
namespace {

using testing::TestCluster;
using testing::TestOptions;

TestOptions options(size_t voters = 3, size_t learners = 0) {
  TestOptions options;
  options.protocol = Protocol::multi_paxos;
  options.voters = voters;
  options.learners = learners;
  return options;
}

uint64_t other_than(uint64_t first, uint64_t second = 0) {
  for (uint64_t id = 1;; ++id) {
    if (id != first && id != second) return id;
  }
}

Message say(uint64_t from, uint64_t to, const Ballot& promised, Body body,
            std::vector<Entry> entries = {}) {
  Message message;
  message.from = NodeId{from};
  message.to = NodeId{to};
  message.head = encode_head({promised, 0, false, std::move(body)});
  message.entries = std::move(entries);
  return message;
}

Entry command(uint64_t index, const Ballot& ballot, const std::string& text) {
  return {Index{index}, ballot, EntryKind::command, {NodeId{9}, index}, Bytes(text)};
}

bool is_kind(const Message& message, std::string_view kind) {
  return message_kind(Protocol::multi_paxos, message) == kind;
}

size_t count(TestCluster& cluster, uint64_t from, std::string_view kind) {
  const auto sent = [&](const Message& message) {
    return message.from == NodeId{from} && is_kind(message, kind);
  };
  return static_cast<size_t>(std::ranges::count_if(cluster.network(), sent));
}

// A member that prepares a ballot, with nobody else to hear it. Answers are ours to make up.
uint64_t preparing(TestCluster& cluster) {
  const uint64_t leader = cluster.elect();
  const uint64_t id = other_than(leader);
  for (uint64_t other = 1; other <= cluster.founding().voters.size(); ++other) {
    cluster.isolate(other);
  }
  cluster.pass(3 * cluster.election_timeout());
  cluster.wake(id);
  cluster.network().clear();
  return id;
}

TestOptions without_asking(size_t voters) {
  TestOptions settings = options(voters);
  settings.pre_vote = false;
  return settings;
}

Promise complete(Index from, Index through, Index committed) {
  return {true, true, from, through, committed, Index{1}, {}};
}

// ---- Ballots and promises.

TEST(PaxosBallot, APromiseToAnEarlierBallotDoesNotCount) {
  TestCluster cluster(without_asking(3));
  const uint64_t id = preparing(cluster);
  const Ballot first = cluster.status(id).ballot;
  const Index from = cluster.status(id).committed.next();
  ASSERT_EQ(first.node, NodeId{id});
  cluster.pass(3 * cluster.election_timeout());
  cluster.wake(id);
  const Ballot second = cluster.status(id).ballot;
  ASSERT_GT(second, first);
  const uint64_t other = other_than(id);
  const Promise promise = complete(from, from.previous(), from.previous());
  cluster.step(id, Receive{say(other, id, first, promise)});
  EXPECT_NE(cluster.status(id).role, Role::leader);
  cluster.step(id, Receive{say(other, id, second, promise)});
  EXPECT_EQ(cluster.status(id).role, Role::leader);
}

TEST(PaxosBallot, TheBallotIsDurableBeforeItIsUsed) {
  TestCluster cluster(without_asking(3));
  const uint64_t leader = cluster.elect();
  const uint64_t id = other_than(leader);
  cluster.crash(leader);
  cluster.node(id).disk_stalls = true;
  cluster.pass(3 * cluster.election_timeout());
  cluster.wake(id);
  EXPECT_EQ(count(cluster, id, "prepare"), 0U);
  cluster.sync(id);
  EXPECT_EQ(count(cluster, id, "prepare"), 2U);
}

TEST(PaxosBallot, APromiseLeavesOnceItIsDurable) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t acceptor = other_than(leader);
  const uint64_t proposer = other_than(leader, acceptor);
  cluster.crash(leader);
  cluster.pass(3 * cluster.election_timeout());
  cluster.node(acceptor).disk_stalls = true;
  const Ballot ballot{50, NodeId{proposer}};
  cluster.step(acceptor, Receive{say(proposer, acceptor, ballot, Prepare{false, Index{1}})});
  EXPECT_EQ(count(cluster, acceptor, "promise"), 0U);
  cluster.sync(acceptor);
  EXPECT_EQ(count(cluster, acceptor, "promise"), 1U);
}

TEST(PaxosBallot, AnAcceptanceIsToldOnceItIsDurable) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t acceptor = other_than(leader);
  cluster.node(acceptor).disk_stalls = true;
  cluster.propose(leader, "slow");
  for (int turn = 0; turn < 4; ++turn) cluster.deliver_one();
  EXPECT_EQ(count(cluster, acceptor, "accepted"), 0U);
  cluster.sync(acceptor);
  EXPECT_EQ(count(cluster, acceptor, "accepted"), 1U);
}

TEST(PaxosBallot, NothingIsPromisedOrAcceptedBelowAPromise) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t acceptor = other_than(leader);
  const uint64_t proposer = other_than(leader, acceptor);
  const Ballot old = cluster.status(leader).ballot;
  const Index last = cluster.status(acceptor).last;
  cluster.crash(leader);
  cluster.pass(3 * cluster.election_timeout());
  const Ballot high{50, NodeId{proposer}};
  cluster.step(acceptor, Receive{say(proposer, acceptor, high, Prepare{false, Index{1}})});
  ASSERT_EQ(cluster.status(acceptor).ballot, high);
  const Accept accept{last.next(), Index{1}, last};
  cluster.step(acceptor,
               Receive{say(leader, acceptor, old, accept, {command(last.value + 1, old, "late")})});
  EXPECT_EQ(cluster.status(acceptor).last, last);
  cluster.step(acceptor,
               Receive{say(leader, acceptor, {49, NodeId{leader}}, Prepare{true, Index{1}})});
  EXPECT_EQ(cluster.status(acceptor).ballot, high);
  // Nor after a restart.
  cluster.restart(acceptor);
  cluster.step(acceptor,
               Receive{say(leader, acceptor, {49, NodeId{leader}}, Prepare{true, Index{1}})});
  EXPECT_EQ(cluster.status(acceptor).ballot, high);
}

TEST(PaxosBallot, WhoLosesADuelWaits) {
  TestCluster cluster(without_asking(3));
  const uint64_t id = preparing(cluster);
  const Ballot higher{cluster.status(id).ballot.round + 1, NodeId{other_than(id)}};
  for (uint64_t other = 1; other <= 3; ++other) {
    if (other != id) cluster.step(id, Receive{say(other, id, higher, Promise{})});
  }
  EXPECT_EQ(cluster.status(id).role, Role::follower);
  EXPECT_GE(cluster.replica(id).deadline(), cluster.now() + cluster.heartbeat_interval());
}

// ---- Phase 1 and holes.

TEST(PaxosPrepare, TheValueOfTheHighestBallotIsProposedAgain) {
  for (const bool newest_first : {false, true}) {
    TestCluster cluster(without_asking(5));
    const uint64_t id = preparing(cluster);
    const Ballot ballot = cluster.status(id).ballot;
    const Index slot = cluster.status(id).committed.next();
    std::vector<std::pair<uint64_t, Entry>> told;
    const uint64_t first = other_than(id);
    const uint64_t second = other_than(id, first);
    told.emplace_back(first, command(slot.value, {1, NodeId{first}}, "older"));
    told.emplace_back(second, command(slot.value, {1, NodeId{second}}, "newer"));
    if (newest_first) std::ranges::reverse(told);
    for (const auto& [from, entry] : told) {
      cluster.step(id,
                   Receive{say(from, id, ballot, complete(slot, slot, slot.previous()), {entry})});
    }
    ASSERT_EQ(cluster.status(id).role, Role::leader);
    ASSERT_NE(cluster.replica(id).find(slot), nullptr);
    EXPECT_EQ(cluster.replica(id).find(slot)->data.str(), "newer");
    EXPECT_EQ(cluster.replica(id).find(slot)->ballot, ballot);
  }
}

TEST(PaxosPrepare, HolesAreFilledBeforeAnythingIsServed) {
  TestCluster cluster(without_asking(3));
  const uint64_t id = preparing(cluster);
  const Ballot ballot = cluster.status(id).ballot;
  const Index slot = cluster.status(id).committed.next();
  const uint64_t other = other_than(id);
  const Entry behind = command(slot.value + 2, {1, NodeId{other}}, "behind the holes");
  cluster.step(
      id, Receive{say(other, id, ballot, complete(slot, behind.index, slot.previous()), {behind})});
  ASSERT_EQ(cluster.status(id).role, Role::leader);
  for (const uint64_t hole : {slot.value, slot.value + 1}) {
    const Entry* filled = cluster.replica(id).find(Index{hole});
    ASSERT_NE(filled, nullptr);
    EXPECT_EQ(filled->kind, EntryKind::noop);
  }
  EXPECT_FALSE(cluster.status(id).established);
  const ReadId read = cluster.read(id);
  static_cast<void>(read);
  EXPECT_TRUE(cluster.node(id).reads.empty());
}

TEST(PaxosPrepare, WhatAnotherKnowsAsDecidedIsLearnedAndNotProposed) {
  TestCluster cluster(without_asking(3));
  const uint64_t id = preparing(cluster);
  const Ballot ballot = cluster.status(id).ballot;
  const Index slot = cluster.status(id).committed.next();
  const uint64_t other = other_than(id);
  const Entry decided = command(slot.value, {1, NodeId{other}}, "decided");
  cluster.node(id).disk_stalls = true;
  cluster.step(id, Receive{say(other, id, ballot, complete(slot, slot, slot), {decided})});
  EXPECT_EQ(cluster.status(id).committed, slot);
  EXPECT_EQ(cluster.replica(id).find(slot)->ballot, decided.ballot);
}

TEST(PaxosPrepare, ASlotThatOthersHaveOnlyTheStateOfIsNoHole) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t away = other_than(leader);
  const uint64_t third = other_than(leader, away);
  cluster.isolate(away);
  for (int number = 0; number < 20; ++number) cluster.propose(leader, std::to_string(number));
  cluster.settle();
  cluster.advance(cluster.heartbeat_interval());
  cluster.compact(third, cluster.status(third).committed.value);
  cluster.crash(leader);
  cluster.heal();
  cluster.make_leader(away);
  cluster.propose(away, "after");
  cluster.settle();
  EXPECT_EQ(cluster.texts(away).size(), 21U);
  EXPECT_EQ(cluster.node(away).installs, 1U);
}

// ---- Phase 2 and learning.

TEST(PaxosAccept, SlotsAreAcceptedOutOfOrderAndExposedInOrder) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const Index before = cluster.status(leader).committed;
  cluster.filter = [](const Message& message) { return !is_kind(message, "accept"); };
  cluster.propose(leader, "first");
  cluster.settle();
  cluster.filter = nullptr;
  cluster.propose(leader, "second");
  cluster.settle();
  const uint64_t follower = other_than(leader);
  EXPECT_EQ(cluster.status(follower).last, before + 2);
  EXPECT_EQ(cluster.replica(follower).find(before.next()), nullptr);
  EXPECT_EQ(cluster.status(leader).committed, before);
  EXPECT_TRUE(cluster.texts(leader).empty());
  size_t again = 0;
  cluster.filter = [&](const Message& message) {
    if (is_kind(message, "accept")) again += message.entries.size();
    return true;
  };
  cluster.advance(10 * cluster.heartbeat_interval());
  const std::vector<std::string> expected{"first", "second"};
  for (uint64_t id = 1; id <= 3; ++id) EXPECT_EQ(cluster.texts(id), expected);
  EXPECT_EQ(again, 2U) << "only what was missing is sent again, to each follower";
}

// Each acknowledgement of a later slot is good news, but none of the slot that was lost.
TEST(PaxosAccept, WhatWasLostIsSentAgainThoughProposalsGoOnBehindIt) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.filter = [](const Message& message) { return !is_kind(message, "accept"); };
  cluster.propose(leader, "lost");
  cluster.settle();
  cluster.filter = nullptr;
  for (size_t beat = 1; beat <= 20; ++beat) {
    cluster.propose(leader, "behind");
    cluster.advance(cluster.heartbeat_interval());
  }
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_GE(cluster.texts(id).size(), 20U) << "member " << id;
    EXPECT_EQ(cluster.texts(id).front(), "lost");
  }
}

TEST(PaxosLearn, AnAnnouncementProvesNothingOfASlotAcceptedAtAnotherBallot) {
  TestCluster cluster(options());
  const uint64_t old = cluster.elect();
  const uint64_t follower = other_than(old);
  const uint64_t next = other_than(old, follower);
  const Index before = cluster.status(follower).committed;
  // Only the follower accepts this, and it is never chosen.
  cluster.filter = [&](const Message& message) {
    return !is_kind(message, "accept") || message.to == NodeId{follower};
  };
  cluster.cut(follower, old);
  cluster.propose(old, "never chosen");
  cluster.settle();
  cluster.filter = nullptr;
  cluster.crash(old);
  cluster.pass(3 * cluster.election_timeout());
  ASSERT_EQ(cluster.status(follower).last, before.next());
  const Ballot ballot{50, NodeId{next}};
  const Heartbeat news{false, before.next(), before.next(), 0};
  cluster.step(follower, Receive{say(next, follower, ballot, news)});
  EXPECT_EQ(cluster.status(follower).committed, before);
  const Accept accept{before.next(), Index{1}, before.next()};
  cluster.step(follower, Receive{say(next, follower, ballot, accept,
                                     {command(before.value + 1, ballot, "chosen")})});
  EXPECT_EQ(cluster.status(follower).committed, before.next());
}

// ---- Configurations.

Members of(std::initializer_list<uint64_t> voters, std::initializer_list<uint64_t> learners = {}) {
  Members members;
  for (const uint64_t id : voters) {
    members.voters.push_back({NodeId{id}, 0, Bytes("node" + std::to_string(id))});
  }
  for (const uint64_t id : learners) {
    members.learners.push_back({NodeId{id}, 0, Bytes("node" + std::to_string(id))});
  }
  return members;
}

TEST(PaxosMembers, NothingIsProposedBehindAConfigurationThatIsNotDecided) {
  TestCluster cluster(options(3, 1));
  const uint64_t leader = cluster.elect();
  for (uint64_t id = 1; id <= 4; ++id) {
    if (id != leader) cluster.cut(id, leader);
  }
  cluster.propose_members(leader, of({1, 2, 3, 4}));
  const Index stop = cluster.status(leader).last;
  cluster.propose(leader, "behind");
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).last, stop);
  EXPECT_TRUE(cluster.node(leader).refused.empty()) << "it waits";
  cluster.heal();
  cluster.advance(5 * cluster.heartbeat_interval());
  EXPECT_EQ(cluster.texts(leader), std::vector<std::string>{"behind"});
  EXPECT_TRUE(cluster.replica(leader).members().is_voter(NodeId{4}));
}

TEST(PaxosMembers, EachSlotNeedsAQuorumOfItsOwnConfiguration) {
  TestCluster cluster(options(3, 2));
  const uint64_t leader = cluster.elect();
  cluster.advance(cluster.heartbeat_interval());
  const uint64_t away = other_than(leader);
  for (const uint64_t id : {away, uint64_t{4}, uint64_t{5}}) cluster.isolate(id);
  cluster.propose_members(leader, of({1, 2, 3, 4, 5}));
  cluster.settle();
  const Index stop = cluster.status(leader).committed;
  ASSERT_EQ(cluster.replica(leader).members().voters.size(), 5U) << "two of three decide that";
  cluster.propose(leader, "two of five");
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).committed, stop);
  EXPECT_TRUE(cluster.texts(leader).empty());
}

TEST(PaxosMembers, AConfigurationThatWasOverruledIsVoid) {
  for (const bool overruled : {true, false}) {
    TestCluster cluster(without_asking(3));
    const uint64_t id = preparing(cluster);
    const Ballot ballot = cluster.status(id).ballot;
    const Index slot = cluster.status(id).committed.next();
    const uint64_t other = other_than(id);
    const Ballot of_stop{1, NodeId{2}};
    const Ballot above{1, NodeId{overruled ? 3U : 1U}};
    const Entry stop{slot, of_stop, EntryKind::members, {}, encode_members(of({1, 2}))};
    const Entry behind = command(slot.value + 1, above, "behind");
    cluster.step(id, Receive{say(other, id, ballot, complete(slot, slot.next(), slot.previous()),
                                 {stop, behind})});
    ASSERT_EQ(cluster.status(id).role, Role::leader);
    EXPECT_EQ(cluster.replica(id).find(slot)->kind,
              overruled ? EntryKind::noop : EntryKind::members);
    // And nothing is proposed behind one that still stands.
    EXPECT_EQ(cluster.status(id).last, overruled ? slot + 2 : slot);
  }
}

// The leader of the old voters comes late: the new ones have decided slots of their own, and say
// so.
void new_voters_say(bool decided) {
  TestOptions settings = without_asking(3);
  settings.learners = 2;
  TestCluster cluster(settings);
  const uint64_t id = preparing(cluster);
  const Ballot ballot = cluster.status(id).ballot;
  const Index slot = cluster.status(id).committed.next();
  const uint64_t other = other_than(id);
  // Somebody else has put this there, and may have gone on behind it with the new voters.
  const Entry stop{
      slot, {1, NodeId{other}}, EntryKind::members, {}, encode_members(of({id, 4, 5}))};
  cluster.step(id, Receive{say(other, id, ballot, complete(slot, slot, slot.previous()), {stop})});
  ASSERT_EQ(cluster.status(id).role, Role::leader);
  cluster.network().clear();
  cluster.step(id, Receive{say(other, id, ballot, Accepted{slot, {}})});
  ASSERT_EQ(cluster.status(id).committed, slot);
  EXPECT_EQ(count(cluster, id, "prepare"), 2U);
  EXPECT_EQ(cluster.status(id).last, slot);
  const Index told = decided ? slot.next() : slot;
  const Entry found = command(slot.value + 1, {1, NodeId{5}}, "behind");
  cluster.step(id, Receive{say(4, id, ballot, complete(slot.next(), slot.next(), told), {found})});
  ASSERT_EQ(cluster.status(id).last, slot + 2);
  EXPECT_EQ(cluster.replica(id).find(slot.next())->data.str(), "behind");
}

TEST(PaxosMembers, AQuorumOfTheNewConfigurationMustPromiseBeforeItsSlotsAreProposedIn) {
  new_voters_say(false);
}

TEST(PaxosMembers, WhatTheNewVotersHaveDecidedMeanwhileIsProposedAgain) { new_voters_say(true); }

// Each re-admission is a new configuration, whose voters must have promised, and a life that is
// over promises nothing: both are asked again, by the same leader.
TEST(PaxosMembers, OneAfterAnotherLosesItsDataAndTheLeaderGoesOn) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const Ballot ballot = cluster.status(leader).ballot;
  const uint64_t first = other_than(leader);
  for (const uint64_t lost : {first, other_than(leader, first)}) {
    cluster.propose(leader, "before");
    cluster.settle();
    cluster.wipe_and_restart(lost);
    cluster.advance(10 * cluster.heartbeat_interval());
    EXPECT_FALSE(cluster.replica(lost).describe().contains("amnesiac"));
  }
  cluster.propose(leader, "after");
  cluster.settle();
  EXPECT_EQ(cluster.status(leader).ballot, ballot);
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_FALSE(cluster.texts(id).empty());
    EXPECT_EQ(cluster.texts(id).back(), "after");
  }
}

TEST(PaxosMembers, AllVotersAreReplacedInOneStep) {
  TestCluster cluster(options(2, 3));
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "before");
  cluster.settle();
  cluster.propose_members(leader, of({3, 4, 5}, {1, 2}));
  cluster.advance(5 * cluster.election_timeout());
  const uint64_t next = cluster.leader();
  ASSERT_GE(next, 3U);
  cluster.propose(next, "after");
  cluster.advance(cluster.election_timeout());
  const std::vector<std::string> expected{"before", "after"};
  for (uint64_t id = 1; id <= 5; ++id) EXPECT_EQ(cluster.texts(id), expected) << id;
}

// ---- Leases.

TEST(PaxosLease, ARestartDoesNotForgetThatAPromiseMayHaveBeenGiven) {
  TestOptions settings = options();
  settings.lease_reads = true;
  TestCluster cluster(settings);
  const uint64_t leader = cluster.elect();
  const uint64_t follower = other_than(leader);
  const uint64_t rival = other_than(leader, follower);
  const Ballot before = cluster.status(follower).ballot;
  cluster.restart(follower);
  const Ballot ballot{50, NodeId{rival}};
  cluster.step(follower, Receive{say(rival, follower, ballot, Prepare{false, Index{1}})});
  EXPECT_EQ(cluster.status(follower).ballot, before);
  cluster.pass(2 * cluster.election_timeout());
  cluster.step(follower, Receive{say(rival, follower, ballot, Prepare{false, Index{1}})});
  EXPECT_EQ(cluster.status(follower).ballot, ballot);
}

TEST(PaxosLease, AReadNeedsNoRoundWhileItHolds) {
  TestOptions settings = options();
  settings.lease_reads = true;
  TestCluster cluster(settings);
  const uint64_t leader = cluster.elect();
  cluster.advance(3 * cluster.heartbeat_interval());
  cluster.read(leader);
  EXPECT_EQ(cluster.node(leader).reads.size(), 1U);
}

// ---- Who leads.

// Every way in which up to five members can be connected so that somebody sees a quorum.
class Topology {
 public:
  Topology(size_t voters, uint64_t edges) : voters_(voters) {
    for (size_t one = 0; one < voters; ++one) {
      for (size_t other = one + 1; other < voters; ++other, edges >>= 1U) {
        if ((edges & 1U) != 0) linked_[one][other] = linked_[other][one] = true;
      }
    }
  }
  bool connected() const {
    std::vector<size_t> reached{0};
    for (size_t place = 0; place < reached.size(); ++place) {
      for (size_t other = 0; other < voters_; ++other) {
        const bool known = std::ranges::find(reached, other) != reached.end();
        if (linked_[reached[place]][other] && !known) reached.push_back(other);
      }
    }
    return reached.size() == voters_;
  }
  bool sees_quorum(size_t member) const {
    size_t seen = 1;
    for (size_t other = 0; other < voters_; ++other) seen += linked_[member][other] ? 1U : 0U;
    return seen > voters_ / 2;
  }
  bool somebody_sees_quorum() const {
    for (size_t member = 0; member < voters_; ++member) {
      if (sees_quorum(member)) return true;
    }
    return false;
  }
  void cut(TestCluster& cluster) const {
    for (size_t one = 0; one < voters_; ++one) {
      for (size_t other = 0; other < voters_; ++other) {
        if (one != other && !linked_[one][other]) cluster.cut(one + 1, other + 1);
      }
    }
  }

 private:
  size_t voters_;
  bool linked_[5][5] = {};
};

// Nobody may lead but those who see a quorum; with `stale`, they also lack what the others decided
// last. That is where no member of a Raft cluster could win an election.
size_t play_topologies(size_t voters, bool stale) {
  size_t played = 0;
  const uint64_t edges = voters * (voters - 1) / 2;
  for (uint64_t graph = 0; graph < uint64_t{1} << edges; ++graph) {
    const Topology topology(voters, graph);
    if (!topology.connected() || !topology.somebody_sees_quorum()) continue;
    TestOptions settings = options(voters);
    settings.seed = graph + 1;
    TestCluster cluster(settings);
    cluster.elect();
    size_t away = 0;
    for (size_t member = 0; member < voters && stale; ++member) {
      if (!topology.sees_quorum(member) || away == (voters - 1) / 2) continue;
      cluster.isolate(member + 1);
      ++away;
    }
    if (stale) cluster.advance(4 * cluster.election_timeout());
    cluster.propose(cluster.elect(), "before");
    cluster.settle();
    cluster.heal();
    topology.cut(cluster);
    cluster.advance(4 * cluster.election_timeout());
    const uint64_t leader = cluster.leader();
    EXPECT_NE(leader, 0U) << voters << " members, graph " << graph;
    if (leader == 0) continue;
    cluster.propose(leader, "after");
    cluster.advance(cluster.heartbeat_interval());
    EXPECT_EQ(cluster.texts(leader).size(), 2U) << voters << " members, graph " << graph;
    ++played;
  }
  return played;
}

TEST(PaxosTopology, WhereverSomebodySeesAQuorumSomebodyLeads) {
  EXPECT_EQ(play_topologies(3, false), 4U);
  EXPECT_GT(play_topologies(4, false) + play_topologies(5, false), 500U);
}

TEST(PaxosTopology, AlsoWhereOnlyThoseSeeAQuorumWhoLackWhatWasDecided) {
  EXPECT_EQ(play_topologies(3, true), 4U);
  EXPECT_GT(play_topologies(4, true) + play_topologies(5, true), 500U);
}

TEST(PaxosElection, ALivingLeaderIsLeftAloneByWhoCannotHearIt) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const Ballot ballot = cluster.status(leader).ballot;
  const uint64_t deaf = other_than(leader);
  cluster.cut(leader, deaf);
  cluster.cut(deaf, leader);
  cluster.advance(20 * cluster.election_timeout());
  EXPECT_EQ(cluster.leader(), leader);
  EXPECT_EQ(cluster.status(leader).ballot, ballot);
}

// Those of `knowing` know the slot as decided, and lose it; the others have accepted it at a ballot
// before the leader's, so they cannot know that it is, and do not give it back.
void lose_what_others_need(bool two_know) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  cluster.advance(2 * cluster.heartbeat_interval());
  const uint64_t holder = other_than(leader);
  const uint64_t third = other_than(leader, holder);
  if (!two_know) cluster.isolate(third);
  bool silent = false;
  cluster.filter = [&](const Message& message) {
    const bool told = two_know && message.to == NodeId{third};
    return !silent || message.from != NodeId{leader} || told;
  };
  cluster.propose(leader, "decided");
  const Index slot = cluster.status(leader).last;
  silent = true;
  cluster.settle();
  ASSERT_EQ(cluster.status(leader).committed, slot);
  ASSERT_LT(cluster.status(holder).committed, slot);
  ASSERT_EQ(cluster.status(holder).last, slot);
  cluster.propose(leader, "behind");  // with it disks learn what is decided
  cluster.settle();
  for (const uint64_t id : {leader, third}) {
    cluster.crash(id);
    if (id == leader || two_know) cluster.rot(id, slot.value);
    cluster.restart(id);
  }
  cluster.heal();
  cluster.filter = nullptr;
  cluster.make_leader(leader);
  ASSERT_EQ(cluster.status(leader).damaged, 1U);
  ASSERT_EQ(cluster.status(third).damaged, two_know ? 1U : 0U);
  cluster.advance(8 * cluster.election_timeout());
  cluster.propose(cluster.elect(), "after");
  cluster.advance(4 * cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    const std::vector<std::string> texts = cluster.texts(id);
    ASSERT_FALSE(texts.empty()) << "member " << id;
    EXPECT_EQ(texts.front(), "decided");
    EXPECT_EQ(texts.back(), "after");
    EXPECT_EQ(cluster.status(id).damaged, 0U);
  }
}

TEST(PaxosElection, ALeaderThatLostWhatAQuorumNeedsGivesWay) { lose_what_others_need(false); }

TEST(PaxosElection, ALeaderThatLostWhatOneNeedsGivesWayToThatOne) { lose_what_others_need(true); }

TEST(PaxosElection, TheLeadIsHandedOverAtOnce) {
  TestCluster cluster(options());
  const uint64_t leader = cluster.elect();
  const uint64_t heir = other_than(leader);
  cluster.step(leader, TransferLead{NodeId{heir}});
  cluster.settle();
  EXPECT_EQ(cluster.leader(), heir);
  EXPECT_EQ(cluster.status(leader).role, Role::follower);
}

}  // namespace
}  // namespace quorate::consensus::paxos
