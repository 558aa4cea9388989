#include "check/key_check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "check/test_corruptions.h"
#include "check/test_histories.h"

namespace quorate::check {
namespace {

Verdict checked(const TestHistory& history) { return check_by_key(loaded(history), {}); }

std::string told(const Verdict& verdict) {
  std::string text = verdict.why_undecided;
  for (const Finding& each : verdict.findings) text += "\n" + each.rule + ": " + each.words;
  return text;
}

TEST(KeyCheck, AcceptsCorrectHistories) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    const Verdict verdict = checked(make_history({.seed = seed,
                                                  .calls = 200,
                                                  .processes = 5,
                                                  .unknown_per_million = 50'000,
                                                  .failed_per_million = 50'000,
                                                  .plain = true,
                                                  .appends = seed % 2 == 0}));
    EXPECT_EQ(verdict.linearizable, Decision::yes) << "seed " << seed << told(verdict);
  }
}

// What a correct store did without revisions is also right for a checker that ignores them.
TEST(KeyCheck, RejectsCorruptedValues) {
  for (const Corruption& kind : call_corruptions()) {
    if (!kind.in_plain) continue;
    uint64_t done = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
      TestHistory history = make_history({.seed = seed,
                                          .calls = 120,
                                          .processes = 5,
                                          .failed_per_million = 50'000,
                                          .few_values_per_million = 0,
                                          .plain = true});
      Rng rng(seed);
      if (!kind.apply(history, rng)) continue;
      ++done;
      const Verdict verdict = checked(history);
      EXPECT_EQ(verdict.linearizable, Decision::no) << kind.name << ", seed " << seed;
    }
    EXPECT_GE(done, 3U) << kind.name << " finds no place";
  }
}

// The smaller history is found by dropping records; whatever is left must still be a violation
// when checked on its own, and small.
TEST(KeyCheck, ContradictionsAreSmallAndStandAlone) {
  size_t sizes = 0;
  size_t done = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    TestHistory history = make_history({.seed = seed,
                                        .calls = 300,
                                        .processes = 5,
                                        .unknown_per_million = 20'000,
                                        .few_values_per_million = 300'000,
                                        .plain = true});
    Rng rng(seed);
    const std::vector<Corruption> kinds = call_corruptions();
    const Corruption& kind = *std::find_if(kinds.begin(), kinds.end(), [](const Corruption& each) {
      return each.name == "replaced value";
    });
    if (!kind.apply(history, rng)) continue;
    const Verdict verdict = checked(history);
    if (verdict.linearizable != Decision::no) continue;  // the value had been written again
    ++done;
    const Finding& finding = verdict.findings.front();
    sizes += finding.operations.size();
    const History all = loaded(history);
    TestHistory few;
    for (const TimedRecord& each : history.records) {
      uint64_t call = 0;
      if (const auto* invoked = std::get_if<Invoked>(&each.record)) call = invoked->call;
      if (const auto* answered = std::get_if<Answered>(&each.record)) call = answered->call;
      if (const auto* unknown = std::get_if<Unknown>(&each.record)) call = unknown->call;
      const bool kept =
          std::any_of(finding.operations.begin(), finding.operations.end(),
                      [&](uint32_t number) { return all.operations()[number].call == call; });
      if (kept) few.records.push_back(each);
    }
    EXPECT_EQ(checked(few).linearizable, Decision::no) << "seed " << seed << told(verdict);
  }
  EXPECT_GT(done, 20U);
  EXPECT_LT(sizes, 5 * done);  // on average
}

// The bound is met, not passed, and the answer is then honest.
TEST(KeyCheck, SaysWhenItCannotTell) {
  const TestHistory history = make_history({.seed = 3, .calls = 400, .keys = 1, .plain = true});
  CheckLimits limits;
  limits.search.steps_max = 50;
  const Verdict verdict = check_by_key(loaded(history), limits);
  EXPECT_EQ(verdict.linearizable, Decision::undecided);
  EXPECT_NE(verdict.why_undecided.find("reached its bound"), std::string::npos);
  EXPECT_TRUE(verdict.findings.empty());
}

TEST(KeyCheck, RangesAreNotJudgedByKey) {
  const Verdict verdict = checked(make_history({.seed = 1, .calls = 50}));
  EXPECT_EQ(verdict.linearizable, Decision::undecided);
  EXPECT_NE(verdict.why_undecided.find("keys cannot be judged one by one"), std::string::npos);
}

// Operations of one process each, all overlapping: every order must be considered.
TEST(KeyCheck, ManyOverlappingWritesAreSearched) {
  TestHistory history;
  const auto add = [&history](Record record) {
    history.records.push_back(
        {Time{Duration(static_cast<int64_t>(history.records.size()))}, std::move(record)});
  };
  constexpr uint64_t kWriters = 14;
  for (uint64_t i = 1; i <= kWriters; ++i) {
    Invoked invoked{.call = i, .process = static_cast<uint32_t>(i), .what = {}};
    invoked.what.then.resize(1);
    invoked.what.then[0].verb = Verb::put;
    invoked.what.then[0].key = "k";
    invoked.what.then[0].value = std::to_string(i);
    add(invoked);
  }
  for (uint64_t i = 1; i <= kWriters; ++i) add(Answered{.call = i, .reply = {}});
  Invoked read{.call = 100, .process = 0, .what = {}};
  read.what.then.resize(1);
  read.what.then[0].key = "k";
  add(read);
  Answered answered{.call = 100, .reply = {}};
  answered.reply.answers.resize(1);
  answered.reply.answers[0].rows = {Row{.key = {}, .value = "1"}};
  add(answered);
  EXPECT_EQ(checked(history).linearizable, Decision::yes);
  std::get<Answered>(history.records.back().record).reply.answers[0].rows[0].value = "99";
  EXPECT_EQ(checked(history).linearizable, Decision::no);
}

}  // namespace
}  // namespace quorate::check
