#include "load/event_check.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/rng.h"

namespace quorate::load {
namespace {

TEST(EventCheckTest, SameOrderForAllIsFine) {
  EventCheck check(3);
  Rng rng(3);
  std::vector<int64_t> revisions;
  for (int64_t revision = 5; revisions.size() < 1000;
       revision += 1 + static_cast<int64_t>(rng.below(3))) {
    revisions.push_back(revision);
  }
  std::vector<size_t> next(3, 0);
  while (next[0] + next[1] + next[2] < 3000) {
    const auto watcher = static_cast<uint32_t>(rng.below(3));
    if (next[watcher] < 1000) check.take(watcher, revisions[next[watcher]++]);
  }
  EXPECT_EQ(check.events(), 1000U);
  EXPECT_EQ(check.delivered(), 3000U);
  EXPECT_EQ(check.behind(), 0U);
  EXPECT_EQ(check.missed() + check.out_of_order(), 0U);
}

TEST(EventCheckTest, WhatIsStillToComeIsCounted) {
  EventCheck check(3);
  for (const int64_t revision : {1, 2, 4}) check.take(0, revision);
  check.take(1, 1);
  EXPECT_EQ(check.behind(), 2U);
  EXPECT_EQ(check.lacking(), 5U);
  for (const int64_t revision : {2, 4}) check.take(1, revision);
  for (const int64_t revision : {1, 4}) check.take(2, revision);  // 2 was skipped, never to come
  EXPECT_EQ(check.lacking(), 0U);
  EXPECT_EQ(check.missed(), 1U);
}

TEST(EventCheckTest, AnEventTwiceIsFound) {
  EventCheck check(2);
  for (const int64_t revision : {1, 2, 2, 3}) check.take(0, revision);
  for (const int64_t revision : {1, 2, 3}) check.take(1, revision);
  EXPECT_EQ(check.out_of_order(), 1U);
  EXPECT_EQ(check.missed(), 0U);
  EXPECT_EQ(check.behind(), 0U);
}

TEST(EventCheckTest, AMissingEventIsFoundOnceAndForgiven) {
  EventCheck check(2);
  for (const int64_t revision : {1, 2, 3, 4, 5}) check.take(0, revision);
  for (const int64_t revision : {1, 2, 4, 5}) check.take(1, revision);
  EXPECT_EQ(check.missed(), 1U);
  EXPECT_EQ(check.out_of_order(), 0U);
  EXPECT_EQ(check.behind(), 0U);
}

// The one in front missed it, and it shows as soon as another sees it.
TEST(EventCheckTest, MissedByTheOneInFront) {
  EventCheck check(2);
  for (const int64_t revision : {1, 2, 4, 5}) check.take(0, revision);
  for (const int64_t revision : {1, 2, 3, 4, 5}) check.take(1, revision);
  EXPECT_EQ(check.missed(), 1U);
  EXPECT_EQ(check.behind(), 0U);
}

TEST(EventCheckTest, ExchangedEventsAreFound) {
  EventCheck check(2);
  for (const int64_t revision : {1, 2, 3}) check.take(0, revision);
  for (const int64_t revision : {1, 3, 2}) check.take(1, revision);
  EXPECT_GE(check.missed() + check.out_of_order(), 1U);
}

TEST(EventCheckTest, WhoLagsIsBehind) {
  EventCheck check(3);
  check.take(0, 1);
  check.take(0, 2);
  check.take(1, 1);
  EXPECT_EQ(check.behind(), 2U);
}

TEST(EventCheckTest, ALongRunIsForgottenAsItGoes) {
  EventCheck check(2);
  for (int64_t revision = 1; revision <= 3'500'000; ++revision) {
    check.take(0, revision);
    check.take(1, revision);
  }
  EXPECT_EQ(check.events(), 3'500'000U);
  EXPECT_EQ(check.behind(), 0U);
  EXPECT_EQ(check.missed() + check.out_of_order(), 0U);
}

}  // namespace
}  // namespace quorate::load
