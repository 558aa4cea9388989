// Bounds small enough for every run; the full ones are searched by synod_mutant_test without a bug
// and by `quorate explore --synod`.
#include <gtest/gtest.h>

#include "explore/synod/duel.h"
#include "explore/synod/process.h"
#include "explore/synod/remedy.h"
#include "explore/synod/report.h"
#include "explore/synod/scope.h"

namespace quorate::explore::synod {
namespace {

TEST(ExploreSynod, OneBallotIsCountedByHand) {
  // Nothing has happened: 1. Then A's ballot or B's: a set of acceptors has promised (8), of which
  // the proposer has heard none (8) or one (12, the sizes of the sets added up). When it has heard
  // two it asks them to accept and forgets who they were. The sets of two promises (3) and of three
  // (1) are left, and each acceptor accepts or not (8), the one that never promised as well.
  Scope scope;
  scope.ballots = 1;
  scope.rounds = 1;
  scope.crashes = 0;
  const Report report = explore(scope, {});
  EXPECT_TRUE(report.exhausted());
  // Without a majority of promises heard: 3 acceptors promised or not, promises heard or not, at
  // most one of them heard: 8 sets of promises, and 1 + 1/2 * 3 * 8 ways to have heard at most one.
  // 8 + 12 states; then the majority is heard (4 sets of promises: 3 of two, 1 of three), and each
  // acceptor that promised may accept, the third also without having promised; which two were
  // heard is forgotten. 3 sets of two promises: 2^3 acceptances; the third promise may come only
  // while it has not accepted: sets of three promises: 2^3.
  // With {1,2} promised and 3 not: 8 states; with all three: 8 states. So 3 * 8 + 8.
  EXPECT_EQ(report.states, 1 + 2 * (8 + 12 + (3 + 1) * 8));
  // Of the eight, four hold a majority.
  EXPECT_EQ(report.deciding, 2 * (3 + 1) * 4);
}

TEST(ExploreSynod, TwoBallotsWithACrashBreakNothing) {
  Scope scope;
  scope.ballots = 2;
  scope.rounds = 3;
  const Report report = explore(scope, {});
  EXPECT_EQ(report.broken, "");
  EXPECT_TRUE(report.exhausted());
  EXPECT_GT(report.deciding, 0);
  Scope quick = scope;
  quick.slow_disk = false;
  EXPECT_LT(explore(quick, {}).states, report.states);
}

TEST(ExploreSynod, SaysHonestlyThatItWasStopped) {
  Limits limits;
  limits.states_max = 100;
  const Report report = explore({}, limits);
  EXPECT_FALSE(report.exhausted());
  EXPECT_NE(table_row(report, 0).find("stopped: the bound on states"), std::string::npos);
}

TEST(ExploreSynod, FindsAnEndlessDuel) {
  const Duel duel = find_endless_duel(100);
  ASSERT_TRUE(duel.found());
  EXPECT_GE(duel.rounds_higher, 1);
  EXPECT_EQ(duel.circles_played, 100);
  EXPECT_GE(duel.ballots_played, 100 * 2);
  for (const char* who : {"acceptor 1", "acceptor 2", "acceptor 3", "proposer A", "proposer B"}) {
    EXPECT_NE(story(duel).find(who), std::string::npos) << who;
  }
}

TEST(ExploreSynod, BackOffAndADistinguishedProposerEndIt) {
  const auto remedies = measure_remedies(200);
  ASSERT_EQ(remedies.size(), 6);
  for (const Remedy& it : remedies) {
    if (it.retry == Retry::at_once) {
      if (it.delays == Delays::unfair) {
        EXPECT_LT(it.decided, it.runs);
      }
      continue;
    }
    EXPECT_EQ(it.decided, it.runs);
    EXPECT_LE(it.ballots_most, it.retry == Retry::distinguished ? 2 : 40);  // X06: within a bound
  }
}

}  // namespace
}  // namespace quorate::explore::synod
