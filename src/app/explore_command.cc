// explore: everything that can happen within bounds, with the cores that `serve` runs.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iterator>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/explore_synod.h"
#include "app/output.h"
#include "explore/report.h"

namespace quorate::app {
namespace {

constexpr double kProgressSeconds = 5;
constexpr uint64_t kMebi = uint64_t{1} << 20U;

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

uint64_t memory_in_use() {
  std::ifstream file("/proc/self/statm");
  uint64_t all = 0;
  uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

class Explorer {
 public:
  explicit Explorer(const ExploreOptions& options)
      : options_(options), end_(options.minutes * 60) {}

  double left() const { return end_ - cpu_seconds(); }
  bool broken() const { return broken_; }

  // Takes up to `seconds` of CPU.
  void search(const explore::Scope& scope, double seconds, uint64_t walk = 0, uint64_t seed = 1) {
    const double began = cpu_seconds();
    double told = began;
    explore::Limits limits;
    limits.walk = walk;
    limits.seed = seed;
    limits.table_bytes = options_.memory_mebibytes * kMebi / 2;
    limits.frontier_bytes = options_.memory_mebibytes * kMebi / 4;
    if (walk != 0) limits.table_bytes = std::min<size_t>(limits.table_bytes, 64 * kMebi);
    limits.interrupt = [&](const explore::Report& so_far) -> std::string {
      const double now = cpu_seconds();
      if (now - told > kProgressSeconds) {
        told = now;
        explore::Report shown = so_far;
        shown.seconds = now - began;
        std::fprintf(stderr, "%s\n", explore::progress(shown).c_str());
      }
      if (now - began > seconds) return "the end of its time";
      if (memory_in_use() > options_.memory_mebibytes * kMebi) return "the bound on memory";
      return {};
    };
    explore::Report report = explore::explore(scope, limits);
    report.seconds = cpu_seconds() - began;
    tell(scope, report, walk, seed);
  }

  void head() const {
    if (!options_.json) std::printf("%s\n", explore::table_head().c_str());
  }

 private:
  void tell(const explore::Scope& scope, const explore::Report& report, uint64_t walk,
            uint64_t seed) {
    if (options_.json) {
      std::printf("%s\n", explore::json(report).c_str());
    } else if (walk == 0 || !report.broken.empty()) {
      std::printf("%s\n%s", explore::table_row(report).c_str(), explore::details(report).c_str());
    }
    std::fflush(stdout);
    if (report.broken.empty()) return;
    broken_ = true;
    explore::TraceFile trace{scope, walk, seed, report.broken, report.trace};
    trace.moves.erase(trace.moves.begin(),
                      trace.moves.begin() + static_cast<std::ptrdiff_t>(report.walked));
    std::ofstream file(options_.trace_file);
    file << explore::trace_text(trace);
    std::fprintf(stderr, "%s plays this again: quorate explore --replay %s\n",
                 options_.trace_file.c_str(), options_.trace_file.c_str());
  }

  const ExploreOptions& options_;
  double end_;
  bool broken_ = false;
};

int list_scopes() {
  Table table({"scope", "what", "bounds"});
  for (const explore::Scope& scope : explore::named_scopes()) {
    table.add({scope.name, scope.text, explore::describe(scope)});
  }
  std::printf("%s", table.text().c_str());
  return kExitOk;
}

int play_again(const ExploreOptions& options) {
  std::ifstream file(options.replay_file);
  if (!file) {
    complain("cannot read " + options.replay_file + "; --replay takes a file of --trace");
    return kExitUsage;
  }
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto trace = explore::parse_trace(text);
  if (!trace) {
    complain(options.replay_file + ": " + trace.error().text);
    return kExitUsage;
  }
  const explore::Report report =
      explore::replay(trace->scope, trace->walk, trace->seed, trace->moves);
  for (size_t step = 0; step < report.trace.size(); ++step) {
    std::printf("%4zu  %s\n", step + 1, report.trace[step].c_str());
  }
  if (!report.broken.empty()) {
    std::printf("broken rule: %s\n", report.broken.c_str());
    return kExitRefused;
  }
  std::printf("%s\n", report.stopped.empty() ? "no rule is broken" : report.stopped.c_str());
  return kExitOk;
}

// The scopes asked for, with the bounds asked for. Empty: something made no sense.
std::vector<explore::Scope> chosen_scopes(const ExploreOptions& options) {
  std::vector<explore::Scope> scopes;
  for (const std::string& name : options.scopes) {
    const auto scope = explore::scope_named(name);
    if (!scope) {
      complain("--scope: " + scope.error().text);
      return {};
    }
    scopes.push_back(*scope);
  }
  if (scopes.empty() && options.bounds.empty()) scopes = explore::named_scopes();
  if (scopes.empty()) scopes.emplace_back();
  const auto protocol = consensus::protocol_named(options.protocol);
  if (!protocol) {
    complain("--consensus: \"" + options.protocol + "\" is not a protocol of this version; use " +
             consensus::protocol_names());
    return {};
  }
  for (explore::Scope& scope : scopes) {
    scope.protocol = *protocol;
    for (const auto& [name, value] : options.bounds) {
      if (const auto set = explore::set_bound(scope, name, value); !set) {
        complain("--" + set.error().text);
        return {};
      }
    }
  }
  return scopes;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> explore_bounds() { return explore::bound_names(); }

int run_explore(const ExploreOptions& options) {
  if (options.list) return list_scopes();
  if (options.synod) return run_explore_synod(options.minutes, options.json);
  if (!options.replay_file.empty()) return play_again(options);
  const std::vector<explore::Scope> scopes = chosen_scopes(options);
  if (scopes.empty()) return kExitUsage;
  Explorer explorer(options);
  explorer.head();
  const bool walks_only = options.walks != 0;
  for (size_t place = 0; place < scopes.size() && !walks_only; ++place) {
    // What the small ones leave over goes to the large ones.
    const double share = explorer.left() / static_cast<double>(scopes.size() - place);
    explorer.search(scopes[place], share);
    if (explorer.broken()) return kExitRefused;
  }
  // Then from wherever a random walk leads, a few steps exhaustively, while there is time.
  const bool all = options.scopes.empty() && options.bounds.empty();
  uint64_t walks = 0;
  for (; explorer.left() > 0 && (walks_only ? walks < options.walks : all); ++walks) {
    const uint64_t seed = options.seed + walks;
    explore::Scope scope = explore::walk_scope(seed);
    scope.protocol = scopes.front().protocol;
    explorer.search(scope, explorer.left(), 10 + seed % 50, seed);
    if (explorer.broken()) return kExitRefused;
  }
  if (!options.json) {
    std::printf("nothing is broken; %lu random walks\n", static_cast<unsigned long>(walks));
  }
  return kExitOk;
}

}  // namespace quorate::app
