// mutant_hunt: proves that the tests would notice. Every planted bug of base/mutants.def is hunted
// (sim/bug_bank.h); the exit code is 0 only if all that were looked for were found.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "sim/bug_bank.h"
#include "sim/text.h"

namespace quorate {
Mutant active_mutant = Mutant::none;
}

namespace {

using quorate::sim::BankRow;
using quorate::sim::BugBank;
using quorate::sim::Finding;
using quorate::sim::HuntLimits;

constexpr const char* kUsage =
    "usage: mutant_hunt [--only NAME,...] [--rotate N [--turn T]] [--seeds N] [--first-seed S]\n"
    "                   [--cpu-seconds N] [--json] [--table FILE] [--shrink DIR] [--list]\n"
    "  --rotate N   N bugs of today's turn, so that over time all are hunted; --turn T for "
    "another\n"
    "  --table F    also writes a table in Markdown\n"
    "  --shrink D   makes each finding of the simulator short; stories and pictures go to D\n";
constexpr uint64_t kShrinkCpuSeconds = 300;
constexpr time_t kDay = time_t{24} * 60 * 60;

struct Arguments {
  std::vector<std::string> only;
  uint64_t rotate = 0;
  uint64_t turn = 0;
  bool json = false;
  bool list = false;
  std::string table;
  std::string shrink;
  HuntLimits limits;
};

struct Result {
  BankRow row;
  Finding finding;
};

bool number_in(const std::string& word, uint64_t& number) {
  int64_t value = 0;
  if (!quorate::sim::read_decimal(word, 1, value)) return false;
  number = static_cast<uint64_t>(value);
  return true;
}

bool take(const std::string& name, const std::string& value, Arguments& arguments) {
  if (name == "--only") {
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find(',', begin), value.size());
      arguments.only.push_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
    return true;
  }
  if (name == "--table") {
    arguments.table = value;
    return true;
  }
  if (name == "--shrink") {
    arguments.shrink = value;
    return true;
  }
  if (name == "--rotate") return number_in(value, arguments.rotate);
  if (name == "--turn") return number_in(value, arguments.turn);
  if (name == "--seeds") return number_in(value, arguments.limits.seeds);
  if (name == "--first-seed") return number_in(value, arguments.limits.first_seed);
  if (name == "--cpu-seconds") return number_in(value, arguments.limits.cpu_seconds);
  return false;
}

bool parse(int count, char** words, Arguments& arguments) {
  for (int position = 1; position < count; ++position) {
    const std::string name = words[position];
    if (name == "--json" || name == "--list") {
      (name == "--json" ? arguments.json : arguments.list) = true;
      continue;
    }
    ++position;
    if (position == count || !take(name, words[position], arguments)) return false;
  }
  return true;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (static_cast<unsigned char>(letter) >= ' ') result += letter;
  }
  return result + "\"";
}

double seconds(int64_t microseconds) { return static_cast<double>(microseconds) / 1e6; }

void print(const Result& result, bool json) {
  const Finding& finding = result.finding;
  const auto runs = static_cast<unsigned long long>(finding.runs);
  if (json) {
    std::printf(
        "{\"mutant\": %s, \"room\": %s, \"text\": %s, \"found\": %s, \"runs\": %llu, "
        "\"cpu_seconds\": %.2f, \"run\": %s, \"how\": %s}\n",
        quoted(result.row.name).c_str(), quoted(result.row.room).c_str(),
        quoted(result.row.text).c_str(), finding.found ? "true" : "false", runs,
        seconds(finding.cpu_microseconds), quoted(finding.by).c_str(), quoted(finding.how).c_str());
  } else {
    std::printf("%-14s %-9s %5llu runs %7.2f CPU s  %s\n", result.row.name,
                finding.found ? "found" : "NOT FOUND", runs, seconds(finding.cpu_microseconds),
                result.row.text);
    if (finding.found || !finding.how.empty())
      std::printf("       by %s: %.160s\n", finding.by.c_str(), finding.how.c_str());
  }
  std::fflush(stdout);
}

template <class Number>
Number middle(std::vector<Number> numbers) {
  if (numbers.empty()) return 0;
  std::ranges::sort(numbers);
  return numbers[numbers.size() / 2];
}

// Middle of the CPU seconds to the first detection, in microseconds.
int64_t median(const std::vector<Result>& results) {
  std::vector<int64_t> times;
  for (const Result& result : results) {
    if (result.finding.found) times.push_back(result.finding.cpu_microseconds);
  }
  return middle(times);
}

std::string summary(const std::vector<Result>& results) {
  size_t found = 0;
  int64_t most = 0;
  int64_t all = 0;
  for (const Result& result : results) {
    found += result.finding.found ? 1 : 0;
    most = std::max(most, result.finding.cpu_microseconds);
    all += result.finding.cpu_microseconds;
  }
  char text[200];
  std::snprintf(text, sizeof text,
                "%zu planted bugs, %zu found; to the first detection %.2f CPU s at the median, "
                "%.1f at most; %.0f in all",
                results.size(), found, seconds(median(results)), seconds(most), seconds(all));
  return text;
}

