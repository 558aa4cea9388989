// mutant_hunt: proves that the simulator would notice. The core and the simulator are compiled
// into it once more with every planted bug of base/mutants.def (docs/decisions/0003); each bug is
// played in a child process until a rule breaks, a CHECK fails or the cluster does not recover.
// What random lives and scenarios do not show within the budget must be shown by the core's own
// tests, compiled with the same bug (mutant_rules).
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutant.h"
#include "sim/run.h"
#include "sim/script.h"

namespace quorate {
Mutant active_mutant = Mutant::none;
}

namespace {

using quorate::Mutant;
using quorate::sim::RunResult;
using quorate::sim::Script;
using quorate::sim::SimOptions;

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

struct Arguments {
  std::string only;
  uint64_t seeds = 1000;
  uint64_t cpu_seconds = 20;  // for each bug
  bool json = false;
  std::string rules;  // the core's tests with planted bugs, beside this program
};

struct Finding {
  bool found = false;
  uint64_t runs = 0;
  std::string last_run;
  std::string how;
  double cpu_seconds = 0;
};

// Rows of the log, the store and the fronts have their own tests: this hunter plays cores only.
bool lives_in_core(const std::string& name) {
  if (name == "P02" || name == "FIG8" || name == "AMNESIA") return true;
  if (name == "D17" || name.starts_with("D16_")) return true;
  if (name == "P05" || name == "P07") return true;
  if (name.starts_with("JOINT_") || name.starts_with("LEASE_")) return true;
  return name[0] == 'R' || name[0] == 'N' || name[0] == 'M';
}

std::vector<Script> scripts_for(const std::string& mutant) {
  std::vector<std::string> paths;
  std::error_code absent;
  for (const auto& file : std::filesystem::directory_iterator(QUORATE_SCENARIOS, absent)) {
    const std::string name = file.path().filename().string();
    if (name.ends_with(".txt")) paths.push_back(file.path().string());
  }
  std::ranges::sort(paths);
  std::vector<Script> scripts;
  for (const std::string& path : paths) {
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    auto script = quorate::sim::parse_script(std::filesystem::path(path).filename().string(), text);
    if (!script) {
      std::fprintf(stderr, "%s\n", script.error().text.c_str());
      std::exit(2);
    }
    if (std::ranges::find(script->finds, mutant) == script->finds.end()) continue;
    scripts.push_back(std::move(*script));
  }
  return scripts;
}

// ---- In the child. What it writes, line by line: "R which" before each run, "F how" at the end.

void tell(const std::string& line) {
  const std::string whole = line + "\n";
  if (write(STDERR_FILENO, whole.data(), whole.size()) < 0) std::_Exit(3);
}

void judge(const RunResult& result) {
  if (result.violation.empty()) return;
  tell("F " + result.violation);
  std::_Exit(1);
}

void hunt(const Row& row, const Arguments& arguments) {
  quorate::active_mutant = row.mutant;
  const SimOptions options;
  constexpr uint64_t kBeforeScripts = 20;
  const auto random_runs = [&](uint64_t first, uint64_t last) {
    for (uint64_t seed = first; seed <= last; ++seed) {
      tell("R seed " + std::to_string(seed));
      judge(run_seed(options, seed));
    }
  };
  random_runs(1, std::min(kBeforeScripts, arguments.seeds));
  for (const Script& script : scripts_for(row.name)) {
    for (uint64_t seed = 1; seed <= script.seeds; ++seed) {
      tell("R " + script.name + " with seed " + std::to_string(seed));
      judge(run_script(options, script, seed));
    }
  }
  random_runs(kBeforeScripts + 1, arguments.seeds);
  std::_Exit(0);
}

[[noreturn]] void child(const Row& row, const Arguments& arguments, int pipe_end) {
  dup2(pipe_end, STDERR_FILENO);
  const rlimit cpu{arguments.cpu_seconds, arguments.cpu_seconds + 1};
  setrlimit(RLIMIT_CPU, &cpu);
  const rlimit memory{rlim_t{4} << 30U, rlim_t{4} << 30U};
  setrlimit(RLIMIT_AS, &memory);
  const rlimit core{0, 0};
  setrlimit(RLIMIT_CORE, &core);
  hunt(row, arguments);
  std::_Exit(0);
}

// ---- In the parent.

void take_line(const std::string& line, Finding& finding) {
  if (line.starts_with("R ")) {
    ++finding.runs;
    finding.last_run = line.substr(2);
  } else if (line.starts_with("F ")) {
    finding.how = line.substr(2);
  } else if (line.starts_with("CHECK failed")) {
    finding.how = line;
  }
}

void read_all(int pipe_end, Finding& finding) {
  std::string pending;
  char block[4096];
  for (ssize_t got = 0; (got = read(pipe_end, block, sizeof block)) > 0;) {
    pending.append(block, static_cast<size_t>(got));
    for (size_t end = 0; (end = pending.find('\n')) != std::string::npos;) {
      take_line(pending.substr(0, end), finding);
      pending.erase(0, end + 1);
    }
  }
}

Finding play(const Row& row, const Arguments& arguments) {
  int ends[2];
  if (pipe(ends) != 0) std::exit(2);
  std::fflush(stdout);
  const pid_t process = fork();
  if (process < 0) std::exit(2);
  if (process == 0) {
    close(ends[0]);
    child(row, arguments, ends[1]);
  }
  close(ends[1]);
  Finding finding;
  read_all(ends[0], finding);
  close(ends[0]);
  int status = 0;
  rusage usage{};
  wait4(process, &status, 0, &usage);
  finding.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                        static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  const bool out_of_time =
      WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL);
  finding.found =
      (WIFEXITED(status) && WEXITSTATUS(status) == 1) || (WIFSIGNALED(status) && !out_of_time);
  if (finding.found && finding.how.empty()) {
    finding.how = std::string("died of ") + strsignal(WTERMSIG(status));
  }
  return finding;
}

