// The leader's clock of leases: never early, bounded, and nothing survives a leadership.
#include "node/lease_clock.h"

#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/rng.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

using machine::LeaseMark;
using machine::LeaseTerm;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Duration kExtension = seconds(1);

// A machine and a log of which every entry is applied when the test says so.
class LeaseClockTest : public ::testing::Test, private LeaseClock::Door {
 protected:
  LeaseClockTest() : clock_(*this, kExtension) { clock_.set_table(&table_); }

  struct Table final : machine::LeaseTable {
    std::optional<LeaseTerm> find(int64_t lease) const override {
      const auto place = leases.find(lease);
      return place == leases.end() ? std::nullopt : std::optional(place->second);
    }
    size_t lease_count() const override { return leases.size(); }
    std::vector<int64_t> leases_after(std::optional<int64_t> after, size_t most) const override {
      std::vector<int64_t> found;
      auto place = after ? leases.upper_bound(*after) : leases.begin();
      for (; place != leases.end() && found.size() < most; ++place) found.push_back(place->first);
      return found;
    }
    void set_listener(machine::LeaseListener* wanted) override { listener = wanted; }
    Bytes revoke_command(int64_t lease, uint64_t life) const override {
      Encoder out;
      out.u8(0);
      out.u64(static_cast<uint64_t>(lease));
      out.u64(life);
      return out.take();
    }
    Bytes checkpoint_command(const std::vector<LeaseMark>& marks) const override {
      Encoder out;
      for (const LeaseMark& mark : marks) {
        out.u8(1);
        out.u64(static_cast<uint64_t>(mark.lease));
        out.u64(mark.life);
        out.u64(static_cast<uint64_t>(mark.left_seconds));
      }
      return out.take();
    }
    std::map<int64_t, LeaseTerm> leases;
    machine::LeaseListener* listener = nullptr;
  };

  Time lease_now() const override { return now_; }
  std::optional<Index> propose_own(Bytes command) override {
    if (refuses_) return std::nullopt;
    log_.push_back(std::move(command));
    return Index{kFirst + log_.size() - 1};
  }

  void grant(int64_t lease, int64_t ttl) {
    table_.leases[lease] = {ttl, 0, ++lives_};
    table_.listener->on_lease_granted(lease, table_.leases[lease]);
  }
  void lead(uint64_t round) {
    round_ = round;
    follow();
  }
  void follow() {
    const uint64_t last = kFirst + log_.size() - 1;
    clock_.follow({NodeId{1}, round_, round_ != 0}, round_ != 0, Index{last}, Index{applied_});
  }
  void apply_log() {
    for (; applied_ < kFirst + log_.size() - 1; ++applied_) apply(log_[applied_ + 1 - kFirst]);
    follow();
  }
  void apply(const Bytes& command) {
    Decoder in(command.view());
    while (in.remaining() > 0) {
      const bool checkpoint = in.u8() == 1;
      const auto lease = static_cast<int64_t>(in.u64());
      const uint64_t life = in.u64();
      const auto left = static_cast<int64_t>(checkpoint ? in.u64() : 0);
      const auto place = table_.leases.find(lease);
      if (place == table_.leases.end() || place->second.life != life) continue;
      if (checkpoint) {
        place->second.left_seconds = left;
      } else {
        table_.leases.erase(place);
        table_.listener->on_lease_ended(lease);
        ended_[lease] = now_;
      }
    }
  }
  void pass(Duration time, bool applies = true) {
    const Time until = now_ + time;
    while (now_ < until) {
      now_ = std::min(until, std::max(now_ + milliseconds(1), clock_.deadline()));
      clock_.tick();
      if (applies) apply_log();
    }
  }
  LeaseAnswer::One renew(int64_t lease) { return clock_.decide({1, lease, LeaseWish::renew}); }
  LeaseAnswer::One look(int64_t lease) { return clock_.decide({1, lease, LeaseWish::look}); }

  static constexpr uint64_t kFirst = 1;
  Time now_ = Time{} + minutes(5);
  bool refuses_ = false;
  std::vector<Bytes> log_;
  uint64_t applied_ = 0;
  uint64_t round_ = 0;
  uint64_t lives_ = 0;
  Table table_;
  std::map<int64_t, Time> ended_;
  LeaseClock clock_;
};

