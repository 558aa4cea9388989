#include "front/etcd/compaction_plan.h"

#include <gtest/gtest.h>

#include <map>

namespace quorate::front::etcd {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// One write a second, looked at as often as the plan wants; what was compacted, and after how long.
class Passing {
 public:
  explicit Passing(const CompactionRule& rule) : plan_(rule, start_), now_(start_) {}
  int64_t newest() const { return 1 + std::chrono::duration_cast<seconds>(now_ - start_).count(); }
  void pass(Duration duration, bool leads = true) {
    const Time end = now_ + duration;
    while (now_ + plan_.interval() <= end) {
      now_ += plan_.interval();
      if (const auto target = plan_.look(now_, newest(), leads)) {
        compacted[now_ - start_] = *target;
        if (works) plan_.done(now_, *target);
      }
    }
  }
  std::map<Duration, int64_t> compacted;
  bool works = true;

 private:
  const Time start_{seconds(1000)};
  CompactionPlan plan_;
  Time now_;
};

using Compacted = std::map<Duration, int64_t>;

TEST(CompactionPlan, APeriodIsKeptAndCompactedOnceAPeriod) {
  Passing run({CompactionMode::periodic, minutes(10), 0});
  run.pass(minutes(9));
  EXPECT_EQ(run.compacted, Compacted());
  run.pass(minutes(22));
  // The first look came after a minute; from then on what is ten minutes old goes.
  EXPECT_EQ(run.compacted, (Compacted{{minutes(10), 61}, {minutes(20), 601}, {minutes(30), 1201}}));
}

TEST(CompactionPlan, ALongPeriodIsCompactedEveryHour) {
  Passing run({CompactionMode::periodic, hours(24), 0});
  run.pass(hours(26));
  const int64_t first = 1 + 6 * 60;
  EXPECT_EQ(run.compacted,
            (Compacted{{hours(24), first}, {hours(25), 1 + 3600}, {hours(26), 1 + 2 * 3600}}));
}

TEST(CompactionPlan, WhoBecomesLeaderKnowsWhatIsOld) {
  Passing run({CompactionMode::periodic, minutes(10), 0});
  run.pass(minutes(35), false);
  EXPECT_EQ(run.compacted, Compacted());
  run.pass(minutes(1));
  EXPECT_EQ(run.compacted, (Compacted{{minutes(36), 1 + 26 * 60}}));
}

TEST(CompactionPlan, WhatFailedIsTriedAtTheNextLook) {
  Passing run({CompactionMode::periodic, minutes(10), 0});
  run.works = false;
  run.pass(minutes(12));
  EXPECT_EQ(run.compacted.size(), 3U);
}

TEST(CompactionPlan, SoManyRevisionsAreKept) {
  Passing run({CompactionMode::revisions, {}, 400});
  run.pass(minutes(12));
  EXPECT_EQ(run.compacted, (Compacted{{minutes(10), 201}}));
}

TEST(CompactionPlan, NothingNewIsNotCompactedAgain) {
  CompactionPlan plan({CompactionMode::revisions, {}, 10}, Time());
  EXPECT_EQ(plan.look(Time(minutes(5)), 30, true), 20);
  plan.done(Time(minutes(5)), 20);
  EXPECT_EQ(plan.look(Time(minutes(10)), 30, true), std::nullopt);
  EXPECT_EQ(plan.look(Time(minutes(15)), 31, true), 21);
  EXPECT_EQ(plan.look(Time(minutes(20)), 5, true), std::nullopt);
}

}  // namespace
}  // namespace quorate::front::etcd
