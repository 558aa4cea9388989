#include "check/revision_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "check/describe.h"
#include "check/history_text.h"
#include "check/store_model.h"
#include "check/test_corruptions.h"
#include "check/test_histories.h"

namespace quorate::check {
namespace {

std::string told(const Verdict& verdict) {
  std::string text = verdict.why_undecided;
  for (const Finding& each : verdict.findings) text += "\n" + each.rule + ": " + each.words;
  return text;
}

void expect_accepted(const TestWorld& world) {
  const History history = loaded(make_history(world));
  const Verdict verdict = check_by_revision(history, {});
  EXPECT_EQ(verdict.linearizable, Decision::yes) << "seed " << world.seed << told(verdict);
}

TEST(RevisionCheck, AcceptsCorrectHistories) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    expect_accepted({.seed = seed, .calls = 200, .processes = 6, .watches = 2});
  }
}

TEST(RevisionCheck, AcceptsUnknownOutcomes) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    expect_accepted({.seed = seed,
                     .calls = 200,
                     .processes = 6,
                     .unknown_per_million = 100'000,
                     .failed_per_million = 50'000,
                     .watches = static_cast<uint32_t>(seed % 3)});
  }
}

TEST(RevisionCheck, AcceptsLeases) {
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    expect_accepted({.seed = seed,
                     .calls = 200,
                     .processes = 6,
                     .unknown_per_million = seed % 2 == 0 ? 50'000U : 0U,
                     .leases = true,
                     .watches = static_cast<uint32_t>(seed % 3),
                     .notes = seed % 4 == 0});
  }
}

// A cluster that commits late what nobody waits for any more: who made which revision is open, but
// a key that came into being later cannot have been written there, unless it was deleted.
TEST(RevisionCheck, PlacesManyWritesThatNobodySaw) {
  std::string calls;
  int number = 0;
  for (const char* key : {"other", "seen"}) {
    for (int i = 0; i < 60; ++i) {
      const std::string name = std::to_string(++number);
      calls += "1 call " + name + " process=" + name + " put key=\"" + key + "\" value=\"" + name +
               "\"\n";
    }
  }
  const std::string before = "quorate-history 1\n" + calls;
  const std::string after =
      "3 call 901 process=901 put key=\"seen\" value=\"x\"\n"
      "4 ok 901 revision=30\n"
      "5 call 902 process=902 get key=\"seen\"\n"
      "6 ok 902 revision=30 answer count=1 [value=\"x\" create=30 mod=30 version=1]\n";
  CheckLimits limits;
  limits.replay_steps_max = 10'000;
  const Result<History> plain = read_history(before + after);
  ASSERT_TRUE(plain) << plain.error().text;
  const Verdict verdict = check_by_revision(*plain, limits);
  EXPECT_EQ(verdict.linearizable, Decision::yes) << told(verdict);

  const Result<History> erased = read_history(
      before + "1 call 900 process=900 delete key=\"seen\"\n2 ok 900 revision=29 answer count=1\n" +
      after);
  ASSERT_TRUE(erased) << erased.error().text;
  const Verdict with_delete = check_by_revision(*erased, limits);
  EXPECT_EQ(with_delete.linearizable, Decision::yes) << told(with_delete);
}

// The version of a key tells that one of its writes, and not more, is among the many; and that it
// was made before the key was written again, whatever later revisions may have made.
TEST(RevisionCheck, FindsTheOneWriteThatAVersionCounts) {
  std::string text =
      "quorate-history 1\n"
      "1 call 901 process=901 put key=\"seen\" value=\"x\"\n"
      "2 ok 901 revision=2\n";
  for (int number = 1; number <= 120; ++number) {
    const std::string name = std::to_string(number);
    text += "3 call " + name + " process=" + name + " put key=\"" +
            (number == 1 ? "seen" : "other") + "\" value=\"" + name + "\"\n";
  }
  text +=
      "4 call 902 process=902 put key=\"seen\" value=\"y\"\n"
      "5 ok 902 revision=40\n"
      "6 call 903 process=903 put key=\"third\" value=\"z\"\n"
      "7 ok 903 revision=50\n"
      "8 call 904 process=904 get key=\"seen\"\n"
      "9 ok 904 revision=50 answer count=1 [value=\"y\" create=2 mod=40 version=";
  CheckLimits limits;
  limits.replay_steps_max = 200'000;
  for (const char* version : {"2]\n", "3]\n"}) {
    const Result<History> history = read_history(text + version);
    ASSERT_TRUE(history) << history.error().text;
    const Verdict verdict = check_by_revision(*history, limits);
    EXPECT_EQ(verdict.linearizable, Decision::yes) << version << told(verdict);
  }
  const Result<History> wrong = read_history(text + "4]\n");
  ASSERT_TRUE(wrong) << wrong.error().text;
  EXPECT_NE(check_by_revision(*wrong, limits).linearizable, Decision::yes);
}

