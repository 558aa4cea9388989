// The small named scopes are searched to their ends in each test run; the large ones by
// `quorate explore`.
#include <gtest/gtest.h>

#include "explore/report.h"

namespace quorate::explore {
namespace {

void see_whole(const char* name, consensus::Protocol protocol) {
  auto scope = scope_named(name);
  ASSERT_TRUE(scope.has_value()) << scope.error().text;
  scope->protocol = protocol;
  const Report report = explore(*scope, Limits{});
  EXPECT_EQ(report.broken, "");
  EXPECT_TRUE(report.exhausted()) << report.stopped;
  // Bounds so narrow that nothing happens would pass as well.
  EXPECT_GT(report.states, 10'000U);
  std::printf("%s\n", table_row(report).c_str());
}

class SmallScope : public testing::TestWithParam<const char*> {};

TEST_P(SmallScope, IsSeenWholeAndBreaksNothing) {
  see_whole(GetParam(), consensus::Protocol::raft);
}

// Mirror images are states of their own here, since ballots are ordered by node too; so these are
// the smallest in which phase 1, leases, changes of members and crashes all occur.
class SmallScopeOfMultiPaxos : public testing::TestWithParam<const char*> {};

TEST_P(SmallScopeOfMultiPaxos, IsSeenWholeAndBreaksNothing) {
  see_whole(GetParam(), consensus::Protocol::multi_paxos);
}

INSTANTIATE_TEST_SUITE_P(Scopes, SmallScope,
                         testing::Values("learners", "members", "lease", "joint", "duplicates",
                                         "crashes", "elections"));
INSTANTIATE_TEST_SUITE_P(Scopes, SmallScopeOfMultiPaxos,
                         testing::Values("learners", "lease", "joint", "duplicates", "crashes"));

}  // namespace
}  // namespace quorate::explore
