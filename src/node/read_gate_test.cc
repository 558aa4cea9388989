#include "node/read_gate.h"

#include <gtest/gtest.h>

#include "node/limits.h"

namespace quorate::node {
namespace {

Time at(int64_t thousandths) { return Time(std::chrono::milliseconds(thousandths)); }

class ReadGateTest : public testing::Test, public ReadGate::Door {
 protected:
  void barrier_here(ReadId id) override { barriers_.push_back(id); }
  bool ask_leader(NodeId leader, ReadId id) override {
    if (!connected_) return false;
    asked_.emplace_back(leader, id);
    return true;
  }
  void answer_peer(NodeId peer, ReadId theirs, std::optional<Index> index) override {
    answers_.push_back({peer, theirs, index});
  }
  size_t read(int64_t deadline = 1000) {
    const size_t number = results_.size();
    results_.emplace_back();
    gate_.read(at(deadline), [this, number](std::optional<RefusedWhy> why) {
      EXPECT_FALSE(results_[number].has_value()) << "answered twice";
      results_[number] = why;
    });
    EXPECT_FALSE(results_[number].has_value()) << "answered from within read()";
    return number;
  }
  bool pending(size_t number) const { return !results_[number].has_value(); }
  bool served(size_t number) const {
    return results_[number].has_value() && !results_[number]->has_value();
  }
  std::optional<RefusedWhy> why(size_t number) const {
    return results_[number].value_or(std::nullopt);
  }

