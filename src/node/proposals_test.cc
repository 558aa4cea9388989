#include "node/proposals.h"

#include <gtest/gtest.h>

#include <optional>

#include "node/limits.h"

namespace quorate::node {
namespace {

using consensus::Refusal;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr NodeId kSelf{1};
constexpr NodeId kOther{2};

Time at(int64_t thousandths) { return Time(milliseconds(thousandths)); }

class ProposalsTest : public testing::Test, public Proposals::Door {
 protected:
  void propose_here(ProposalId id, const Bytes& command) override {
    here_.emplace_back(id, command.str());
  }
  std::optional<ForwardRefusal> change_here(ProposalId id, const Bytes& change) override {
    changes_.emplace_back(id, *decode_member_change(change));
    return change_refusal_;
  }
  bool forward(NodeId leader, const Forward& forward) override {
    if (!connected_) return false;
    forwards_.emplace_back(leader, forward);
    return true;
  }

  size_t propose(int64_t deadline, std::string_view command = "put") {
    const size_t number = outcomes_.size();
    outcomes_.emplace_back();
    proposals_.propose(
        Bytes(command), at(deadline),
        [this, number](Outcome outcome) {
          EXPECT_FALSE(outcomes_[number].has_value()) << "answered twice";
          outcomes_[number] = std::move(outcome);
        },
        overloaded_);
    EXPECT_FALSE(outcomes_[number].has_value()) << "answered from within propose()";
    return number;
  }
  size_t change(int64_t deadline, NodeId member = NodeId{9}) {
    const size_t number = outcomes_.size();
    outcomes_.emplace_back();
    MemberChange wish;
    wish.kind = ChangeKind::remove;
    wish.member = member;
    proposals_.change(wish, at(deadline), [this, number](Outcome outcome) {
      EXPECT_FALSE(outcomes_[number].has_value()) << "answered twice";
      outcomes_[number] = std::move(outcome);
    });
    return number;
  }
  bool answered(size_t number) {
    proposals_.deliver();
    return outcomes_[number].has_value();
  }
  std::optional<RefusedWhy> refused(size_t number) {
    if (!answered(number)) return std::nullopt;
    const auto* outcome = std::get_if<RefusedOutcome>(&*outcomes_[number]);
    if (outcome == nullptr) return std::nullopt;
    return outcome->why;
  }
  bool unknown(size_t number) {
    return answered(number) && std::holds_alternative<Unknown>(*outcomes_[number]);
  }
  bool applied(size_t number) {
    return answered(number) && std::holds_alternative<Applied>(*outcomes_[number]);
  }

