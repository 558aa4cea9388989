// Slots that a disk has lost: what a promise says of them, what a proposer may conclude, and how
// they come back.
#include <gtest/gtest.h>

#include <algorithm>

#include "consensus/paxos/wire.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::paxos {
namespace {

using testing::TestCluster;
using testing::TestNode;
using testing::TestOptions;

using Texts = std::vector<std::string>;

TestOptions options(size_t voters = 3) {
  TestOptions options;
  options.protocol = Protocol::multi_paxos;
  options.voters = voters;
  return options;
}

// One that proposes, all alone: what it hears, the test makes up. The others have not accepted
// anything behind `slot`.
class Proposer {
 public:
  explicit Proposer(size_t voters) : cluster(asking_nobody(voters)) {
    id = cluster.elect() % voters + 1;
    for (uint64_t other = 1; other <= voters; ++other) {
      cluster.isolate(other);
      if (other != id) others.push_back(other);
    }
    cluster.pass(3 * cluster.election_timeout());
    cluster.wake(id);
    ballot = cluster.status(id).ballot;
    slot = cluster.status(id).committed.next();
  }
  void hear(uint64_t from, Body body, std::vector<Entry> entries = {}) {
    Message message;
    message.from = NodeId{from};
    message.to = NodeId{id};
    message.head = encode_head({ballot, 0, false, std::move(body)});
    message.entries = std::move(entries);
    cluster.step(id, Receive{std::move(message)});
  }
  // Everything from `slot` on, in one page.
  Promise whole_promise(Index through, std::vector<LostSlot> lost = {}) const {
    return {true, true, slot, through, slot.previous(), Index{1}, std::move(lost)};
  }
  bool leads() { return cluster.status(id).role == Role::leader; }
  Entry old_command(Index index, uint64_t proposer, const std::string& text) const {
    const ProposalId proposal{NodeId{9}, index.value};
    return {index, {1, NodeId{proposer}}, EntryKind::command, proposal, Bytes(text)};
  }

  TestCluster cluster;
  uint64_t id = 0;
  std::vector<uint64_t> others;
  Ballot ballot;
  Index slot;

