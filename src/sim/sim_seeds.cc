// sim_seeds: many seeds in a row, for ctest and for long nights. A failing seed is named with the
// command that replays it, and the run goes on to say how many fail.
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "sim/full/run.h"
#include "sim/hash.h"
#include "sim/run.h"

namespace {

constexpr int kFailuresShownMax = 10;

struct Arguments {
  uint64_t nodes = 0;
  uint64_t first = 1;
  uint64_t count = 100;
  uint32_t trace = 0;
  uint64_t twice_every = 50;  // runs each such seed a second time and compares the hashes
  bool full = false;          // whole nodes instead of cores
  std::string faults;         // of the full profile; empty: from the seed
  quorate::consensus::Protocol protocol = quorate::consensus::Protocol::raft;
};

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

bool parse(int count, char** words, Arguments& arguments) {
  for (int position = 1; position + 1 < count; position += 2) {
    const std::string name = words[position];
    if (name == "--profile") {
      arguments.full = std::strcmp(words[position + 1], "full") == 0;
      if (!arguments.full && std::strcmp(words[position + 1], "core") != 0) return false;
      continue;
    }
    if (name == "--consensus") {
      const auto protocol = quorate::consensus::protocol_named(words[position + 1]);
      if (!protocol) return false;
      arguments.protocol = *protocol;
      continue;
    }
    if (name == "--faults") {
      arguments.faults = words[position + 1];
      continue;
    }
    const uint64_t value = std::strtoull(words[position + 1], nullptr, 10);
    if (name == "--nodes") {
      arguments.nodes = value;
    } else if (name == "--first") {
      arguments.first = value;
    } else if (name == "--count") {
      arguments.count = value;
    } else if (name == "--trace") {
      arguments.trace = static_cast<uint32_t>(value);
    } else if (name == "--twice-every") {
      arguments.twice_every = value;
    } else {
      return false;
    }
  }
  return count % 2 == 1;
}

struct Totals {
  uint64_t failures = 0;
  uint64_t events = 0;
  int64_t simulated = 0;
  uint64_t commits = 0;
  uint64_t elections = 0;
  uint64_t reads = 0;
  uint64_t crashes = 0;
  uint64_t wipes = 0;
  uint64_t installs = 0;
  uint64_t rots = 0;
  uint64_t stores_lost = 0;
  uint64_t member_changes = 0;
  uint64_t leases_expired = 0;
  uint64_t leases_renewed = 0;
  uint64_t watch_events = 0;
  uint64_t watch_streams = 0;
};

void add(Totals& totals, const quorate::sim::RunResult& result) {
  totals.events += result.events;
  totals.simulated += result.simulated_nanoseconds;
  totals.commits += result.commits;
  totals.elections += result.elections;
  totals.reads += result.reads;
  totals.crashes += result.crashes;
  totals.wipes += result.wipes;
  totals.installs += result.installs;
  totals.rots += result.rots;
  totals.stores_lost += result.stores_lost;
  totals.member_changes += result.member_changes;
  totals.leases_expired += result.leases_expired;
  totals.leases_renewed += result.leases_renewed;
  totals.watch_events += result.watch_events;
  totals.watch_streams += result.watch_streams;
}

void report(const Totals& totals, uint64_t seeds) {
  const double cpu = cpu_seconds();
  const double simulated = static_cast<double>(totals.simulated) / 1e9;
  std::printf(
      "%llu seeds, %llu failed; %.0f simulated s in %.1f CPU s (%.0f to one), %llu events\n",
      static_cast<unsigned long long>(seeds), static_cast<unsigned long long>(totals.failures),
      simulated, cpu, cpu > 0 ? simulated / cpu : 0.0,
      static_cast<unsigned long long>(totals.events));
  std::printf(
      "commits %llu, elections %llu, reads %llu, crashes %llu, lost disks %llu, "
      "snapshots installed %llu, rotten entries %llu, lost stores %llu, changes of members %llu, "
      "leases expired %llu, renewals %llu, watch streams %llu, events %llu\n",
      static_cast<unsigned long long>(totals.commits),
      static_cast<unsigned long long>(totals.elections),
      static_cast<unsigned long long>(totals.reads),
      static_cast<unsigned long long>(totals.crashes),
      static_cast<unsigned long long>(totals.wipes),
      static_cast<unsigned long long>(totals.installs),
      static_cast<unsigned long long>(totals.rots),
      static_cast<unsigned long long>(totals.stores_lost),
      static_cast<unsigned long long>(totals.member_changes),
      static_cast<unsigned long long>(totals.leases_expired),
      static_cast<unsigned long long>(totals.leases_renewed),
      static_cast<unsigned long long>(totals.watch_streams),
      static_cast<unsigned long long>(totals.watch_events));
}

using Runner = std::function<quorate::sim::RunResult(uint64_t seed)>;

// Empty when the arguments make no sense; then it was said why.
Runner make_runner(const Arguments& arguments) {
  if (!arguments.full) {
    quorate::sim::SimOptions options;
    options.protocol = arguments.protocol;
    options.nodes = arguments.nodes;
    options.trace = arguments.trace;
    return [options](uint64_t seed) { return quorate::sim::run_seed(options, seed); };
  }
  quorate::sim::full::Options options;
  options.protocol = arguments.protocol;
  options.members = arguments.nodes;
  options.trace = arguments.trace;
  if (!arguments.faults.empty()) {
    const auto faults = quorate::sim::full::parse_faults(arguments.faults);
    if (!faults) {
      std::fprintf(stderr, "--faults: %s\n", faults.error().text.c_str());
      return {};
    }
    options.faults = *faults;
  }
  return [options](uint64_t seed) { return quorate::sim::full::run_seed(options, seed); };
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments;
  if (!parse(count, words, arguments)) {
    std::fprintf(stderr,
                 "usage: sim_seeds [--consensus NAME] [--profile core|full] [--nodes N] [--first "
                 "S] [--count K] "
                 "[--twice-every M] [--faults LIST] [--trace 1]\n");
    return 2;
  }
  const auto runner = make_runner(arguments);
  if (!runner) return 2;
  Totals totals;
  quorate::sim::TraceHash hash;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  for (uint64_t done = 0; done < arguments.count; ++done) {
    const uint64_t seed = arguments.first + done;
    const quorate::sim::RunResult result = runner(seed);
    add(totals, result);
    hash.add(quorate::sim::hash_text(result.hash));
    std::string failure = result.violation;
    if (failure.empty() && arguments.twice_every != 0 && seed % arguments.twice_every == 0 &&
        runner(seed).hash != result.hash) {
      failure = "the same seed gave another trace hash: something is not deterministic";
    }
    if (!failure.empty() && totals.failures++ < kFailuresShownMax) {
      std::printf("\nseed %llu: %s\n  world: %s\n  replay: %s\n",
                  static_cast<unsigned long long>(seed), failure.c_str(), result.world.c_str(),
                  result.replay.c_str());
    }
    if (terminal && done % 10 == 0) {
      std::printf("\r%llu of %llu", static_cast<unsigned long long>(done),
                  static_cast<unsigned long long>(arguments.count));
      std::fflush(stdout);
    }
  }
  if (terminal) std::printf("\r");
  report(totals, arguments.count);
  std::printf("trace hash of all seeds %s\n", hash.text().c_str());
  return totals.failures == 0 ? 0 : 1;
}