  bool connected_ = true;
  bool overloaded_ = false;
  std::vector<std::pair<ProposalId, std::string>> here_;
  std::vector<std::pair<ProposalId, MemberChange>> changes_;
  std::optional<ForwardRefusal> change_refusal_;
  std::vector<std::pair<NodeId, Forward>> forwards_;
  std::vector<std::optional<Outcome>> outcomes_;
  Proposals proposals_{kSelf, 100, 1000, *this};
  const LeaderView here_in_5_{kSelf, 5, true};
  const LeaderView there_in_5_{kOther, 5, false};
  const LeaderView there_in_6_{kOther, 6, false};
};

TEST_F(ProposalsTest, LeaderHandsOverAndAnswersWithTheReply) {
  const size_t one = propose(1000);
  proposals_.hand_over(at(0), here_in_5_);
  ASSERT_EQ(here_.size(), 1U);
  EXPECT_EQ(here_[0].first, (ProposalId{kSelf, 100}));
  EXPECT_FALSE(answered(one));
  proposals_.on_applied(here_[0].first, Index{7}, machine::Reply{3, 9, Bytes("ok")});
  ASSERT_TRUE(applied(one));
  const Applied& result = std::get<Applied>(*outcomes_[one]);
  EXPECT_EQ(result.index, Index{7});
  EXPECT_EQ(result.reply.code, 3);
  EXPECT_EQ(result.reply.body.str(), "ok");
  EXPECT_EQ(proposals_.pending(), 0U);
  EXPECT_EQ(proposals_.deadline(), kNever);
}

TEST_F(ProposalsTest, FollowerForwardsOnceForTheRoundItKnows) {
  propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  proposals_.hand_over(at(1), there_in_5_);
  ASSERT_EQ(forwards_.size(), 1U);
  EXPECT_EQ(forwards_[0].first, kOther);
  EXPECT_EQ(forwards_[0].second.round, 5U);
}

TEST_F(ProposalsTest, WaitsForALeaderUntilTheDeadlineThenSurelyNot) {
  const size_t one = propose(1000);
  proposals_.hand_over(at(0), LeaderView{});
  EXPECT_EQ(proposals_.deadline(), at(1000));
  proposals_.expire(at(999));
  EXPECT_FALSE(answered(one));
  proposals_.expire(at(1000));
  EXPECT_EQ(refused(one), RefusedWhy::no_leader);
}

TEST_F(ProposalsTest, HandedOverAndTooLateIsUnknown) {
  const size_t one = propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  proposals_.expire(at(1000));
  EXPECT_TRUE(unknown(one));
  // Its late application has nobody to tell.
  proposals_.on_applied(forwards_[0].second.id, Index{3}, {});
  proposals_.deliver();
}

TEST_F(ProposalsTest, DeadlinesOutOfOrderExpireInTime) {
  const size_t late = propose(5000);
  const size_t early = propose(1000);
  const size_t later = propose(6000);
  EXPECT_EQ(proposals_.deadline(), at(1000));
  proposals_.expire(at(1000));
  EXPECT_TRUE(answered(early));
  EXPECT_FALSE(answered(late));
  proposals_.expire(at(5500));
  EXPECT_TRUE(answered(late));
  EXPECT_FALSE(answered(later));
  EXPECT_EQ(proposals_.deadline(), at(6000));
}

TEST_F(ProposalsTest, LaterRoundAppliedMeansLostAndIsHandedOverAgain) {
  const size_t one = propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  proposals_.on_round_applied(5);
  proposals_.hand_over(at(1), there_in_6_);
  EXPECT_EQ(forwards_.size(), 1U) << "an entry of its own round proves nothing";
  proposals_.on_round_applied(6);
  proposals_.hand_over(at(2), there_in_6_);
  ASSERT_EQ(forwards_.size(), 2U);
  EXPECT_EQ(forwards_[1].second.id, forwards_[0].second.id);
  EXPECT_EQ(forwards_[1].second.round, 6U);
  proposals_.on_applied(forwards_[1].second.id, Index{9}, {});
  EXPECT_TRUE(applied(one));
}

TEST_F(ProposalsTest, LostAndTooLateIsSurelyNotApplied) {
  const size_t one = propose(1000);
  proposals_.hand_over(at(0), here_in_5_);
  proposals_.on_round_applied(6);
  proposals_.hand_over(at(1), LeaderView{});
  proposals_.expire(at(1000));
  EXPECT_EQ(refused(one), RefusedWhy::leader_changed);
}

TEST_F(ProposalsTest, SkippedEntriesMakeItDoubtful) {
  const size_t seen = propose(1000);
  const size_t unseen = propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  proposals_.on_entries_skipped();  // a snapshot: it may have been in there
  proposals_.on_round_applied(7);
  proposals_.hand_over(at(1), there_in_6_);
  EXPECT_EQ(forwards_.size(), 2U) << "must not be proposed again";
  proposals_.on_applied(forwards_[0].second.id, Index{40}, {});
  EXPECT_TRUE(applied(seen));
  proposals_.expire(at(1000));
  EXPECT_TRUE(unknown(unseen));
}

TEST_F(ProposalsTest, RefusedForwardIsTriedAgainAfterAPauseOrAChange) {
  const size_t one = propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  const ProposalId id = forwards_[0].second.id;
  proposals_.on_forward_refused(at(1), kOther, {5, id, ForwardRefusal::not_leader});
  proposals_.hand_over(at(2), there_in_5_);
  EXPECT_EQ(forwards_.size(), 1U) << "not at once";
  EXPECT_EQ(proposals_.deadline(), at(1) + kRetryPause);
  proposals_.hand_over(at(2), there_in_6_);
  EXPECT_EQ(forwards_.size(), 2U) << "the leader changed";
  proposals_.on_forward_refused(at(3), kOther, {6, id, ForwardRefusal::later});
  proposals_.hand_over(at(3) + kRetryPause, there_in_6_);
  EXPECT_EQ(forwards_.size(), 3U);
  EXPECT_FALSE(answered(one));
}

TEST_F(ProposalsTest, LateOrForeignRefusalsSayNothing) {
  propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  const ProposalId id = forwards_[0].second.id;
  proposals_.on_round_applied(6);
  proposals_.hand_over(at(1), there_in_6_);
  ASSERT_EQ(forwards_.size(), 2U);
  proposals_.on_forward_refused(at(2), kOther, {5, id, ForwardRefusal::not_leader});
  proposals_.on_forward_refused(at(2), NodeId{3}, {6, id, ForwardRefusal::not_leader});
  proposals_.on_forward_refused(at(2), kOther, {6, {kOther, 100}, ForwardRefusal::not_leader});
  proposals_.hand_over(at(500), there_in_6_);
  EXPECT_EQ(forwards_.size(), 2U);
}

TEST_F(ProposalsTest, BusyIsAnsweredOthersAreRetried) {
  const size_t busy = propose(1000);
  const size_t transferring = propose(1000);
  proposals_.hand_over(at(0), here_in_5_);
  proposals_.on_refused(at(0), here_[0].first, Refusal::busy);
  proposals_.on_refused(at(0), here_[1].first, Refusal::transferring);
  EXPECT_EQ(refused(busy), RefusedWhy::too_many_requests);
  EXPECT_FALSE(answered(transferring));
  proposals_.hand_over(at(0) + kRetryPause, here_in_5_);
  EXPECT_EQ(here_.size(), 3U);
  const size_t big = propose(1000);
  proposals_.hand_over(at(30), there_in_5_);
  proposals_.on_forward_refused(at(31), kOther,
                                {5, forwards_.back().second.id, ForwardRefusal::too_large});
  EXPECT_EQ(refused(big), RefusedWhy::too_large);
}

TEST_F(ProposalsTest, NotConnectedToTheLeaderStaysHere) {
  const size_t one = propose(1000);
  connected_ = false;
  proposals_.hand_over(at(0), there_in_5_);
  proposals_.expire(at(1000));
  EXPECT_EQ(refused(one), RefusedWhy::no_leader);
}

TEST_F(ProposalsTest, LimitsRefuseBeforeAnythingHappens) {
  EXPECT_EQ(refused(propose(1000, std::string(kCommandBytesMax + 1, 'x'))), RefusedWhy::too_large);
  overloaded_ = true;
  EXPECT_EQ(refused(propose(1000)), RefusedWhy::too_many_requests);
  overloaded_ = false;
  const std::string large(kCommandBytesMax, 'x');
  size_t taken = 0;
  while (taken < 100 && !refused(propose(1000, large)).has_value()) ++taken;
  EXPECT_EQ(taken, kPendingBytesMax / kCommandBytesMax);
}

TEST_F(ProposalsTest, SequenceNumbersEndWhereTheyWereSetAside) {
  for (int count = 0; count < 900; ++count) EXPECT_FALSE(answered(propose(1000)));
  EXPECT_EQ(refused(propose(1000)), RefusedWhy::too_many_requests);
}

TEST_F(ProposalsTest, StoppingRefusesWhatNeverLeftAndDoubtsTheRest) {
  const size_t left = propose(1000);
  proposals_.hand_over(at(0), there_in_5_);
  const size_t waiting = propose(1000);
  proposals_.stop();
  EXPECT_EQ(refused(waiting), RefusedWhy::stopping);
  EXPECT_EQ(refused(propose(1000)), RefusedWhy::stopping);
  EXPECT_FALSE(answered(left));
  proposals_.abandon();
  EXPECT_TRUE(unknown(left));
}

TEST_F(ProposalsTest, ACallbackMayProposeAgain) {
  bool second = false;
  proposals_.propose(
      Bytes("a"), at(1),
      [&](Outcome) {
        proposals_.propose(Bytes("b"), at(1), [&](Outcome) { second = true; }, false);
      },
      false);
  proposals_.expire(at(1));
  EXPECT_TRUE(proposals_.deliver());
  EXPECT_FALSE(second);
  proposals_.expire(at(1));
  EXPECT_TRUE(proposals_.deliver());
  EXPECT_TRUE(second);
  EXPECT_FALSE(proposals_.deliver());
}

TEST_F(ProposalsTest, AChangeIsAnsweredOnceTheConfigurationIsNoLongerJoint) {
  const size_t wish = change(1000);
  proposals_.hand_over(at(0), {kSelf, 1, true});
  ASSERT_EQ(changes_.size(), 1U);
  EXPECT_EQ(changes_[0].second.member, NodeId{9});
  proposals_.on_applied(changes_[0].first, Index{5}, {});
  EXPECT_FALSE(answered(wish));
  proposals_.on_members_settled();
  EXPECT_TRUE(applied(wish));
}

TEST_F(ProposalsTest, AnAppliedChangeIsCertainWhenItsTimeIsOver) {
  const size_t wish = change(1000);
  proposals_.hand_over(at(0), {kSelf, 1, true});
  proposals_.on_applied(changes_[0].first, Index{5}, {});
  proposals_.expire(at(1000));
  EXPECT_TRUE(applied(wish));
}

TEST_F(ProposalsTest, AFollowerForwardsAChangeAndTellsTheLeadersReason) {
  const size_t wish = change(1000);
  proposals_.hand_over(at(0), {kOther, 3, false});
  ASSERT_EQ(forwards_.size(), 1U);
  EXPECT_TRUE(forwards_[0].second.is_change);
  const ForwardRefusal why = forward_refusal(ChangeRefusal::member_not_found);
  proposals_.on_forward_refused(at(1), kOther, {3, forwards_[0].second.id, why});
  EXPECT_EQ(refused(wish), RefusedWhy::member_not_found);
}

TEST_F(ProposalsTest, AChangeThatMustWaitHoldsUpNoCommand) {
  change_refusal_ = ForwardRefusal::busy;
  const size_t wish = change(100);
  proposals_.hand_over(at(0), {kSelf, 1, true});
  EXPECT_EQ(changes_.size(), 1U);
  propose(1000);
  proposals_.hand_over(at(1), {kSelf, 1, true});
  EXPECT_EQ(here_.size(), 1U);
  EXPECT_EQ(changes_.size(), 1U) << "it pauses";
  proposals_.hand_over(at(21), {kSelf, 1, true});
  EXPECT_EQ(changes_.size(), 2U);
  proposals_.expire(at(100));
  EXPECT_EQ(refused(wish), RefusedWhy::too_many_requests) << "surely not made";
}

TEST_F(ProposalsTest, AChangeLostWithItsRoundIsJudgedAnew) {
  const size_t wish = change(1000);
  proposals_.hand_over(at(0), {kSelf, 1, true});
  proposals_.on_round_applied(2);
  proposals_.hand_over(at(1), {kOther, 2, false});
  EXPECT_EQ(forwards_.size(), 1U);
  EXPECT_FALSE(answered(wish));
}

TEST_F(ProposalsTest, WhoIsRemovedAnswersItsOwnRemoval) {
  const size_t own = change(1000, kSelf);
  const size_t other = change(1000);
  proposals_.hand_over(at(0), {kOther, 3, false});
  proposals_.on_removed();
  EXPECT_TRUE(applied(own));
  EXPECT_FALSE(answered(other));
  proposals_.abandon();
  EXPECT_TRUE(unknown(other));
}

TEST_F(ProposalsTest, TooManyWaitingChangesAreRefused) {
  for (size_t count = 0; count < kChangesWaitingMax; ++count) change(1000);
  EXPECT_EQ(refused(change(1000)), RefusedWhy::too_many_requests);
}

}  // namespace
}  // namespace quorate::node
