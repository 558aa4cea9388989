#include "load/schedule.h"

#include <gtest/gtest.h>

namespace quorate::load {
namespace {

TEST(ScheduleTest, EvenOnesDoNotDrift) {
  const Time start{std::chrono::seconds(5)};
  Schedule schedule(start, 3, Arrivals::even, 1);
  EXPECT_EQ(schedule.next(), start);
  for (int count = 0; count < 3'000'000; ++count) schedule.advance();
  EXPECT_EQ(schedule.next(), start + std::chrono::seconds(1'000'000));
}

TEST(ScheduleTest, PoissonHasTheRateAndItsSpread) {
  const Time start{};
  Schedule schedule(start, 1000, Arrivals::poisson, 42);
  constexpr int kCount = 200'000;
  double squares = 0;
  Time last = start;
  int above_mean = 0;
  for (int count = 0; count < kCount; ++count) {
    const double gap = std::chrono::duration<double, std::milli>(schedule.next() - last).count();
    ASSERT_GE(gap, 0);
    squares += gap * gap;
    if (gap > 1) ++above_mean;
    last = schedule.next();
    schedule.advance();
  }
  const double seconds = std::chrono::duration<double>(last - start).count();
  EXPECT_NEAR(seconds, kCount / 1000.0, 2);
  // Of an exponential distribution the mean square is twice the square of the mean, and e^-1 of
  // all are above the mean.
  EXPECT_NEAR(squares / kCount, 2, 0.05);
  EXPECT_NEAR(static_cast<double>(above_mean) / kCount, 0.3679, 0.01);
}

TEST(ScheduleTest, TheSeedDecides) {
  Schedule one(Time{}, 100, Arrivals::poisson, 1);
  Schedule same(Time{}, 100, Arrivals::poisson, 1);
  Schedule other(Time{}, 100, Arrivals::poisson, 2);
  for (int count = 0; count < 10; ++count) {
    one.advance();
    same.advance();
    other.advance();
  }
  EXPECT_EQ(one.next(), same.next());
  EXPECT_NE(one.next(), other.next());
}

}  // namespace
}  // namespace quorate::load
