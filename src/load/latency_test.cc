#include "load/latency.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "load/outcome.h"

namespace quorate::load {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

TEST(Latency, NothingCountedIsZero) {
  const LatencyHistogram empty;
  EXPECT_EQ(empty.count(), 0U);
  EXPECT_EQ(empty.at(0.5), Duration{});
  EXPECT_EQ(empty.mean(), Duration{});
  EXPECT_EQ(empty.least(), Duration{});
}

TEST(Latency, OneValueIsEveryPercentile) {
  LatencyHistogram histogram;
  histogram.add(microseconds(137));
  for (const double share : {0.0, 0.5, 0.999, 1.0}) {
    EXPECT_EQ(histogram.at(share), microseconds(137));
  }
}

// Against the definition: the sorted list of all values.
TEST(Latency, PercentilesAreWithinOnePercentOfTheSortedValues) {
  Rng rng(7);
  LatencyHistogram histogram;
  std::vector<int64_t> values;
  for (int count = 0; count < 50'000; ++count) {
    // Evenly over the powers of two from nanoseconds to minutes.
    const uint64_t power = rng.below(36);
    const auto value = static_cast<int64_t>(rng.between(1ULL << power, 2ULL << power));
    values.push_back(value);
    histogram.add(Duration(value));
  }
  std::ranges::sort(values);
  for (const double share : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(values.size())));
    const auto exact = static_cast<double>(values[rank - 1]);
    const auto told = static_cast<double>(histogram.at(share).count());
    EXPECT_GE(told, exact) << share;
    EXPECT_LE(told, exact * 1.008 + 1) << share;
  }
  EXPECT_EQ(histogram.most().count(), values.back());
  EXPECT_EQ(histogram.least().count(), values.front());
}

TEST(Latency, MergedIsTheSameAsAddedToOne) {
  LatencyHistogram one;
  LatencyHistogram two;
  LatencyHistogram both;
  for (int count = 1; count <= 1000; ++count) {
    (count % 3 == 0 ? one : two).add(microseconds(count));
    both.add(microseconds(count));
  }
  one.merge(two);
  EXPECT_EQ(one.count(), 1000U);
  EXPECT_EQ(one.mean(), both.mean());
  EXPECT_EQ(one.at(0.99), both.at(0.99));
  one.clear();
  EXPECT_EQ(one.count(), 0U);
}

TEST(Latency, StrangeTimesAreKept) {
  LatencyHistogram histogram;
  histogram.add(Duration(-5));  // a clock that went back
  histogram.add(std::chrono::hours(100));
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.least(), Duration{});
  EXPECT_EQ(histogram.most(), std::chrono::hours(100));
  EXPECT_GE(histogram.at(1.0), std::chrono::hours(1));
}

TEST(Latency, TimesCountAsOften) {
  LatencyHistogram histogram;
  histogram.add(milliseconds(1), 99);
  histogram.add(milliseconds(100));
  EXPECT_EQ(histogram.count(), 100U);
  EXPECT_LT(histogram.at(0.99), milliseconds(2));
  EXPECT_EQ(histogram.at(0.991), milliseconds(100));
}

TEST(Outcomes, StatusIsReadStrictly) {
  EXPECT_EQ(outcome_of_status("0"), Outcome::ok);
  EXPECT_EQ(outcome_of_status("14"), Outcome::unavailable);
  EXPECT_EQ(outcome_name(outcome_of_status("8")), "ResourceExhausted");
  // What says nothing clear is never a success.
  for (const char* text : {"", "17", "0x", " 0", "-1", "00000000000000000000000001", "ok"}) {
    EXPECT_NE(outcome_of_status(text), Outcome::ok) << text;
  }
}

}  // namespace
}  // namespace quorate::load
