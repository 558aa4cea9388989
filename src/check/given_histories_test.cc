// Histories recorded by others, with published verdicts. They are not part of the repository: the
// test says so loudly when they are absent, and passes only what it has read.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "check/check.h"
#include "check/foreign_formats.h"

namespace quorate::check {
namespace {

const std::filesystem::path kFolder = QUORATE_GIVEN_HISTORIES;

std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void expect_verdict(const std::filesystem::path& path, bool linearizable) {
  const Result<LoadedHistory> loaded = read_any_history(content(path));
  ASSERT_TRUE(loaded) << path << ": " << loaded.error().text;
  const Verdict verdict = check_history(loaded->history, Judge::automatic, {});
  EXPECT_EQ(verdict.linearizable, linearizable ? Decision::yes : Decision::no) << path;
  EXPECT_EQ(verdict.findings.empty(), linearizable) << path;
  std::printf("%-16s %5zu operations %10lu steps  %s\n", path.filename().c_str(),
              loaded->history.operations().size(), static_cast<unsigned long>(verdict.steps),
              verdict.findings.empty() ? "linearizable" : verdict.findings[0].rule.c_str());
}

TEST(GivenHistories, Registers) {
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << "NOT CHECKED: no folder " << kFolder;
  std::ifstream verdicts(kFolder / "register" / "verdicts.tsv");
  std::string name;
  std::string verdict;
  size_t seen = 0;
  while (verdicts >> name >> verdict) {
    ASSERT_TRUE(verdict == "linearizable" || verdict == "violation") << verdict;
    expect_verdict(kFolder / "register" / name, verdict == "linearizable");
    ++seen;
  }
  EXPECT_GT(seen, 0U);
}

TEST(GivenHistories, KeyValueLogs) {
  if (!std::filesystem::exists(kFolder)) GTEST_SKIP() << "NOT CHECKED: no folder " << kFolder;
  size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder / "kv")) {
    const std::string name = entry.path().filename();
    ASSERT_TRUE(name.ends_with("-ok.txt") || name.ends_with("-bad.txt")) << name;
    expect_verdict(entry.path(), name.ends_with("-ok.txt"));
    ++seen;
  }
  EXPECT_GT(seen, 0U);
}

}  // namespace
}  // namespace quorate::check
