// full_mutant_test: proves that the full profile would notice. The runtime, the log, the store,
// the machine and the core are compiled into it once more with the planted bugs of
// base/mutants.def (docs/decisions/0003); each bug of the room "full" is played in child
// processes, seed after seed, until a rule breaks, a CHECK fails or the cluster does not come back.
// The run that shows it must pass without it. Bugs of other rooms can be tried with --only.
#include "base/mutant.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutant_report.h"
#include "sim/child.h"
#include "sim/full/run.h"

namespace quorate {
Mutant active_mutant = Mutant::none;
}

namespace {

using quorate::Mutant;
using quorate::sim::ChildEnd;
using quorate::sim::ChildLimits;
using quorate::sim::Tell;
using quorate::sim::full::Options;

struct Row {
  Mutant mutant;
  const char* name;
  const char* text;
};
constexpr Row kRows[] = {
#define QRT_MUTANT_ROW(name, text) {Mutant::name, #name, text},
#include "base/mutants.def"
#undef QRT_MUTANT_ROW
};

// Some need what few worlds have: these are hunted where it happens often. Every second seed is
// any world all the same.
struct Focus {
  std::string_view name;
  std::string_view faults;
};
constexpr Focus kFocus[] = {
    {"R17_NODE", "transfer,split,isolate,latency,stage"},
    {"AMNESIA_NODE", "wipe,crash,kill,split,latency"},
    {"FOUND_NODE", "wipe,crash,kill"},
    {"M19_NODE", "no-space,wipe,bandwidth,crash"},
    {"M22_NODE", "wipe,crash"},
    {"R02_NODE", "crash,kill,power-loss"},
};

struct Arguments {
  std::string only;
  std::string faults;  // instead of those above
  uint64_t first = 1;
  uint64_t seeds = 2000;
  uint64_t cpu_seconds = 30;  // for each bug
};

bool lives_here(const Row& row) { return std::string_view(row.name).ends_with("_NODE"); }

Options options_for(const Row& row, const Arguments& arguments, uint64_t seed) {
  std::string faults = arguments.faults;
  for (const Focus& one : kFocus) {
    if (faults.empty() && one.name == row.name) faults = one.faults;
  }
  Options options;
  if (faults.empty() || seed % 2 == 0) return options;
  options.faults = quorate::sim::full::parse_faults(faults).value();
  return options;
}

std::string hunt(const Row& row, const Arguments& arguments, const Tell& tell) {
  quorate::active_mutant = row.mutant;
  for (uint64_t seed = arguments.first; seed < arguments.first + arguments.seeds; ++seed) {
    tell("R " + std::to_string(seed));
    const auto result = quorate::sim::full::run_seed(options_for(row, arguments, seed), seed);
    if (!result.violation.empty()) return result.violation;
  }
  return {};
}

struct Finding {
  ChildEnd end;
  bool found = false;
  uint64_t runs = 0;
  uint64_t seed = 0;  // of the last run
};

Finding play(const Row& row, const Arguments& arguments) {
  Finding finding;
  ChildLimits limits;
  limits.cpu_seconds = arguments.cpu_seconds;
  std::fflush(stdout);
  finding.end = quorate::sim::run_in_child(
      limits, [&](const Tell& tell) { return hunt(row, arguments, tell); },
      [&](std::string_view line) {
        if (!line.starts_with("R ")) return;
        ++finding.runs;
        finding.seed = std::strtoull(std::string(line.substr(2)).c_str(), nullptr, 10);
      });
  finding.found = !finding.end.out_of_time && !finding.end.violation.empty();
  if (!finding.found) return finding;
  const ChildEnd honest = quorate::sim::run_in_child(
      limits,
      [&](const Tell&) {
        return quorate::sim::full::run_seed(options_for(row, arguments, finding.seed), finding.seed)
            .violation;
      },
      [](std::string_view) {});
  if (honest.out_of_time || !honest.violation.empty()) {
    finding.found = false;
    finding.end.violation = "it fails without the bug too: " + honest.violation;
  }
  return finding;
}

void print(const Row& row, const Finding& finding) {
  std::printf("%-14s %-9s %5llu runs %7.2f CPU s  %s\n", row.name,
              finding.found ? "found" : "NOT FOUND", static_cast<unsigned long long>(finding.runs),
              static_cast<double>(finding.end.cpu_microseconds) / 1e6, row.text);
  if (!finding.end.violation.empty()) {
    std::printf("       by seed %llu: %.200s\n", static_cast<unsigned long long>(finding.seed),
                finding.end.violation.c_str());
  }
  quorate::report_mutant(row.mutant, finding.found);
}

bool parse(int count, char** words, Arguments& arguments) {
  for (int position = 1; position + 1 < count; position += 2) {
    const std::string name = words[position];
    const uint64_t value = std::strtoull(words[position + 1], nullptr, 10);
    if (name == "--only") {
      arguments.only = words[position + 1];
    } else if (name == "--faults") {
      arguments.faults = words[position + 1];
      if (!quorate::sim::full::parse_faults(arguments.faults)) return false;
    } else if (name == "--first") {
      arguments.first = value;
    } else if (name == "--seeds") {
      arguments.seeds = value;
    } else if (name == "--cpu-seconds") {
      arguments.cpu_seconds = value;
    } else {
      return false;
    }
  }
  return count % 2 == 1;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse(count, words, arguments)) {
    std::fprintf(stderr,
                 "usage: full_mutant_test [--only NAME] [--first S] [--seeds N] "
                 "[--cpu-seconds N] [--faults LIST]\n");
    return 2;
  }
  uint64_t played = 0;
  uint64_t missed = 0;
  for (const Row& row : kRows) {
    if (arguments.only.empty() ? !lives_here(row) : arguments.only != row.name) continue;
    const Finding finding = play(row, arguments);
    print(row, finding);
    ++played;
    if (!finding.found) ++missed;
  }
  std::printf("%llu planted bugs, %llu found\n", static_cast<unsigned long long>(played),
              static_cast<unsigned long long>(played - missed));
  return missed == 0 && played != 0 ? 0 : 1;
}
