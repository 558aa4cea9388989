// explore_hunt: proves that the searcher would notice. It is compiled with the planted bugs of
// base/mutants.def (docs/decisions/0003); each is searched for in a child process within bounds
// that fit its hazard, and must be found with a shortest trace. The same bounds, searched just as
// deep without the bug, must show nothing, or the finding proves nothing.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "base/mutant.h"
#include "explore/report.h"

namespace quorate {
Mutant active_mutant = Mutant::none;
}

namespace {

using quorate::Mutant;
using quorate::explore::Limits;
using quorate::explore::Report;
using quorate::explore::Scope;

struct Hunt {
  Mutant mutant;
  const char* name;
  const char* bounds;
};

#define QRT_HUNT(name, bounds) {Mutant::name, #name, bounds}

constexpr Hunt kHunts[] = {
    QRT_HUNT(R04, "timeouts=0 heartbeats=0 in-flight=2"),
    QRT_HUNT(R02, "timeouts=0 heartbeats=0 in-flight=2"),
    QRT_HUNT(R05, "timeouts=2 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(R06, "terms=1 timeouts=2 commands=0 heartbeats=0 crashes=1 in-flight=2"),
    QRT_HUNT(R16, "timeouts=3 commands=0 heartbeats=0 slow-disk=0 in-flight=3"),
    QRT_HUNT(N09, "nodes=4 voters=4 heartbeats=0 commands=0 duplicates=2 slow-disk=0 in-flight=3"),
    QRT_HUNT(R03, "heartbeats=0 in-flight=2"),
    QRT_HUNT(R20, "heartbeats=0 in-flight=2"),
    QRT_HUNT(N11, "terms=1 timeouts=1 heartbeats=0 slow-disk=0 in-flight=3 duplicates=1"),
    QRT_HUNT(R08, "slow-disk=0 in-flight=3"),
    QRT_HUNT(FIG8, "terms=3 timeouts=3 heartbeats=0 slow-disk=0 in-flight=2 append-max=1"),
    QRT_HUNT(R07, "terms=1 timeouts=1 heartbeats=0 reads=1 slow-disk=0 in-flight=3"),
    QRT_HUNT(R19, "timeouts=0 commands=2 slow-disk=0 in-flight=3 compactions=1 duplicates=1"),
    QRT_HUNT(M21, "terms=1 timeouts=1 heartbeats=2 slow-disk=0 in-flight=2 compactions=1"),
    QRT_HUNT(M01, "nodes=4 voters=4 commands=0 changes=2 heartbeats=0 in-flight=3 slow-disk=0"),
    // Once more to where two majorities of the same term have nobody in common.
    QRT_HUNT(M01,
             "nodes=4 voters=4 commands=0 changes=2 heartbeats=0 in-flight=2 slow-disk=0 "
             "quorum-rule=0"),
    QRT_HUNT(M02, "voters=1 changes=2 crashes=1 heartbeats=1 slow-disk=0 in-flight=2 commands=1"),
    QRT_HUNT(M04, "timeouts=0 changes=1 commands=0 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(M08, "nodes=4 voters=4 commands=0 changes=2 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(M11, "timeouts=0 changes=1 commands=0 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(
        M15,
        "nodes=4 timeouts=1 terms=1 changes=2 commands=0 heartbeats=0 slow-disk=0 in-flight=3"),
    QRT_HUNT(JOINT_SKIPPED,
             "nodes=4 timeouts=1 terms=1 changes=1 change-kinds=2 commands=0 heartbeats=0 "
             "slow-disk=0 in-flight=2"),
    QRT_HUNT(JOINT_HASTY,
             "nodes=4 timeouts=1 terms=1 changes=1 change-kinds=2 commands=1 heartbeats=0 "
             "slow-disk=0 in-flight=2"),
    QRT_HUNT(JOINT_NEW,
             "nodes=4 timeouts=1 terms=1 changes=1 change-kinds=2 commands=0 heartbeats=0 "
             "slow-disk=0 in-flight=2"),
    QRT_HUNT(AMNESIA, "terms=1 timeouts=1 wipes=1 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(P07,
             "terms=1 timeouts=1 reads=1 ticks=3 shared-clocks=1 lease-reads=1 check-quorum=1 "
             "slow-disk=0 in-flight=2"),
    QRT_HUNT(R15,
             "terms=1 timeouts=0 reads=1 ticks=2 transfers=1 shared-clocks=1 lease-reads=1 "
             "check-quorum=1 slow-disk=0 in-flight=2"),
    QRT_HUNT(LEASE_SENT,
             "terms=1 timeouts=1 reads=1 ticks=3 shared-clocks=1 lease-reads=1 check-quorum=1 "
             "slow-disk=0 in-flight=2"),
    QRT_HUNT(LEASE_RESTART,
             "terms=1 timeouts=1 reads=1 ticks=2 crashes=1 shared-clocks=1 lease-reads=1 "
             "check-quorum=1 slow-disk=0 in-flight=2"),
    // Multi-Paxos. Its ballots are ordered by node, too, so nothing is halved by mirror images.
    QRT_HUNT(X01, "protocol=1 terms=3 timeouts=3 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(X01_LOW, "protocol=1 terms=1 timeouts=1 heartbeats=0 slow-disk=0 in-flight=3"),
    QRT_HUNT(X02, "protocol=1 terms=2 timeouts=2 heartbeats=0 crashes=1 in-flight=2"),
    QRT_HUNT(X02_RESTART,
             "protocol=1 terms=1 timeouts=1 heartbeats=0 crashes=1 in-flight=2 slow-disk=0"),
    QRT_HUNT(X03, "protocol=1 terms=1 timeouts=1 heartbeats=0 crashes=1 in-flight=3"),
    QRT_HUNT(X03_ACCEPT, "protocol=1 timeouts=0 heartbeats=0 in-flight=2"),
    QRT_HUNT(X05, "protocol=1 timeouts=0 commands=2 heartbeats=0 slow-disk=0 in-flight=3"),
    QRT_HUNT(X08,
             "protocol=1 timeouts=0 changes=1 commands=1 heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(X08_PIPELINE,
             "protocol=1 nodes=4 timeouts=1 terms=1 changes=1 change-kinds=2 commands=1 "
             "heartbeats=0 slow-disk=0 in-flight=2"),
    QRT_HUNT(X10,
             "protocol=1 terms=1 timeouts=1 commands=1 compactions=1 heartbeats=1 slow-disk=0 "
             "in-flight=2"),
    QRT_HUNT(X11, "protocol=1 terms=2 timeouts=2 commands=1 heartbeats=1 slow-disk=0 in-flight=2"),
};

#undef QRT_HUNT

constexpr int kFound = 1;
constexpr int kNotFound = 0;
constexpr int kFalseAlarm = 3;

struct Arguments {
  std::string only;
  rlim_t cpu_seconds = 120;  // for each bug
  bool trace = false;
  bool json = false;
};

double cpu_seconds(int who) {
  rusage usage{};
  getrusage(who, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

Report search(const Scope& scope) {
  const double began = cpu_seconds(RUSAGE_SELF);
  Limits limits;
  limits.table_bytes = size_t{1} << 29U;
  limits.frontier_bytes = size_t{1} << 30U;
  Report report = quorate::explore::explore(scope, limits);
  report.seconds = cpu_seconds(RUSAGE_SELF) - began;
  return report;
}

[[noreturn]] void hunt(const Hunt& it, const Arguments& arguments) {
  const rlimit cpu{arguments.cpu_seconds, arguments.cpu_seconds + 1};
  setrlimit(RLIMIT_CPU, &cpu);
  const rlimit core{0, 0};
  setrlimit(RLIMIT_CORE, &core);
  Scope scope;
  if (const auto set = quorate::explore::set_bounds(scope, it.bounds); !set) {
    std::fprintf(stderr, "%s: %s\n", it.name, set.error().text.c_str());
    std::_Exit(2);
  }
  scope.name = it.name;
  quorate::active_mutant = it.mutant;
  const Report found = search(scope);
  std::printf("%s\n", arguments.json ? quorate::explore::json(found).c_str()
                                     : quorate::explore::table_row(found).c_str());
  if (!found.broken.empty() && !arguments.json) {
    std::printf("  %zu moves to: %s\n", found.trace.size(), found.broken.c_str());
    if (arguments.trace) std::printf("%s", quorate::explore::details(found).c_str());
  }
  std::fflush(stdout);
  if (found.broken.empty()) std::_Exit(kNotFound);
  quorate::active_mutant = Mutant::none;
  scope.depth = found.depth + 1;
  const Report clean = search(scope);
  if (clean.broken.empty()) std::_Exit(kFound);
  std::printf("  and WITHOUT the bug: %s\n", quorate::explore::details(clean).c_str());
  std::fflush(stdout);
  std::_Exit(kFalseAlarm);
}

bool play(const Hunt& it, const Arguments& arguments) {
  std::fflush(stdout);
  const pid_t process = fork();
  if (process < 0) std::exit(2);
  if (process == 0) hunt(it, arguments);
  int status = 0;
  waitpid(process, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kFound) return true;
  if (WIFSIGNALED(status)) {
    std::printf("%s ended by %s\n", it.name, strsignal(WTERMSIG(status)));
  } else if (WEXITSTATUS(status) == kNotFound) {
    std::printf("%s NOT FOUND\n", it.name);
  }
  return false;
}

// In a list with commas.
bool named(std::string_view list, std::string_view name) {
  return ("," + std::string(list) + ",").find("," + std::string(name) + ",") != std::string::npos;
}

bool parse(int count, char** words, Arguments& arguments) {
  for (int position = 1; position < count; ++position) {
    const std::string_view name = words[position];
    if (name == "--trace") {
      arguments.trace = true;
    } else if (name == "--json") {
      arguments.json = true;
    } else if (name == "--only" && position + 1 < count) {
      arguments.only = words[++position];
    } else if (name == "--cpu-seconds" && position + 1 < count) {
      arguments.cpu_seconds = std::strtoull(words[++position], nullptr, 10);
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
                 "usage: explore_hunt [--only NAME,...] [--cpu-seconds N] [--trace] [--json]\n");
    return 2;
  }
  size_t played = 0;
  size_t found = 0;
  if (!arguments.json) std::printf("%s\n", quorate::explore::table_head().c_str());
  for (const Hunt& it : kHunts) {
    if (!arguments.only.empty() && !named(arguments.only, it.name)) continue;
    ++played;
    if (play(it, arguments)) ++found;
  }
  if (!arguments.json) {
    std::printf("%zu planted bugs, %zu found; %.1f CPU s\n", played, found,
                cpu_seconds(RUSAGE_CHILDREN));
  }
  return played != 0 && played == found ? 0 : 1;
}
