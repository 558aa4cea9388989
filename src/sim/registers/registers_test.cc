// Registers under faults: linearizable for every seed, and lively.
#include <gtest/gtest.h>

#include "sim/registers/run.h"

namespace quorate::sim::registers {
namespace {

TEST(SimRegisters, AreLinearizableUnderFaults) {
  Totals all;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    const Outcome outcome = run(seed);
    ASSERT_EQ(outcome.broken, "") << "seed " << seed;
    all.applied += outcome.totals.applied;
    all.mismatched += outcome.totals.mismatched;
    all.not_applied += outcome.totals.not_applied;
    all.unknown += outcome.totals.unknown;
    all.crashes += outcome.totals.crashes;
    all.cuts += outcome.totals.cuts;
    all.ballots += outcome.totals.ballots;
  }
  std::printf(
      "applied %lu, mismatched %lu, surely not applied %lu, unknown %lu; crashes %lu, "
      "cuts %lu, prepares %lu\n",
      all.applied, all.mismatched, all.not_applied, all.unknown, all.crashes, all.cuts,
      all.ballots);
  // The runs were worth it: everything that can happen has happened.
  EXPECT_GT(all.applied, 300 * 50);
  EXPECT_GT(all.mismatched, 300);
  EXPECT_GT(all.unknown, 100);
  EXPECT_GT(all.crashes, 300);
}

TEST(SimRegisters, TheSameSeedIsTheSameRun) {
  const Outcome once = run(7);
  const Outcome again = run(7);
  EXPECT_EQ(once.totals.messages, again.totals.messages);
  EXPECT_EQ(once.totals.ballots, again.totals.ballots);
}

}  // namespace
}  // namespace quorate::sim::registers
