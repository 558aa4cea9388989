#include "load/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <thread>

#include "load/clock.h"

namespace quorate::load {
namespace {

using std::chrono::milliseconds;

// A server that answers one operation after the other, each after `service`; between `stalls`
// and `stalls_until` it does nothing at all.
class OneByOne final : public Driver {
 public:
  explicit OneByOne(Duration service) : service_(service) {}
  std::vector<std::string> kinds() const override { return {"even", "odd"}; }
  void issue(const Operation& operation) override {
    EXPECT_EQ(operation.sequence, issued_++);
    for (const Operation& other : queue_) EXPECT_NE(other.slot, operation.slot);
    queue_.push_back(operation);
    most_under_way_ = std::max(most_under_way_, queue_.size());
  }
  void turn(Duration patience, Listener& listener) override {
    const Time until = clock_now() + patience;
    do {
      const Time now = clock_now();
      if (now >= stalls_ && now < stalls_until_) {
        std::this_thread::sleep_for(std::min<Duration>(stalls_until_ - now, until - now));
        continue;
      }
      if (queue_.empty() || silent_) {
        std::this_thread::sleep_for(std::min<Duration>(patience, milliseconds(1)));
        return;
      }
      std::this_thread::sleep_for(service_);
      const Operation first = queue_.front();
      queue_.pop_front();
      const Outcome outcome = fail_every_ != 0 && first.sequence % fail_every_ == 0
                                  ? Outcome::unavailable
                                  : Outcome::ok;
      listener.on_done(first.slot, outcome, static_cast<uint8_t>(first.sequence % 2));
      return;
    } while (clock_now() < until);
  }

  Duration service_;
  Time stalls_ = kNever;
  Time stalls_until_ = kNever;
  bool silent_ = false;
  uint64_t fail_every_ = 0;
  std::deque<Operation> queue_;
  uint64_t issued_ = 0;
  size_t most_under_way_ = 0;
};

Plan short_plan() {
  Plan plan;
  plan.warm_up = milliseconds(50);
  plan.measured = milliseconds(400);
  return plan;
}

void expect_accounts_balance(const Measurement& measured) {
  EXPECT_EQ(measured.issued, measured.ok + measured.failed + measured.unfinished);
}

TEST(RunnerTest, ClosedLoopKeepsSoManyUnderWay) {
  OneByOne driver(std::chrono::microseconds(200));
  Plan plan = short_plan();
  plan.outstanding = 7;
  Observer observer;
  const Measurement measured = run(driver, plan, observer);
  expect_accounts_balance(measured);
  EXPECT_EQ(driver.most_under_way_, 7U);
  EXPECT_EQ(measured.unfinished, 0U);
  EXPECT_LT(measured.in_window(), measured.ok);  // the warm-up does not count
  EXPECT_GT(measured.in_window(), 0U);
  // Each waits for the six before it (Little's law): no faster than seven services.
  EXPECT_GE(measured.kinds[0].latency.at(0.5), std::chrono::microseconds(1390));
  EXPECT_GT(measured.kinds[1].in_window, 0U);
}

TEST(RunnerTest, ExactlySoManyOperations) {
  OneByOne driver(Duration{});
  Plan plan;
  plan.operations = 1000;
  plan.outstanding = 64;
  Observer observer;
  const Measurement measured = run(driver, plan, observer);
  EXPECT_EQ(measured.issued, 1000U);
  EXPECT_EQ(measured.in_window(), 1000U);
  EXPECT_EQ(measured.kinds[0].latency.count(), 500U);
  EXPECT_GT(measured.per_second(), 0);
}

TEST(RunnerTest, AnErrorIsNoResult) {
  OneByOne driver(Duration{});
  driver.fail_every_ = 4;
  Plan plan;
  plan.operations = 1000;
  Observer observer;
  const Measurement measured = run(driver, plan, observer);
  EXPECT_EQ(measured.failed, 250U);
  EXPECT_EQ(measured.ok, 750U);
  EXPECT_EQ(measured.in_window(), 750U);
  EXPECT_EQ(measured.errors(), 250U);
  EXPECT_EQ(measured.outcomes[static_cast<size_t>(Outcome::unavailable)], 250U);
  EXPECT_EQ(measured.kinds[0].latency.count() + measured.kinds[1].latency.count(), 750U);
}

// What a closed loop hides: while the server stands still for 150 ms, operations go on being due,
// and every one of them has waited.
TEST(RunnerTest, OpenLoopCountsFromTheIntendedTime) {
  OneByOne driver(Duration{});
  Plan plan = short_plan();
  plan.rate = 1000;
  plan.outstanding = 1;
  driver.stalls_ = clock_now() + milliseconds(150);
  driver.stalls_until_ = driver.stalls_ + milliseconds(150);
  Observer observer;
  const Measurement measured = run(driver, plan, observer);
  expect_accounts_balance(measured);
  LatencyHistogram all = measured.kinds[0].latency;
  all.merge(measured.kinds[1].latency);
  EXPECT_NEAR(static_cast<double>(all.count()), 400, 5);
  // A third of the window stood still, so a tenth at least waited for over 50 ms.
  EXPECT_GE(all.at(0.9), milliseconds(50));
  EXPECT_GE(all.most(), milliseconds(140));
  EXPECT_GE(measured.late, 100U);
  EXPECT_GE(measured.backlog_most, 100U);
  EXPECT_EQ(measured.unsent, 0U);
  // The slowest is the first that the stall held up, or its kind's first.
  for (const KindResult& kind : measured.kinds) {
    EXPECT_NEAR(seconds_of(kind.slowest_at - driver.stalls_), 0, 0.06);
  }
  EXPECT_NEAR(seconds_of(measured.kinds[0].slowest_at - measured.opened), 0.1, 0.08);
}

TEST(RunnerTest, WhatNeverEndsIsCountedAsUnfinishedAndSlow) {
  OneByOne driver(Duration{});
  driver.silent_ = true;
  Plan plan = short_plan();
  plan.rate = 100;
  plan.outstanding = 3;
  plan.drain = milliseconds(300);
  struct Windows final : Observer {
    void on_window(bool opens) override { (opens ? opened : closed) = clock_now(); }
    Time opened, closed;
  } observer;
  const Measurement measured = run(driver, plan, observer);
  expect_accounts_balance(measured);
  EXPECT_EQ(measured.ok, 0U);
  EXPECT_EQ(measured.unfinished, 3U);
  EXPECT_GE(measured.unsent, 35U);
  // Theirs is the time that they were waited for, at the least.
  EXPECT_GE(measured.kinds[0].latency.count(), 35U);
  EXPECT_GE(measured.kinds[0].latency.most(), plan.drain);
  EXPECT_GE(observer.closed - observer.opened, milliseconds(395));
}

TEST(RunnerTest, AskedToStopItReportsWhatItHas) {
  OneByOne driver(std::chrono::microseconds(100));
  Plan plan;
  plan.warm_up = Duration{};
  plan.measured = std::chrono::minutes(10);
  struct Stopper final : Observer {
    bool stop_asked() override { return clock_now() > until; }
    Time until = clock_now() + milliseconds(200);
  } observer;
  const Measurement measured = run(driver, plan, observer);
  EXPECT_TRUE(measured.stopped);
  EXPECT_EQ(measured.unfinished, 0U);
  EXPECT_GT(measured.in_window(), 0U);
  EXPECT_LT(measured.window, std::chrono::seconds(60));
}

}  // namespace
}  // namespace quorate::load