  struct Answer {
    NodeId peer;
    ReadId theirs;
    std::optional<Index> index;
  };
  bool connected_ = true;
  std::vector<ReadId> barriers_;
  std::vector<std::pair<NodeId, ReadId>> asked_;
  std::vector<Answer> answers_;
  std::vector<std::optional<std::optional<RefusedWhy>>> results_;
  ReadGate gate_{*this};
  const LeaderView here_{NodeId{1}, 5, true};
  const LeaderView there_{NodeId{2}, 5, false};
};

TEST_F(ReadGateTest, OneRoundForATurnsReadsServedWhenApplied) {
  const size_t one = read();
  const size_t two = read();
  gate_.open_rounds(at(0), here_);
  ASSERT_EQ(barriers_.size(), 1U);
  gate_.on_ready(barriers_[0], Index{10});
  gate_.release(Index{9});
  EXPECT_TRUE(pending(one));
  gate_.release(Index{10});
  EXPECT_TRUE(served(one));
  EXPECT_TRUE(served(two));
  EXPECT_EQ(gate_.waiting(), 0U);
  EXPECT_EQ(gate_.deadline(), kNever);
}

TEST_F(ReadGateTest, AReadNeverJoinsARoundThatHasBegun) {
  read();
  gate_.open_rounds(at(0), here_);
  const size_t later = read();
  gate_.on_ready(barriers_[0], Index{1});
  gate_.release(Index{100});
  EXPECT_TRUE(pending(later));
  gate_.open_rounds(at(1), here_);
  ASSERT_EQ(barriers_.size(), 2U);
  gate_.on_ready(barriers_[1], Index{2});
  gate_.release(Index{100});
  EXPECT_TRUE(served(later));
}

TEST_F(ReadGateTest, RoundsAreBoundedAndTheRestGathers) {
  for (int count = 0; count < 5; ++count) {
    read();
    gate_.open_rounds(at(0), here_);
  }
  EXPECT_EQ(barriers_.size(), kReadRoundsMax);
  gate_.on_ready(barriers_[0], Index{1});
  gate_.open_rounds(at(0), here_);
  EXPECT_EQ(barriers_.size(), kReadRoundsMax + 1);
  gate_.on_ready(barriers_[2], Index{1});
  gate_.release(Index{1});
  EXPECT_TRUE(served(2) && served(3) && served(4)) << "gathered reads share one round";
  EXPECT_TRUE(pending(1));
}

TEST_F(ReadGateTest, AFollowerAsksOnceAndWaitsToApply) {
  const size_t one = read();
  read();
  gate_.open_rounds(at(0), there_);
  ASSERT_EQ(asked_.size(), 1U);
  gate_.on_leader_answer(at(1), NodeId{3}, asked_[0].second, Index{1});  // not whom we asked
  gate_.release(Index{50});
  EXPECT_TRUE(pending(one));
  gate_.on_leader_answer(at(1), NodeId{2}, asked_[0].second, Index{60});
  gate_.release(Index{59});
  EXPECT_TRUE(pending(one));
  gate_.release(Index{60});
  EXPECT_TRUE(served(one));
}

TEST_F(ReadGateTest, ASilentLeaderIsAskedAgainAndAnyAnswerCounts) {
  const size_t one = read(60'000);
  gate_.open_rounds(at(0), there_);
  EXPECT_EQ(gate_.deadline(), at(0) + kReadSilenceMax);
  gate_.open_rounds(at(0) + kReadSilenceMax, there_);
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(gate_.deadline(), at(0) + 3 * kReadSilenceMax) << "each silence is twice the last";
  gate_.open_rounds(at(0) + 3 * kReadSilenceMax, there_);
  ASSERT_EQ(asked_.size(), 3U);
  // Who comes later is not of that round, although it is still open.
  const size_t late = read(60'000);
  gate_.on_leader_answer(at(1600), NodeId{2}, asked_[0].second, Index{1});
  gate_.release(Index{9});
  EXPECT_TRUE(served(one)) << "a slow link, not a lost frame";
  EXPECT_TRUE(pending(late));
  gate_.on_leader_answer(at(1700), NodeId{2}, asked_[1].second, Index{1});
  gate_.release(Index{9});
  EXPECT_TRUE(pending(late));
}

TEST_F(ReadGateTest, ALeaderChangeAsksAnewAndOldAnswersAreVoid) {
  const size_t one = read(5000);
  gate_.open_rounds(at(0), there_);
  const LeaderView next{NodeId{3}, 6, false};
  gate_.open_rounds(at(700), next);
  ASSERT_EQ(asked_.size(), 2U);
  EXPECT_EQ(asked_[1].first, NodeId{3});
  gate_.on_leader_answer(at(701), NodeId{2}, asked_[0].second, Index{1});
  gate_.release(Index{9});
  EXPECT_TRUE(pending(one));
  gate_.on_leader_answer(at(702), NodeId{3}, asked_[1].second, Index{2});
  gate_.release(Index{9});
  EXPECT_TRUE(served(one));
}

// Asking twice would never end where a majority's answers take longer than the pause.
TEST_F(ReadGateTest, TheReplicaHereIsAskedOnce) {
  const size_t one = read(60'000);
  gate_.open_rounds(at(0), here_);
  ASSERT_EQ(barriers_.size(), 1U);
  gate_.open_rounds(at(10'000), here_);
  ASSERT_EQ(barriers_.size(), 1U);
  gate_.on_ready(barriers_[0], Index{1});
  gate_.release(Index{1});
  EXPECT_TRUE(served(one));
}

TEST_F(ReadGateTest, RefusedRoundsAreTriedAgainUntilTheDeadline) {
  const size_t one = read(1000);
  gate_.open_rounds(at(0), here_);
  gate_.on_refused(at(1), barriers_[0]);
  gate_.open_rounds(at(2), here_);
  EXPECT_EQ(barriers_.size(), 1U);
  gate_.open_rounds(at(1) + kRetryPause, here_);
  EXPECT_EQ(barriers_.size(), 2U);
  gate_.expire(at(1000));
  gate_.release(Index{0});
  EXPECT_EQ(why(one), RefusedWhy::timed_out);
}

TEST_F(ReadGateTest, NoLeaderForTheWholeWait) {
  const size_t one = read(1000);
  gate_.open_rounds(at(0), LeaderView{});
  EXPECT_EQ(gate_.deadline(), at(1000));
  gate_.expire(at(1000));
  gate_.release(Index{0});
  EXPECT_EQ(why(one), RefusedWhy::no_leader);
}

TEST_F(ReadGateTest, AReadThatFoundItsIndexStillTimesOut) {
  const size_t one = read(1000);
  const size_t patient = read(2000);
  gate_.open_rounds(at(0), here_);
  gate_.on_ready(barriers_[0], Index{10});
  gate_.expire(at(1000));
  gate_.release(Index{5});
  EXPECT_EQ(why(one), RefusedWhy::timed_out);
  gate_.release(Index{10});
  EXPECT_TRUE(served(patient));
}

TEST_F(ReadGateTest, PeersShareOurRoundsOnlyWhileWeLead) {
  read();
  gate_.on_peer_asks(NodeId{3}, ReadId{77});
  gate_.open_rounds(at(0), here_);
  ASSERT_EQ(barriers_.size(), 1U);
  gate_.on_ready(barriers_[0], Index{8});
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(answers_[0].theirs, ReadId{77});
  EXPECT_EQ(answers_[0].index, Index{8}) << "answered before we have applied it: they wait";
  gate_.on_peer_asks(NodeId{3}, ReadId{78});
  gate_.open_rounds(at(1), there_);
  ASSERT_EQ(answers_.size(), 2U);
  EXPECT_EQ(answers_[1].index, std::nullopt);
}

TEST_F(ReadGateTest, LosingTheLeadRefusesPeersAndKeepsOurOwn) {
  const size_t one = read();
  gate_.on_peer_asks(NodeId{3}, ReadId{77});
  gate_.open_rounds(at(0), here_);
  gate_.open_rounds(at(1), there_);
  ASSERT_EQ(answers_.size(), 1U);
  EXPECT_EQ(answers_[0].index, std::nullopt);
  gate_.on_ready(barriers_[0], Index{1});  // of an office we no longer hold
  gate_.release(Index{5});
  EXPECT_TRUE(pending(one));
  EXPECT_EQ(asked_.size(), 1U);
}

TEST_F(ReadGateTest, BoundsAndStop) {
  for (size_t count = 0; count < kReadsWaitingMax; ++count) {
    gate_.read(at(1000), [](std::optional<RefusedWhy>) {});
  }
  const size_t over = read();
  gate_.release(Index{0});
  EXPECT_EQ(why(over), RefusedWhy::too_many_requests);
  gate_.stop(RefusedWhy::stopping);
  const size_t late = read();
  gate_.release(Index{0});
  EXPECT_EQ(why(late), RefusedWhy::stopping);
  EXPECT_EQ(gate_.waiting(), 0U);
}

TEST_F(ReadGateTest, ACallbackMayReadAgain) {
  int served_count = 0;
  gate_.read(at(1000), [&](std::optional<RefusedWhy>) {
    ++served_count;
    gate_.read(at(1000), [&](std::optional<RefusedWhy>) { ++served_count; });
  });
  gate_.open_rounds(at(0), here_);
  gate_.on_ready(barriers_[0], Index{0});
  gate_.release(Index{0});
  EXPECT_EQ(served_count, 1);
  gate_.open_rounds(at(0), here_);
  ASSERT_EQ(barriers_.size(), 2U);
  gate_.on_ready(barriers_[1], Index{0});
  gate_.release(Index{0});
  EXPECT_EQ(served_count, 2);
}

}  // namespace
}  // namespace quorate::node
