// Each planted bug in what decides about members must be found by a rule that holds without it.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/mutant_rules.h"
#include "base/rng.h"
#include "node/member_about.h"
#include "node/member_change.h"
#include "node/membership.h"
#include "node/proposals.h"
#include "node/snapshot_files.h"
#include "world/sim/sim_disk.h"

namespace quorate {

Mutant active_mutant = Mutant::none;

namespace node {
namespace {

using consensus::Member;
using consensus::Members;

Member member(uint64_t id, uint64_t incarnation, bool voter_wanted = false) {
  const std::string name = "m" + std::to_string(id);
  return {NodeId{id}, incarnation, encode_member_about({name, {"http://" + name}, voter_wanted})};
}
Members voters(std::vector<uint64_t> ids) {
  Members members;
  for (const uint64_t id : ids) members.voters.push_back(member(id, 0));
  return members;
}
MemberChange wish(ChangeKind kind, uint64_t id, std::vector<std::string> urls = {}) {
  return {kind, NodeId{id}, {}, std::move(urls)};
}

// A cluster of one must not need a second machine that may never come.
bool adding_leaves_the_majority_alone() {
  const auto target =
      changed(voters({1}), wish(ChangeKind::add_voter, 2, {"http://x:1"}), ChangeRules{});
  return target && target->voters == voters({1}).voters && target->contains(NodeId{2});
}

// The majority after a promotion must be able to go on at once.
bool only_who_has_caught_up_becomes_a_voter() {
  Members base = voters({1});
  base.learners = {member(2, 7, true)};
  consensus::Status status;
  status.ballot.round = 1;
  status.last = Index{1000};
  status.progress = {{NodeId{2}, Index{3}}};
  Promotion promotion;
  promotion.look(base, status);
  return !promotion.look(base, status);
}

bool only_who_was_started_can_be_in_sync() {
  Members base = voters({1});
  base.learners = {member(2, 0)};
  // As good as nothing in the log: even one that never spoke has nearly all of it.
  return !changed(base, wish(ChangeKind::promote, 2), {1, {{NodeId{2}, Index{0}}}, Index{0}});
}

bool an_update_changes_urls_only() {
  Members base = voters({1});
  base.learners = {member(2, 7)};
  const auto target = changed(base, wish(ChangeKind::update, 2, {"http://y:1"}), ChangeRules{});
  return target && target->is_learner(NodeId{2}) && !target->is_voter(NodeId{2});
}

// A joiner replays configurations from before it came.
bool the_past_removes_nobody() {
  Membership membership(NodeId{4}, {}, {}, Index{50});
  membership.set_decided(voters({1, 2, 3}), Index{1});
  const bool stayed = !membership.removed();
  membership.set_decided(voters({1, 2, 3, 4}), Index{50});
  membership.set_decided(voters({1, 2, 3}), Index{60});
  return stayed && membership.removed();
}

bool a_laggard_is_not_believed() {
  Membership membership(NodeId{4}, {}, {}, Index{50});
  membership.heard({1, GroupId{1}, Index{20}, voters({1, 2, 3})});
  const bool stayed = !membership.removed();
  membership.heard({1, GroupId{1}, Index{60}, voters({1, 2, 3})});
  return stayed && membership.removed();
}

// It may have been away for long; those that it finds again are further on.
bool a_removed_member_with_old_data_is_told() {
  Membership membership(NodeId{4}, {}, {}, Index{});
  membership.set_decided(voters({1, 2, 3, 4}), Index{50});
  membership.heard({1, GroupId{1}, Index{60}, voters({1, 2, 3, 5})});
  return membership.removed();
}

// Flags are of the day of the founding; whoever was removed since must stay away.
bool only_the_log_says_who_belongs() {
  PeerConfig gone;
  gone.id = NodeId{3};
  gone.addresses = {"m3"};
  Membership membership(NodeId{1}, {gone}, {}, Index{});
  const bool known_at_first = membership.peers().contains(NodeId{3});
  membership.set_in_force(voters({1, 2}));
  membership.set_decided(voters({1, 2}), Index{60});
  return known_at_first && !membership.peers().contains(NodeId{3});
}

// An appended removal may be truncated; then the member must still be there.
bool the_undecided_forgets_nobody() {
  Membership membership(NodeId{4}, {}, {}, Index{});
  membership.set_decided(voters({1, 2, 4}), Index{1});
  membership.set_in_force(voters({2, 4}));
  return membership.peers().contains(NodeId{1});
}

// Whoever says that a snapshot has arrived may lose power the next moment.
bool an_arrived_snapshot_survives_a_power_cut() {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    world::TraceHash trace;
    world::SimDisk disk(Rng(seed), trace);
    const std::string content(size_t{16} << 10U, 's');
    const SnapshotFile announced{"file", content.size(), crc32c(content)};
    SnapshotWriter writer(disk, "/in", {announced});
    if (!writer.begin() || !writer.write(0, 0, Bytes(content)) || !writer.finish("/", "/out")) {
      return false;
    }
    disk.power_off();
    const auto found = describe_files(disk, "/out");
    if (!found || *found != std::vector<SnapshotFile>{announced}) return false;
  }
  return true;
}

// ---- Writes of clients: one answer for each, and never a wrong one (docs/decisions/0008).

constexpr NodeId kFirst{2};
constexpr NodeId kSecond{3};
Time at(int64_t thousandths) { return Time(std::chrono::milliseconds(thousandths)); }

// One proposal of node 1, forwarded to whoever leads.
class OneProposal final : Proposals::Door {
 public:
  OneProposal() : proposals(NodeId{1}, 1, 100, *this) {
    proposals.propose(
        Bytes(std::string_view("put")), at(1000),
        [this](Outcome outcome) { answers.push_back(std::move(outcome)); }, false);
    proposals.hand_over(at(0), {kFirst, 5, false});
  }
  bool surely_not() const {
    return answers.size() == 1 && std::holds_alternative<RefusedOutcome>(answers[0]);
  }
  bool unknown() const {
    return answers.size() == 1 && std::holds_alternative<Unknown>(answers[0]);
  }

