#include "sim/bug_bank.h"

#include <algorithm>
#include <filesystem>

#include "base/check.h"
#include "sim/child.h"
#include "sim/golden.h"
#include "sim/run.h"
#include "sim/script.h"
#include "sim/text.h"

namespace quorate::sim {
namespace {

constexpr uint64_t kSeedsBeforeScenarios = 20;
// What a program exits with when its tests fail; anything else but a CHECK is no finding.
constexpr const char* kTestsFailed = "exit code 1";

std::vector<std::string> scenario_paths() {
  std::vector<std::string> paths;
  std::error_code absent;
  for (const auto& file : std::filesystem::directory_iterator(QUORATE_SCENARIOS, absent)) {
    if (file.path().extension() == ".txt") paths.push_back(file.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

// Read again for each bug: they are small, and a child may change nothing here.
std::vector<Script> scenarios_for(const std::string& mutant) {
  std::vector<Script> scripts;
  for (const std::string& path : scenario_paths()) {
    Result<Script> script = read_scenario(path);
    if (script && std::ranges::find(script->finds, mutant) != script->finds.end()) {
      scripts.push_back(std::move(*script));
    }
  }
  return scripts;
}

bool is_of_simulator(const Finding& finding) {
  return finding.by.starts_with("seed ") || finding.by.find(" with seed ") != std::string::npos;
}

bool is_of_multi_paxos(const BankRow& row) { return std::string_view(row.room) == "paxos"; }

// The protocol whose bug it is.
SimOptions options_for(const BankRow& row) {
  SimOptions options;
  if (is_of_multi_paxos(row)) options.protocol = consensus::Protocol::multi_paxos;
  return options;
}

}  // namespace

// In the child: looks for one bug.
class Hunt {
 public:
  Hunt(const BankRow& row, const HuntLimits& limits, const Tell& tell)
      : row_(row), limits_(limits), tell_(tell) {}

  // What is cheap: a few lives, and the scenarios that name the bug.
  std::string quickly() {
    std::string found = random_lives(limits_.first_seed, limits_.first_seed + few());
    return found.empty() ? scenarios() : found;
  }
  std::string at_length() {
    return random_lives(limits_.first_seed + few(), limits_.first_seed + limits_.seeds);
  }

 private:
  uint64_t few() const { return std::min(kSeedsBeforeScenarios, limits_.seeds); }
  std::string random_lives(uint64_t from, uint64_t to) {
    for (uint64_t seed = from; seed < to; ++seed) {
      tell_("R seed " + std::to_string(seed));
      std::string violation = run_seed(options_for(row_), seed).violation;
      if (!violation.empty()) return violation;
    }
    return {};
  }
  std::string scenarios() {
    const SimOptions options = options_for(row_);
    for (const Script& script : scenarios_for(row_.name)) {
      if (!is_for(script, options.protocol)) continue;
      for (uint64_t count = 0; count < script.seeds; ++count) {
        const uint64_t seed = script.first_seed + count;
        tell_("R " + script.name + " with seed " + std::to_string(seed));
        std::string violation = run_script(options, script, seed).violation;
        if (!violation.empty()) return violation;
      }
    }
    return {};
  }

  const BankRow& row_;
  const HuntLimits& limits_;
  const Tell& tell_;
};

std::vector<BankRow> bank_rows() {
  struct Line {
    BankRow row;
    bool heading = false;
  };
  const Line lines[] = {
#define QRT_MUTANT_ROOM(name) {{Mutant::none, "", "", name}, true},
#define QRT_MUTANT_ROW(name, text) {{Mutant::name, #name, text, ""}, false},
#include "base/mutants.def"
#undef QRT_MUTANT_ROW
#undef QRT_MUTANT_ROOM
  };
  std::vector<BankRow> rows;
  const char* room = "core";
  for (const Line& line : lines) {
    if (line.heading) {
      room = line.row.room;
      continue;
    }
    rows.push_back(line.row);
    rows.back().room = room;
  }
  return rows;
}

std::vector<BankRow> rows_of_turn(const std::vector<BankRow>& rows, uint64_t count, uint64_t turn) {
  std::vector<BankRow> chosen;
  const uint64_t size = rows.size();
  for (uint64_t place = 0; place < std::min(count, size); ++place) {
    chosen.push_back(rows[(turn * count + place) % size]);
  }
  return chosen;
}

BugBank::BugBank(HuntLimits limits) : limits_(std::move(limits)) {}

std::string BugBank::problem() {
  const std::vector<BankRow> rows = bank_rows();
  for (const std::string& path : scenario_paths()) {
    const Result<Script> script = read_scenario(path);
    if (!script) return script.error().text;
    for (const std::string& name : script->finds) {
      const auto named = [&](const BankRow& row) { return row.name == name; };
      if (std::ranges::none_of(rows, named)) {
        return path + " says that it finds " + name + ", but no planted bug is called that";
      }
    }
  }
  const std::string path = limits_.programs + "/mutant_rules";
  const ChildEnd end =
      run_program({.cpu_seconds = limits_.cpu_seconds}, path, "QUORATE_MUTANT", "none", {});
  if (end.out_of_time || !end.violation.empty()) {
    return path + " does not pass without a planted bug (" + end.violation +
           "), so it proves nothing";
  }
  return {};
}

Finding BugBank::hunt(const BankRow& row) {
  if (is_of_multi_paxos(row)) return hunt_in_multi_paxos(row);
  if (std::string_view(row.room) != "core") return ask_room(row);
  Finding finding;
  play(row, &Hunt::quickly, finding);
  if (!finding.found) ask_core_tests(row, finding);
  if (!finding.found) play(row, &Hunt::at_length, finding);
  if (finding.found) doubt(row, finding);
  return finding;
}

// Lives and scenarios first, as they show what a bug leads to; then the tests of its room.
Finding BugBank::hunt_in_multi_paxos(const BankRow& row) {
  Finding finding;
  play(row, &Hunt::quickly, finding);
  if (finding.found) doubt(row, finding);
  if (finding.found) return finding;
  Finding by_tests = ask_room(row);
  by_tests.runs += finding.runs;
  by_tests.cpu_microseconds += finding.cpu_microseconds;
  return by_tests;
}

void BugBank::doubt(const BankRow& row, Finding& finding) const {
  if (!is_of_simulator(finding)) return;  // problem() has seen the core's own tests pass
  const std::vector<std::string> words = words_of(finding.by);
  int64_t number = 0;
  CHECK(read_number(words.back(), number), "findings of the simulator end with their seed");
  const auto seed = static_cast<uint64_t>(number);
  const auto again = [&](const Tell&) {
    if (words[0] == "seed") return run_seed(options_for(row), seed).violation;
    const Result<Script> script = read_scenario(QUORATE_SCENARIOS "/" + words[0]);
    return script ? run_script(options_for(row), *script, seed).violation : script.error().text;
  };
  const ChildEnd end = run_in_child({.cpu_seconds = limits_.cpu_seconds}, again, {});
  if (!end.out_of_time && end.violation.empty()) return;
  finding.found = false;
  finding.how = "it fails without the bug too: " + end.violation;
}

void BugBank::play(const BankRow& row, std::string (Hunt::*way)(), Finding& finding) {
  const auto work = [&](const Tell& tell) {
    active_mutant = row.mutant;
    Hunt hunt(row, limits_, tell);
    return (hunt.*way)();
  };
  const ChildEnd end =
      run_in_child({.cpu_seconds = limits_.cpu_seconds}, work, [&](std::string_view line) {
        if (!line.starts_with("R ")) return;
        ++finding.runs;
        finding.by = line.substr(2);
      });
  finding.cpu_microseconds += end.cpu_microseconds;
  finding.found = !end.out_of_time && !end.violation.empty();
  finding.how = end.violation;
}

bool BugBank::can_shorten(const Finding& finding) {
  return finding.found && is_of_simulator(finding) && !is_own_expectation(finding.how);
}

ShortStory BugBank::shorten(const BankRow& row, const Finding& finding, uint64_t cpu_seconds,
                            bool& passes_without) {
  const std::vector<std::string> words = words_of(finding.by);
  int64_t seed = 0;
  CHECK(read_number(words.back(), seed), "findings of the simulator end with their seed");
  ShrinkBudget budget;
  budget.cpu_seconds = cpu_seconds;
  budget.run_cpu_seconds = limits_.cpu_seconds;
  active_mutant = row.mutant;  // the children inherit it
  ShortStory story;
  if (words[0] == "seed") {
    story = shrink_seed(options_for(row), static_cast<uint64_t>(seed), budget);
  } else if (const Result<Script> script = read_scenario(QUORATE_SCENARIOS "/" + words[0])) {
    story = shrink_script(options_for(row), *script, static_cast<uint64_t>(seed), budget);
  }
  active_mutant = Mutant::none;
  int64_t ignored = 0;
  passes_without = story.shrunk.reproduced && judge_in_child(options_for(row), story.shrunk.script,
                                                             limits_.cpu_seconds, ignored)
                                                  .violation.empty();
  return story;
}

// The core's own tests, compiled with the bug.
void BugBank::ask_core_tests(const BankRow& row, Finding& finding) {
  std::string failed;
  const ChildEnd end =
      run_program({.cpu_seconds = limits_.cpu_seconds}, limits_.programs + "/mutant_rules",
                  "QUORATE_MUTANT", row.name, [&](std::string_view line) {
                    constexpr std::string_view kFailed = "[  FAILED  ] ";
                    if (failed.empty() && line.starts_with(kFailed)) {
                      const std::vector<std::string> words = words_of(line.substr(kFailed.size()));
                      if (!words.empty()) failed = words[0];
                    } else if (line.starts_with("CHECK failed") && failed.empty()) {
                      failed = line;
                    }
                  });
  finding.cpu_microseconds += end.cpu_microseconds;
  ++finding.runs;
  const bool stopped = end.violation.starts_with("died of") && failed.starts_with("CHECK failed");
  if (end.out_of_time || (end.violation != kTestsFailed && !stopped)) return;
  finding.found = true;
  finding.by = "the core's own tests";
  finding.how = failed;
}

const BugBank::RoomTests& BugBank::tests_of(const std::string& room) {
  for (const RoomTests& known : rooms_) {
    if (known.room == room) return known;
  }
  RoomTests tests;
  tests.room = room;
  const std::string path = limits_.programs + "/" + room + "_mutant_test";
  int64_t count = 0;
  const ChildEnd end = run_program({.cpu_seconds = 20 * limits_.cpu_seconds}, path,
                                   "QUORATE_MUTANT", "each", [&](std::string_view line) {
                                     const std::vector<std::string> words = words_of(line);
                                     if (words.size() != 3 || words[0] != "MUTANT") return;
                                     ++count;
                                     if (words[2] == "noticed") tests.noticed.push_back(words[1]);
                                   });
  tests.cpu_microseconds = end.cpu_microseconds / std::max<int64_t>(count, 1);
  if (!end.violation.empty()) tests.problem = path + ": " + end.violation;
  if (end.out_of_time) tests.problem = path + ": out of time";
  rooms_.push_back(std::move(tests));
  return rooms_.back();
}

Finding BugBank::ask_room(const BankRow& row) {
  const RoomTests& tests = tests_of(row.room);
  Finding finding;
  finding.runs = 1;
  finding.cpu_microseconds = tests.cpu_microseconds;
  finding.found = std::ranges::find(tests.noticed, row.name) != tests.noticed.end();
  finding.by = std::string(row.room) + "_mutant_test";
  finding.how = finding.found ? "its check fails with the bug and holds without" : tests.problem;
  return finding;
}

}  // namespace quorate::sim