TEST_F(LeaseClockTest, ALeaseEndsAfterItsTimeAndNotBefore) {
  lead(1);
  grant(7, 10);
  const Time granted = now_;
  pass(seconds(10) - milliseconds(1));
  EXPECT_TRUE(ended_.empty());
  EXPECT_EQ(look(7).left_seconds, 0);
  pass(seconds(1));
  ASSERT_TRUE(ended_.contains(7));
  EXPECT_GE(ended_[7] - granted, seconds(10));
  EXPECT_EQ(renew(7).state, LeaseState::gone);
}

TEST_F(LeaseClockTest, ARenewalBeginsTheTimeAnew) {
  lead(1);
  grant(7, 10);
  for (int i = 0; i < 20; ++i) {
    pass(seconds(9));
    EXPECT_EQ(look(7).left_seconds, 1);
    EXPECT_EQ(renew(7).state, LeaseState::alive);
    EXPECT_EQ(look(7).left_seconds, 10);
  }
  EXPECT_TRUE(log_.empty());  // renewals leave no trace
  pass(seconds(11));
  EXPECT_TRUE(ended_.contains(7));
}

TEST_F(LeaseClockTest, WhatHasRunOutIsNotBroughtBack) {
  lead(1);
  grant(7, 10);
  pass(seconds(11), false);
  EXPECT_EQ(clock_.revokes_under_way(), 1U);
  EXPECT_EQ(renew(7).state, LeaseState::later);
  pass(seconds(30), false);
  EXPECT_EQ(log_.size(), 1U);  // once is enough
  apply_log();
  EXPECT_EQ(renew(7).state, LeaseState::gone);
  EXPECT_EQ(clock_.revokes_under_way(), 0U);
}

TEST_F(LeaseClockTest, ANewLeaderGivesTheFullTimeAndAnExtension) {
  table_.leases[7] = {10, 0, ++lives_};
  table_.leases[8] = {600, 30, ++lives_};
  lead(3);
  pass(milliseconds(1));
  EXPECT_EQ(look(7).left_seconds, 11);
  EXPECT_EQ(look(8).left_seconds, 31);
  const Time began = now_;
  pass(seconds(100));
  EXPECT_GE(ended_.at(7) - began, seconds(10));
  EXPECT_GE(ended_.at(8) - began, seconds(30));
}

TEST_F(LeaseClockTest, NothingRunsBeforeEarlierEntriesAreApplied) {
  log_.emplace_back();  // an entry of before
  table_.leases[7] = {1, 0, ++lives_};
  lead(3);
  EXPECT_FALSE(clock_.running());
  pass(seconds(30), false);
  EXPECT_EQ(log_.size(), 1U);
  apply_log();
  EXPECT_TRUE(clock_.running());
}

TEST_F(LeaseClockTest, ANewRoundForgetsWhatTheLastOneProposed) {
  lead(1);
  grant(7, 10);
  pass(seconds(11), false);
  ASSERT_EQ(log_.size(), 1U);
  log_.clear();  // lost with the leadership
  lead(0);
  EXPECT_FALSE(clock_.running());
  EXPECT_EQ(clock_.deadline(), kNever);
  lead(2);
  EXPECT_EQ(renew(7).state, LeaseState::alive);
  EXPECT_EQ(clock_.revokes_under_way(), 0U);
  lead(4);  // deposed and elected again, unseen between two looks
  EXPECT_EQ(look(7).left_seconds, 11);
}

TEST_F(LeaseClockTest, ManyThatEndAtOnceAreRevokedAtABoundedRate) {
  lead(1);
  constexpr int64_t kLeases = 5000;
  for (int64_t lease = 1; lease <= kLeases; ++lease) grant(lease, 10);
  pass(seconds(10) - milliseconds(1));
  EXPECT_TRUE(log_.empty());
  pass(seconds(1));
  EXPECT_GT(ended_.size(), 800U);
  EXPECT_LE(ended_.size(), 1100U);
  pass(seconds(5));
  EXPECT_EQ(ended_.size(), static_cast<size_t>(kLeases));
}

TEST_F(LeaseClockTest, ALogThatDecidesNothingGetsNoMoreThanTheBound) {
  lead(1);
  for (int64_t lease = 1; lease <= 3000; ++lease) grant(lease, 10);
  pass(seconds(60), false);
  EXPECT_EQ(log_.size(), kLeaseRevokesUnderWayMax);
  apply_log();
  pass(seconds(10));
  EXPECT_EQ(ended_.size(), 3000U);
}