 private:
  static TestOptions asking_nobody(size_t voters) {
    TestOptions settings = options(voters);
    settings.pre_vote = false;
    return settings;
  }
};

TEST(PaxosRepair, AnAcceptanceThatWasLostIsNoEmptyPromise) {
  Proposer proposer(3);
  const LostSlot lost{proposer.slot, {1, NodeId{2}}};
  proposer.hear(proposer.others[0], proposer.whole_promise(proposer.slot, {lost}));
  EXPECT_FALSE(proposer.leads()) << "it may have been the vote that decided";
  const Entry entry = proposer.old_command(proposer.slot, 2, "decided");
  proposer.hear(proposer.others[1], proposer.whole_promise(proposer.slot), {entry});
  ASSERT_TRUE(proposer.leads());
  EXPECT_EQ(proposer.cluster.replica(proposer.id).find(proposer.slot)->data.str(), "decided");
}

TEST(PaxosRepair, WhatOnePageCallsLostStaysSoThroughTheNext) {
  Proposer proposer(3);
  const Index decided = proposer.slot.next();
  const Promise first{true,
                      false,
                      proposer.slot,
                      proposer.slot,
                      decided,
                      Index{1},
                      {{proposer.slot, {1, NodeId{2}}}}};
  proposer.hear(proposer.others[0], first);
  const Promise second{true, true, decided, decided, decided, Index{1}, {}};
  const Entry behind = proposer.old_command(decided, 2, "behind");
  proposer.hear(proposer.others[0], second, {behind});
  EXPECT_FALSE(proposer.leads()) << "the first slot is decided, and not with a no-op";
  const Entry entry = proposer.old_command(proposer.slot, 2, "decided");
  proposer.hear(proposer.others[1], proposer.whole_promise(decided), {entry, behind});
  ASSERT_TRUE(proposer.leads());
  EXPECT_EQ(proposer.cluster.replica(proposer.id).find(proposer.slot)->data.str(), "decided");
}

TEST(PaxosRepair, AnEarlierValueIsNoSubstitute) {
  Proposer proposer(3);
  const LostSlot lost{proposer.slot, {1, NodeId{3}}};
  const Entry earlier = proposer.old_command(proposer.slot, 1, "earlier");
  // One and the same member cannot tell of both, but a third may have the earlier one.
  proposer.hear(proposer.others[0], proposer.whole_promise(proposer.slot, {lost}));
  EXPECT_FALSE(proposer.leads());
  proposer.hear(proposer.others[1], proposer.whole_promise(proposer.slot), {earlier});
  ASSERT_TRUE(proposer.leads()) << "two of three accepted nothing later";
  EXPECT_EQ(proposer.cluster.replica(proposer.id).find(proposer.slot)->data.str(), "earlier");

  Proposer among_five(5);
  const LostSlot theirs{among_five.slot, {1, NodeId{3}}};
  const Entry old = among_five.old_command(among_five.slot, 1, "earlier");
  among_five.hear(among_five.others[0], among_five.whole_promise(among_five.slot), {old});
  for (const size_t place : {size_t{1}, size_t{2}}) {
    among_five.hear(among_five.others[place], among_five.whole_promise(among_five.slot, {theirs}));
    EXPECT_FALSE(among_five.leads()) << "with those not heard, they may be three of five";
  }
}

TEST(PaxosRepair, WhatNoQuorumCanHaveAcceptedIsDropped) {
  for (const size_t voters : {size_t{4}, size_t{5}}) {
    Proposer proposer(voters);
    const LostSlot lost{proposer.slot, {1, NodeId{2}}};
    proposer.hear(proposer.others[0], proposer.whole_promise(proposer.slot, {lost}));
    proposer.hear(proposer.others[1], proposer.whole_promise(proposer.slot.previous()));
    if (voters == 5) {
      EXPECT_FALSE(proposer.leads());
      proposer.hear(proposer.others[2], proposer.whole_promise(proposer.slot.previous()));
    }
    ASSERT_TRUE(proposer.leads()) << voters;
    EXPECT_EQ(proposer.cluster.replica(proposer.id).find(proposer.slot)->kind, EntryKind::noop);
  }
}

TEST(PaxosRepair, ANewConfigurationsQuorumMustKnowItToo) {
  Proposer proposer(5);
  const auto& others = proposer.others;
  Members next;
  for (const uint64_t id : {proposer.id, others[0], others[3]}) {
    next.voters.push_back({NodeId{id}, 0, {}});
  }
  std::ranges::sort(next.voters, {}, &Member::id);
  const Entry stop{proposer.slot, {1, NodeId{2}}, EntryKind::members, {}, encode_members(next)};
  const Index behind = proposer.slot.next();
  proposer.hear(others[0], proposer.whole_promise(behind, {{behind, {1, NodeId{2}}}}), {stop});
  proposer.hear(others[1], proposer.whole_promise(proposer.slot.previous()));
  proposer.hear(others[2], proposer.whole_promise(proposer.slot.previous()));
  ASSERT_TRUE(proposer.leads()) << "of the old voters three have nothing there";
  for (const size_t place : {size_t{0}, size_t{1}}) {
    proposer.hear(others[place], Accepted{proposer.slot, {}});
  }
  ASSERT_EQ(proposer.cluster.status(proposer.id).committed, proposer.slot);
  EXPECT_EQ(proposer.cluster.status(proposer.id).last, proposer.slot)
      << "the first and the last of the new voters may have decided it";
  const Promise nothing{true, true, behind, proposer.slot, proposer.slot, Index{1}, {}};
  proposer.hear(others[3], nothing);
  EXPECT_GT(proposer.cluster.status(proposer.id).last, proposer.slot);
}

// ---- With a whole cluster.

uint64_t next_to(uint64_t id) { return id % 3 + 1; }

// Down, with nothing but its log: what it serves again it must have read from there.
void crash_without_state(TestCluster& cluster, uint64_t id) {
  cluster.crash(id);
  cluster.node(id).applied.clear();
}

struct Led {
  Led() : cluster(options()) {
    leader = cluster.elect();
    follower = next_to(leader);
    third = next_to(follower);
    cluster.propose(leader, "a");
    cluster.propose(leader, "b");
    cluster.settle();
    last = cluster.status(leader).last;
  }
  void promise_asked(Index from) {
    Message message;
    message.from = NodeId{third};
    message.to = NodeId{follower};
    message.head = encode_head({{50, NodeId{third}}, 0, false, Prepare{true, from}});
    cluster.network().clear();
    cluster.step(follower, Receive{std::move(message)});
  }
  // Of the promises on their way.
  std::vector<Promise> promises() {
    std::vector<Promise> found;
    for (const Message& message : cluster.network()) {
      const auto head = decode_head(message.head);
      if (!head || message.from != NodeId{follower}) continue;
      if (const auto* promise = std::get_if<Promise>(&head->body)) found.push_back(*promise);
    }
    return found;
  }