// Every kind must be found wherever it is done; `world` has unique values.
void expect_rejected(const std::vector<Corruption>& kinds, TestWorld world, uint64_t seeds) {
  for (const Corruption& kind : kinds) {
    uint64_t done = 0;
    for (world.seed = 1; world.seed <= seeds; ++world.seed) {
      TestHistory history = make_history(world);
      Rng rng(world.seed * 1000);
      if (!kind.apply(history, rng)) continue;
      ++done;
      const Verdict verdict = check_by_revision(loaded(history), {});
      EXPECT_EQ(verdict.linearizable, Decision::no)
          << kind.name << " was accepted, seed " << world.seed << told(verdict);
      if (verdict.findings.empty()) continue;
      EXPECT_FALSE(verdict.findings[0].words.empty());
      EXPECT_LE(verdict.findings[0].operations.size(), 4U) << verdict.findings[0].words;
    }
    EXPECT_GE(done, seeds / 20) << kind.name << " finds no place";
  }
}

TEST(RevisionCheck, RejectsCorruptedCalls) {
  expect_rejected(
      call_corruptions(),
      {.calls = 120, .processes = 5, .failed_per_million = 50'000, .few_values_per_million = 0},
      60);
}

TEST(RevisionCheck, RejectsCorruptedWatches) {
  expect_rejected(watch_corruptions(),
                  {.calls = 150, .processes = 5, .few_values_per_million = 0, .watches = 3}, 60);
}

TEST(RevisionCheck, RejectsCorruptedLeases) {
  expect_rejected(lease_corruptions(), {.calls = 250, .processes = 4, .leases = true}, 60);
}

// The search over whole stores shares no code with the revision-guided check; on small histories,
// good and corrupted, both must say the same.
TEST(RevisionCheck, AgreesWithTheSearchOfWholeStores) {
  const std::vector<Corruption> kinds = call_corruptions();
  uint64_t violations = 0;
  for (uint64_t seed = 1; seed <= 400; ++seed) {
    TestHistory history = make_history({.seed = seed,
                                        .calls = 30 + seed % 60,
                                        .processes = 4,
                                        .keys = 3,
                                        .unknown_per_million = seed % 3 == 0 ? 100'000U : 0U,
                                        .failed_per_million = 50'000,
                                        .serializable = false});
    Rng rng(seed);
    if (seed % 4 != 0) kinds[rng.below(kinds.size())].apply(history, rng);
    const History history_loaded = loaded(history);
    const Verdict verdict = check_by_revision(history_loaded, {});
    const SearchResult searched = search_store(history_loaded, {});
    EXPECT_EQ(verdict.linearizable, searched.linearizable) << "seed " << seed << told(verdict);
    violations += verdict.linearizable == Decision::no ? 1 : 0;
  }
  EXPECT_GT(violations, 100U);
}

TEST(RevisionCheck, AgreesWithTheSearchOnALargerWindow) {
  const History history = loaded(make_history({.seed = 5,
                                               .calls = 2000,
                                               .processes = 8,
                                               .keys = 6,
                                               .unknown_per_million = 10'000,
                                               .serializable = false}));
  EXPECT_EQ(check_by_revision(history, {}).linearizable, Decision::yes);
  EXPECT_EQ(search_store(history, {}).linearizable, Decision::yes);
}

// Makes everything overlap, so that real time says nothing any more. A checker that ignored real
// time would say the same before and after.
TestHistory without_time(const TestHistory& history) {
  TestHistory result = history;
  std::stable_sort(result.records.begin(), result.records.end(),
                   [](const TimedRecord& left, const TimedRecord& right) {
                     return std::holds_alternative<Invoked>(left.record) &&
                            !std::holds_alternative<Invoked>(right.record);
                   });
  for (TimedRecord& each : result.records) each.at = {};
  return result;
}

TEST(RevisionCheck, RealTimeIsWhatMakesThemWrong) {
  uint64_t done = 0;
  for (const Corruption& kind : call_corruptions()) {
    if (kind.name != "stale read" && kind.name != "early visibility") continue;
    for (uint64_t seed = 1; seed <= 30; ++seed) {
      TestHistory history = make_history({.seed = seed, .calls = 100, .few_values_per_million = 0});
      Rng rng(seed);
      if (!kind.apply(history, rng)) continue;
      ++done;
      EXPECT_EQ(check_by_revision(loaded(history), {}).linearizable, Decision::no) << kind.name;
      EXPECT_EQ(check_by_revision(loaded(without_time(history)), {}).linearizable, Decision::yes)
          << kind.name;
    }
  }
  EXPECT_GT(done, 20U);
}

}  // namespace
}  // namespace quorate::check
