// The small histories in tests/histories, and the front door as the command uses it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "base/rng.h"
#include "check/check.h"
#include "check/history_text.h"
#include "check/picture.h"

namespace quorate::check {
namespace {

const std::filesystem::path kFolder = QUORATE_OWN_HISTORIES;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string word(Decision decision) {
  return decision == Decision::yes  ? "linearizable"
         : decision == Decision::no ? "violation"
                                    : "undecided";
}

TEST(OwnHistories, VerdictsAndRules) {
  std::ifstream verdicts(kFolder / "verdicts.tsv");
  std::string line;
  size_t seen = 0;
  while (std::getline(verdicts, line)) {
    std::stringstream fields(line);
    std::string name;
    std::string expected;
    std::string rule;
    std::getline(fields, name, '\t');
    std::getline(fields, expected, '\t');
    std::getline(fields, rule, '\t');
    const Result<LoadedHistory> loaded = read_any_history(content(kFolder / name));
    ASSERT_TRUE(loaded) << name << ": " << loaded.error().text;
    const Verdict verdict = check_history(loaded->history, Judge::automatic, {});
    EXPECT_EQ(word(verdict.linearizable), expected) << name;
    EXPECT_EQ(verdict.findings.empty() ? "-" : verdict.findings[0].rule, rule) << name;
    const std::string page = picture_html(loaded->history, verdict, name);
    const bool of_members = rule == "states differ" || rule == "queue longer than its limit";
    EXPECT_EQ(page.find("<svg") != std::string::npos, !of_members) << name;
    EXPECT_EQ(page.find("http://"), page.find("http://www.w3.org/2000/svg")) << name;
    EXPECT_EQ(page.find("src="), std::string::npos) << name;
    ++seen;
  }
  const auto files = std::count_if(std::filesystem::directory_iterator(kFolder),
                                   std::filesystem::directory_iterator(), [](const auto& entry) {
                                     return entry.path().extension() == ".txt" ||
                                            entry.path().extension() == ".log";
                                   });
  EXPECT_EQ(seen, static_cast<size_t>(files)) << "every file needs its line in verdicts.tsv";
}

TEST(OwnHistories, TextsOfOthersCannotBreakThePicture) {
  const Result<History> history = read_history(
      "quorate-history 1\n"
      "1 call 1 process=0 put key=\"<script>\" value=\"\\\"&\\xff\"\n"
      "2 ok 1\n"
      "3 call 2 process=1 get key=\"<script>\"\n"
      "4 ok 2 answer count=1 [value=\"</svg><b>\"]\n");
  ASSERT_TRUE(history) << history.error().text;
  const Verdict verdict = check_history(*history, Judge::automatic, {});
  EXPECT_EQ(verdict.linearizable, Decision::no);
  const std::string page = picture_html(*history, verdict, "<name>");
  EXPECT_EQ(page.find("<script>"), std::string::npos);
  EXPECT_EQ(page.find("<b>"), std::string::npos);
  EXPECT_EQ(page.find("<name>"), std::string::npos);
  EXPECT_EQ(page.find('\xff'), std::string::npos);
}

TEST(OwnHistories, UnknownFormatsAreRefused) {
  EXPECT_FALSE(read_any_history("").has_value());
  EXPECT_FALSE(read_any_history("hello\n").has_value());
  EXPECT_FALSE(read_any_history("{:process x}\n").has_value());
  EXPECT_FALSE(read_any_history("INFO  jepsen.util - 0\t:ok\t:read\t1\n").has_value());
  EXPECT_FALSE(read_any_history("INFO  jepsen.util - 0\t:invoke\t:sing\t1\n").has_value());
}

// Damaged files of every format end in an error or a history that can be checked.
TEST(OwnHistories, DamagedFilesAreSurvived) {
  CheckLimits limits;
  limits.search.steps_max = 20'000;
  limits.smaller_steps_max = 20'000;
  limits.replay_steps_max = 20'000;
  uint64_t read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string good = content(entry.path());
    Rng rng(good.size());
    for (int round = 0; round < 150; ++round) {
      std::string text = good;
      for (uint64_t changes = rng.between(1, 3); changes > 0; --changes) {
        const uint64_t place = rng.below(text.size());
        const uint64_t kind = rng.below(3);
        if (kind == 0) text[place] = static_cast<char>(rng.below(256));
        if (kind == 1) text.erase(place, rng.below(8));
        if (kind == 2) text[place] = static_cast<char>('0' + rng.below(10));
      }
      const Result<LoadedHistory> loaded = read_any_history(text);
      if (!loaded) continue;
      ++read;
      for (const Judge judge : {Judge::automatic, Judge::key_value, Judge::etcd}) {
        const Verdict verdict = check_history(loaded->history, judge, limits);
        EXPECT_FALSE(picture_html(loaded->history, verdict, "x").empty());
      }
    }
  }
  EXPECT_GT(read, 100U);
}

}  // namespace
}  // namespace quorate::check