TEST_F(LeaseClockTest, WhatTheReplicaRefusesIsProposedLater) {
  lead(1);
  grant(7, 10);
  refuses_ = true;
  pass(seconds(20));
  EXPECT_TRUE(log_.empty());
  EXPECT_EQ(clock_.revokes_under_way(), 0U);
  refuses_ = false;
  pass(seconds(1));
  EXPECT_TRUE(ended_.contains(7));
}

TEST_F(LeaseClockTest, LongLeasesAreCheckpointedAndARenewalTakesThatBackFirst) {
  lead(1);
  grant(7, 3600);
  grant(8, 60);
  pass(minutes(11));
  EXPECT_FALSE(table_.leases.contains(8));
  const int64_t left = table_.leases.at(7).left_seconds;
  EXPECT_GE(left, 3600 - 601);
  EXPECT_LE(left, 3600 - 599);
  // The checkpoint stands in the log: until it is taken back there, nobody is told of a renewal.
  EXPECT_EQ(renew(7).state, LeaseState::later);
  EXPECT_EQ(renew(7).state, LeaseState::later);
  apply_log();
  EXPECT_EQ(table_.leases.at(7).left_seconds, 0);
  EXPECT_EQ(renew(7).state, LeaseState::alive);
  EXPECT_EQ(look(7).left_seconds, 3600);
}

TEST_F(LeaseClockTest, ARenewalWaitsForACheckpointThatIsUnderWay) {
  lead(1);
  grant(7, 3600);
  pass(minutes(5) + milliseconds(200), false);
  ASSERT_EQ(log_.size(), 1U);
  EXPECT_EQ(table_.leases.at(7).left_seconds, 0);  // not applied yet
  EXPECT_EQ(renew(7).state, LeaseState::later);
  apply_log();
  EXPECT_EQ(renew(7).state, LeaseState::later);  // now it is taken back
  apply_log();
  EXPECT_EQ(renew(7).state, LeaseState::alive);
}

TEST_F(LeaseClockTest, TheLongestLeaseDoesNotOverflow) {
  lead(1);
  grant(7, 9'000'000'000);
  grant(8, 9'100'000'000);
  pass(minutes(30));
  EXPECT_TRUE(table_.leases.contains(7));
  EXPECT_TRUE(table_.leases.contains(8));
  EXPECT_GT(look(7).left_seconds, 8'900'000'000);
}

// Grants, renewals, checkpoints and changes of leader in any order: no lease ends before the time
// that was promised last.
TEST_F(LeaseClockTest, NeverEarly) {
  Rng rng(5);
  std::map<int64_t, Time> promised;
  uint64_t round = 1;
  lead(round);
  size_t ends = 0;
  for (int step = 0; step < 20'000; ++step) {
    const auto lease = static_cast<int64_t>(1 + rng.below(12));
    switch (rng.below(6)) {
      case 0:
        if (clock_.running() && !table_.leases.contains(lease)) {
          const auto ttl = static_cast<int64_t>(rng.below(4) == 0 ? 1000 : 1 + rng.below(20));
          grant(lease, ttl);
          promised[lease] = now_ + seconds(ttl);
        }
        break;
      case 1:
      case 2:
        if (clock_.running() && renew(lease).state == LeaseState::alive) {
          promised[lease] = now_ + seconds(table_.leases.at(lease).granted_seconds);
        }
        break;
      case 3:
        if (rng.below(8) == 0) {
          apply_log();
          lead(rng.below(3) == 0 ? 0 : ++round);
        } else if (round_ == 0) {
          lead(++round);
        }
        break;
      default:
        pass(milliseconds(1 + static_cast<int64_t>(rng.below(rng.below(40) == 0 ? 400'000 : 4000))),
             rng.below(3) != 0);
        apply_log();
    }
    for (const auto& [ended, when] : ended_) {
      ASSERT_GE(when, promised.at(ended)) << "lease " << ended << " in step " << step;
      ++ends;
    }
    ended_.clear();
  }
  EXPECT_GT(ends, 100U);
}

}  // namespace
}  // namespace quorate::node
