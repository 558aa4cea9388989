// The small named scopes are searched to their ends in each test run; the large ones by
// `quorate explore`.
#include <gtest/gtest.h>

#include "explore/report.h"

namespace quorate::explore {
namespace {

class SmallScope : public testing::TestWithParam<const char*> {};

TEST_P(SmallScope, IsSeenWholeAndBreaksNothing) {
  const auto scope = scope_named(GetParam());
  ASSERT_TRUE(scope.has_value()) << scope.error().text;
  const Report report = explore(*scope, Limits{});
  EXPECT_EQ(report.broken, "");
  EXPECT_TRUE(report.exhausted()) << report.stopped;
  // Bounds so narrow that nothing happens would pass as well.
  EXPECT_GT(report.states, 10'000U);
  std::printf("%s\n", table_row(report).c_str());
}

INSTANTIATE_TEST_SUITE_P(Scopes, SmallScope,
                         testing::Values("learners", "members", "lease", "joint", "duplicates",
                                         "crashes", "elections"));

}  // namespace
}  // namespace quorate::explore