  TestCluster cluster;
  uint64_t leader = 0;
  uint64_t follower = 0;
  uint64_t third = 0;
  Index last;
};

// The leader has the acknowledgement and never sends the slot again; whether it is decided, the
// member that lost it does not know.
TEST(PaxosRepair, WhatWasAcknowledgedAndLostComesBackWithoutAnElection) {
  Led led;
  const Ballot ballot = led.cluster.status(led.leader).ballot;
  crash_without_state(led.cluster, led.follower);
  for (const Index index : {led.last.previous(), led.last}) {
    led.cluster.rot(led.follower, index.value);
  }
  led.cluster.restart(led.follower);
  ASSERT_EQ(led.cluster.status(led.follower).damaged, 2U);
  led.cluster.advance(led.cluster.election_timeout());
  EXPECT_EQ(led.cluster.status(led.follower).damaged, 0U);
  EXPECT_TRUE(led.cluster.node(led.follower).disk.damaged.empty());
  EXPECT_EQ(led.cluster.texts(led.follower), (Texts{"a", "b"}));
  EXPECT_EQ(led.cluster.status(led.follower).ballot, ballot);
}

TEST(PaxosRepair, NothingBehindALostSlotIsAppliedBeforeItIsBack) {
  Led led;
  crash_without_state(led.cluster, led.follower);
  led.cluster.rot(led.follower, led.last.value);
  led.cluster.restart(led.follower);
  led.cluster.filter = [](const Message& message) {
    return message_kind(Protocol::multi_paxos, message) != "decided";
  };
  led.cluster.propose(led.leader, "c");
  led.cluster.advance(led.cluster.election_timeout());
  EXPECT_EQ(led.cluster.texts(led.follower), Texts{"a"});
  led.cluster.filter = nullptr;
  led.cluster.advance(2 * led.cluster.election_timeout());
  EXPECT_EQ(led.cluster.texts(led.follower), (Texts{"a", "b", "c"}));
}

TEST(PaxosRepair, NobodyLeadsWithoutWhatItsHolderLost) {
  Led led;
  led.cluster.isolate(led.third);
  led.cluster.propose(led.leader, "c");
  led.cluster.settle();
  ASSERT_EQ(led.cluster.texts(led.leader).size(), 3U);
  led.cluster.crash(led.leader);
  crash_without_state(led.cluster, led.follower);
  led.cluster.heal();
  led.cluster.rot(led.follower, led.last.value + 1);
  led.cluster.restart(led.follower);
  led.cluster.advance(20 * led.cluster.election_timeout());
  for (const uint64_t id : {led.follower, led.third}) {
    EXPECT_FALSE(led.cluster.status(id).established) << id;
  }
  led.cluster.restart(led.leader);
  led.cluster.elect();
  led.cluster.advance(2 * led.cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(led.cluster.texts(id), (Texts{"a", "b", "c"})) << id;
    EXPECT_EQ(led.cluster.status(id).damaged, 0U) << id;
  }
}

// What only an old leader accepted, far behind all that the next one proposes.
TEST(PaxosRepair, WhatStandsBehindAllProposalsIsProposedOver) {
  Led led;
  led.cluster.isolate(led.leader);
  for (const char* text : {"c", "d", "e", "f"}) led.cluster.propose(led.leader, text);
  led.cluster.settle();
  crash_without_state(led.cluster, led.leader);
  led.cluster.heal();
  led.cluster.rot(led.leader, led.last.value + 4);
  const uint64_t next = led.cluster.elect();
  led.cluster.propose(next, "g");
  led.cluster.settle();
  ASSERT_LT(led.cluster.status(next).last, led.last + 4);
  led.cluster.restart(led.leader);
  led.cluster.advance(3 * led.cluster.election_timeout());
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_EQ(led.cluster.status(id).damaged, 0U) << id;
    EXPECT_EQ(led.cluster.texts(id), (Texts{"a", "b", "g"})) << id;
  }
  EXPECT_EQ(led.cluster.leader(), next) << "no reason to leave office";
  EXPECT_EQ(led.cluster.status(next).last, led.last + 4);
}

// A slot before a configuration, or the configuration itself: whoever prepares could not know it
// as decided and would take what stands behind it for decided by the voters of before.
TEST(PaxosRepair, NoPromiseGoesOverALostSlotBeforeADecidedConfiguration) {
  for (const bool configuration_too : {false, true}) {
    Led led;
    Members changed = led.cluster.founding();
    changed.voters[2].about = Bytes("moved");
    led.cluster.propose_members(led.leader, changed);
    led.cluster.settle();
    const Index stop = led.cluster.status(led.leader).last;
    led.cluster.propose(led.leader, "c");
    led.cluster.settle();
    crash_without_state(led.cluster, led.follower);
    led.cluster.rot(led.follower, led.last.value);
    if (configuration_too) led.cluster.rot(led.follower, stop.value);
    led.cluster.isolate(led.follower);
    led.cluster.pass(3 * led.cluster.election_timeout());
    led.cluster.restart(led.follower);
    led.promise_asked(led.last);
    EXPECT_TRUE(led.promises().empty()) << "nothing can be said from there on";
    led.promise_asked(stop);
    const std::vector<Promise> behind = led.promises();
    ASSERT_EQ(behind.size(), configuration_too ? 0U : 1U);
    if (configuration_too) continue;
    EXPECT_TRUE(behind[0].complete);
    EXPECT_TRUE(behind[0].lost.empty());
  }
}