constexpr int kStoppedByCheck = -1;

// The exit code of the core's own tests with this bug.
int run_rules(const Arguments& arguments, const char* mutant) {
  const pid_t process = fork();
  if (process < 0) std::exit(2);
  if (process == 0) {
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    const rlimit cpu{arguments.cpu_seconds, arguments.cpu_seconds + 1};
    setrlimit(RLIMIT_CPU, &cpu);
    const rlimit core{0, 0};
    setrlimit(RLIMIT_CORE, &core);
    setenv("QUORATE_MUTANT", mutant, 1);
    execl(arguments.rules.c_str(), arguments.rules.c_str(), nullptr);
    std::_Exit(127);
  }
  int status = 0;
  waitpid(process, &status, 0);
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  return WTERMSIG(status) == SIGABRT ? kStoppedByCheck : 128 + WTERMSIG(status);
}

void ask_rules(const Row& row, const Arguments& arguments, Finding& finding) {
  const int code = run_rules(arguments, row.name);
  if (code != 1 && code != kStoppedByCheck) return;  // 1 is what failed tests exit with
  finding.found = true;
  finding.last_run = "the core's own tests";
  finding.how = code == 1 ? "they fail" : "a CHECK stops them";
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += letter;
  }
  return result + "\"";
}

void print(const Row& row, const Finding& finding, bool json) {
  if (json) {
    std::printf(
        "{\"mutant\": %s, \"text\": %s, \"found\": %s, \"runs\": %llu, "
        "\"cpu_seconds\": %.2f, \"run\": %s, \"how\": %s}\n",
        quoted(row.name).c_str(), quoted(row.text).c_str(), finding.found ? "true" : "false",
        static_cast<unsigned long long>(finding.runs), finding.cpu_seconds,
        quoted(finding.last_run).c_str(), quoted(finding.how).c_str());
    return;
  }
  std::printf("%-6s %-9s %5llu runs %7.2f CPU s  %s\n", row.name,
              finding.found ? "found" : "NOT FOUND", static_cast<unsigned long long>(finding.runs),
              finding.cpu_seconds, row.text);
  if (finding.found) {
    std::printf("       by %s: %.200s\n", finding.last_run.c_str(), finding.how.c_str());
  }
}

bool parse(int count, char** words, Arguments& arguments) {
  for (int position = 1; position < count; ++position) {
    const std::string name = words[position];
    if (name == "--json") {
      arguments.json = true;
      continue;
    }
    if (++position == count) return false;
    if (name == "--only") {
      arguments.only = words[position];
    } else if (name == "--seeds") {
      arguments.seeds = std::strtoull(words[position], nullptr, 10);
    } else if (name == "--cpu-seconds") {
      arguments.cpu_seconds = std::strtoull(words[position], nullptr, 10);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse(count, words, arguments)) {
    std::fprintf(stderr,
                 "usage: mutant_hunt [--only NAME] [--seeds N] [--cpu-seconds N] [--json]\n");
    return 2;
  }
  arguments.rules = std::filesystem::path(words[0]).parent_path() / "mutant_rules";
  if (run_rules(arguments, "none") != 0) {
    std::fprintf(stderr, "%s does not pass without a planted bug, so it proves nothing\n",
                 arguments.rules.c_str());
    return 1;
  }
  uint64_t played = 0;
  uint64_t missed = 0;
  for (const Row& row : kRows) {
    if (arguments.only.empty() ? !lives_in_core(row.name) : arguments.only != row.name) continue;
    Finding finding = play(row, arguments);
    if (!finding.found) ask_rules(row, arguments, finding);
    print(row, finding, arguments.json);
    ++played;
    if (!finding.found) ++missed;
  }
  if (!arguments.json) {
    std::printf("%llu planted bugs, %llu found\n", static_cast<unsigned long long>(played),
                static_cast<unsigned long long>(played - missed));
  }
  return missed == 0 && played != 0 ? 0 : 1;
}