bool write_table(const std::string& path, const std::vector<Result>& results) {
  std::ofstream file(path);
  file << "| planted bug | what is broken | found by | runs | CPU s |\n|---|---|---|---:|---:|\n";
  for (const Result& result : results) {
    char cost[64];
    std::snprintf(cost, sizeof cost, "%llu | %.2f",
                  static_cast<unsigned long long>(result.finding.runs),
                  seconds(result.finding.cpu_microseconds));
    file << "| " << result.row.name << " | " << result.row.text << " | "
         << (result.finding.found ? result.finding.by : "**not found**") << " | " << cost << " |\n";
  }
  file << "\n" << summary(results) << ".\n";
  file.close();
  if (file) return true;
  std::fprintf(stderr, "mutant_hunt: cannot write %s\n", path.c_str());
  return false;
}

bool write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "mutant_hunt: cannot write %s\n", path.c_str());
  return static_cast<bool>(file);
}

// What shrinking made of the findings so far.
struct Shortened {
  std::vector<size_t> actions;
  std::vector<int64_t> cpu_microseconds;
  size_t failed = 0;
};

void shorten(BugBank& bank, const Result& result, const Arguments& arguments,
             Shortened& shortened) {
  if (!BugBank::can_shorten(result.finding)) return;
  bool passes_without = false;
  const quorate::sim::ShortStory story =
      bank.shorten(result.row, result.finding, kShrinkCpuSeconds, passes_without);
  const quorate::sim::Shrunk& shrunk = story.shrunk;
  if (!shrunk.reproduced || !passes_without) {
    ++shortened.failed;
    std::printf("       NOT shortened: %s\n", shrunk.reproduced
                                                  ? "the short scenario fails without the bug too"
                                                  : "its written actions do not show it again");
    return;
  }
  shortened.actions.push_back(shrunk.actions_after);
  shortened.cpu_microseconds.push_back(story.cpu_microseconds);
  std::printf("       %zu actions became %zu, %lu nodes, in %lu runs and %.1f CPU s\n",
              shrunk.actions_before, shrunk.actions_after,
              static_cast<unsigned long>(shrunk.script.world.nodes),
              static_cast<unsigned long>(shrunk.runs), seconds(story.cpu_microseconds));
  std::fflush(stdout);
  const std::string base = arguments.shrink + "/" + result.row.name;
  write_text(base + ".txt", story.scenario);
  write_text(base + ".html", story.diagram);
}

void print_shortened(const Shortened& shortened) {
  std::printf("%zu findings made short: %zu actions and %.1f CPU s at the median; %zu failed\n",
              shortened.actions.size(), middle(shortened.actions),
              seconds(middle(shortened.cpu_microseconds)), shortened.failed);
}

std::vector<BankRow> chosen_rows(const Arguments& arguments) {
  const std::vector<BankRow> rows = quorate::sim::bank_rows();
  if (arguments.rotate != 0) {
    return quorate::sim::rows_of_turn(rows, arguments.rotate, arguments.turn);
  }
  if (arguments.only.empty()) return rows;
  std::vector<BankRow> chosen;
  for (const std::string& name : arguments.only) {
    const auto named = [&](const BankRow& row) { return row.name == name; };
    const auto found = std::ranges::find_if(rows, named);
    if (found != rows.end()) {
      chosen.push_back(*found);
    } else {
      std::fprintf(stderr, "mutant_hunt: no planted bug is called %s\n", name.c_str());
    }
  }
  return chosen.size() == arguments.only.size() ? chosen : std::vector<BankRow>{};
}

int hunt_all(const Arguments& arguments) {
  BugBank bank(arguments.limits);
  const std::string problem = bank.problem();
  if (!problem.empty()) {
    std::fprintf(stderr, "mutant_hunt: %s\n", problem.c_str());
    return 2;
  }
  std::vector<Result> results;
  Shortened shortened;
  bool all_found = true;
  for (const BankRow& row : chosen_rows(arguments)) {
    results.push_back({row, bank.hunt(row)});
    print(results.back(), arguments.json);
    all_found = all_found && results.back().finding.found;
    if (!arguments.shrink.empty()) shorten(bank, results.back(), arguments, shortened);
  }
  if (results.empty()) return 2;
  if (!arguments.json) std::printf("%s\n", summary(results).c_str());
  if (!arguments.shrink.empty()) print_shortened(shortened);
  if (!arguments.table.empty() && !write_table(arguments.table, results)) return 2;
  return all_found && shortened.failed == 0 ? 0 : 1;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  arguments.turn = static_cast<uint64_t>(std::time(nullptr) / kDay);
  arguments.limits.programs = std::filesystem::path(words[0]).parent_path().string();
  if (!parse(count, words, arguments)) {
    std::fprintf(stderr, "%s", kUsage);
    return 2;
  }
  if (arguments.list) {
    for (const BankRow& row : quorate::sim::bank_rows()) {
      std::printf("%-14s %-6s %s\n", row.name, row.room, row.text);
    }
    return 0;
  }
  if (arguments.rotate != 0) {
    std::printf("turn %llu; again: --rotate %llu --turn %llu\n",
                static_cast<unsigned long long>(arguments.turn),
                static_cast<unsigned long long>(arguments.rotate),
                static_cast<unsigned long long>(arguments.turn));
  }
  return hunt_all(arguments);
}