TEST(PaxosRepair, LostDecidedSlotsAreToldPageByPage) {
  Led led;
  led.cluster.propose(led.leader, "c");
  led.cluster.settle();
  crash_without_state(led.cluster, led.follower);
  led.cluster.rot(led.follower, led.last.value);
  led.cluster.isolate(led.follower);
  led.cluster.pass(3 * led.cluster.election_timeout());
  led.cluster.restart(led.follower);
  const Ballot ballot = led.cluster.node(led.follower).disk.entries.at(led.last).ballot;
  led.promise_asked(led.last);
  ASSERT_EQ(led.promises().size(), 1U);
  ASSERT_EQ(led.promises()[0].lost.size(), 1U);
  EXPECT_EQ(led.promises()[0].lost[0].index, led.last);
  EXPECT_EQ(led.promises()[0].lost[0].ballot, ballot);
  led.promise_asked(led.last.next());
  ASSERT_EQ(led.promises().size(), 1U);
  EXPECT_TRUE(led.promises()[0].lost.empty()) << "of its own slots alone";
}

TEST(PaxosRepair, OnlyTheNextSlotIsLearnedFromAnAnswer) {
  Led led;
  crash_without_state(led.cluster, led.follower);
  const TestNode& node = led.cluster.node(led.follower);
  for (const Index index : {led.last.previous(), led.last}) {
    led.cluster.rot(led.follower, index.value);
  }
  led.cluster.isolate(led.follower);
  led.cluster.restart(led.follower);
  const Index before = led.cluster.status(led.follower).committed;
  if (before >= led.last.previous()) GTEST_SKIP() << "its disk knew them as decided";
  const auto offer = [&](Entry entry) {
    Message message;
    message.from = NodeId{led.leader};
    message.to = NodeId{led.follower};
    const Ballot promised = led.cluster.status(led.leader).ballot;
    message.head = encode_head({promised, 0, false, Decided{entry.index, {}}});
    message.entries.push_back(std::move(entry));
    led.cluster.step(led.follower, Receive{std::move(message)});
  };
  offer(node.disk.entries.at(led.last));
  EXPECT_EQ(led.cluster.status(led.follower).damaged, 2U) << "what is before it is not known";
  Entry malformed = node.disk.entries.at(led.last.previous());
  malformed.ballot = {};
  offer(malformed);
  malformed = node.disk.entries.at(led.last.previous());
  malformed.kind = EntryKind::members;
  malformed.data = Bytes("no configuration");
  offer(malformed);
  EXPECT_EQ(led.cluster.status(led.follower).damaged, 2U);
  offer(node.disk.entries.at(led.last.previous()));
  offer(node.disk.entries.at(led.last));
  EXPECT_EQ(led.cluster.status(led.follower).damaged, 0U);
  EXPECT_EQ(led.cluster.texts(led.follower), (Texts{"a", "b"}));
}

TEST(PaxosRepair, WhereOnlyTheStateIsLeftASnapshotComes) {
  Led led;
  crash_without_state(led.cluster, led.follower);
  led.cluster.rot(led.follower, led.last.value);
  led.cluster.advance(led.cluster.heartbeat_interval());
  led.cluster.compact(led.leader, led.last.value);
  led.cluster.compact(led.third, led.last.value);
  led.cluster.restart(led.follower);
  led.cluster.advance(3 * led.cluster.election_timeout());
  EXPECT_EQ(led.cluster.texts(led.follower), (Texts{"a", "b"}));
  EXPECT_EQ(led.cluster.status(led.follower).damaged, 0U);
  EXPECT_EQ(led.cluster.node(led.follower).installs, 1U);
}

TEST(PaxosRepair, WhoHasLostItsStateLendsNone) {
  Led led;
  led.cluster.propose(led.leader, "c");
  led.cluster.settle();
  led.cluster.compact(led.follower, led.last.value);
  crash_without_state(led.cluster, led.follower);
  led.cluster.node(led.follower).store_lost = true;
  led.cluster.isolate(led.follower);
  led.cluster.answer_snapshots(false);
  led.cluster.pass(3 * led.cluster.election_timeout());
  led.cluster.restart(led.follower);
  led.promise_asked(led.last);
  EXPECT_TRUE(led.cluster.node(led.follower).snapshots.empty());
  EXPECT_TRUE(led.promises().empty());
  led.cluster.heal();
  led.cluster.answer_snapshots(true);
  led.cluster.elect();
  led.cluster.advance(3 * led.cluster.election_timeout());
  EXPECT_FALSE(led.cluster.status(led.follower).store_lost);
  EXPECT_EQ(led.cluster.texts(led.follower), (Texts{"a", "b", "c"}));
}

}  // namespace
}  // namespace quorate::consensus::paxos