  Proposals proposals;
  std::vector<Outcome> answers;
  size_t forwarded = 0;

 private:
  void propose_here(ProposalId, const Bytes&) override {}
  std::optional<ForwardRefusal> change_here(ProposalId, const Bytes&) override { return {}; }
  bool forward(NodeId, const Forward&) override {
    ++forwarded;
    return true;
  }
};

bool a_new_leader_gets_nothing_twice() {
  OneProposal one;
  one.proposals.hand_over(at(10), {kSecond, 6, false});
  return one.forwarded == 1;
}
bool a_late_refusal_says_nothing() {
  OneProposal one;
  one.proposals.on_round_applied(6);  // surely lost: handed over again, to the next leader
  one.proposals.hand_over(at(10), {kSecond, 6, false});
  one.proposals.on_forward_refused(at(20), kFirst, {5, {NodeId{1}, 1}, ForwardRefusal::too_large});
  one.proposals.deliver();
  return one.answers.empty();
}
bool a_node_that_fails_answers_all() {
  OneProposal one;
  one.proposals.abandon();
  one.proposals.deliver();
  return one.unknown();
}
bool too_late_is_unknown() {
  OneProposal one;
  one.proposals.expire(at(1001));
  one.proposals.deliver();
  return one.unknown() && !one.surely_not();
}

constexpr MutantRule kCases[] = {
    {Mutant::R17, a_new_leader_gets_nothing_twice},
    {Mutant::R17_LATE, a_late_refusal_says_nothing},
    {Mutant::R21, a_node_that_fails_answers_all},
    {Mutant::C01, too_late_is_unknown},
    {Mutant::M14, a_removed_member_with_old_data_is_told},
    {Mutant::M16_FLAGS, only_the_log_says_who_belongs},
    {Mutant::M22_NODE, an_arrived_snapshot_survives_a_power_cut},
    {Mutant::JOIN_VOTER, adding_leaves_the_majority_alone},
    {Mutant::JOIN_EARLY, only_who_has_caught_up_becomes_a_voter},
    {Mutant::JOIN_LIFE, only_who_was_started_can_be_in_sync},
    {Mutant::JOIN_UPDATE, an_update_changes_urls_only},
    {Mutant::JOIN_REPLAY, the_past_removes_nobody},
    {Mutant::JOIN_LAGGARD, a_laggard_is_not_believed},
    {Mutant::JOIN_FORGET, the_undecided_forgets_nobody},
};

TEST(NodeMutants, NoneIsQuiet) {
  for (const MutantRule& each : kCases) EXPECT_TRUE(each.holds());
}

TEST(NodeMutants, EachIsFound) { expect_each_is_noticed(kCases); }

}  // namespace
}  // namespace node
}  // namespace quorate
