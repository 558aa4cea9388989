// Random operations to Quorate and to etcd, the answers compared field by field (README.md).
#include <sys/types.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "generator.h"
#include "runner.h"
#include "shrink.h"

namespace quorate::differential {
namespace {

constexpr int kExitDifferent = 1;
constexpr int kExitBroken = 2;  // a server does not start, a file cannot be read
constexpr size_t kShownBytes = 100;
constexpr size_t kShownOperations = 40;
constexpr int kTriesMax = 3;  // of a run that was too slow to say anything

struct Options {
  std::string reference = "etcd";
  std::string binary;
  uint64_t seed = 1;
  uint64_t seeds = 1;
  uint64_t operations = 4000;
  size_t members = 1;
  bool expire = false;
  bool follower = false;
  int64_t patience = 10;
  int64_t shrink_seconds = 60;
  std::string plant = "none";
  std::string record;
  std::string replay;
  std::string directory;
};

// Both servers, without data, and what runs against them.
struct Session {
  Session(const Options& options, Plant plant, const std::string& directory)
      : their_cluster({options.reference}, options.members, directory + "/reference"),
        our_cluster({options.binary, "serve"}, options.members, directory + "/quorate"),
        theirs(their_cluster, role(options), Plant::none),
        ours(our_cluster, role(options), plant),
        runner(theirs, ours, std::chrono::seconds(options.patience)) {}

  static Side::Role role(const Options& options) {
    return options.follower ? Side::Role::follower : Side::Role::leader;
  }

  Cluster their_cluster;
  Cluster our_cluster;
  Side theirs;
  Side ours;
  Runner runner;
};

struct Outcome {
  std::string broken;  // empty: it ran
  std::optional<Mismatch> mismatch;
  std::vector<Operation> operations;  // up to the mismatch
  Counts counts;
  int64_t revisions = 0;
  bool stalled = false;
};

std::string fresh_directory(const Options& options) {
  static uint64_t count = 0;
  return options.directory + "/differential-" + std::to_string(::getpid()) + "-" +
         std::to_string(++count);
}

// next: the operation to do at this place, or nothing at the end.
using Source = std::function<std::optional<Operation>(size_t place, const View& view)>;

Outcome run(const Options& options, Plant plant, const Source& next) {
  const std::string directory = fresh_directory(options);
  Outcome outcome;
  {
    Session session(options, plant, directory);
    for (Side* side : {&session.theirs, &session.ours}) {
      outcome.broken = side->open();
      if (!outcome.broken.empty()) break;
    }
    Runner& runner = session.runner;
    bool over = !outcome.broken.empty();
    while (!over && !outcome.mismatch && !runner.stalled()) {
      const auto operation = next(outcome.operations.size(), runner.view());
      over = !operation;
      if (operation) {
        outcome.operations.push_back(*operation);
        outcome.mismatch = runner.run(*operation);
      } else {
        outcome.mismatch = runner.finish();
      }
    }
    outcome.counts = runner.counts();
    outcome.revisions = runner.view().current;
    outcome.stalled = runner.stalled();
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return outcome;
}

Source from_list(const std::vector<Operation>& operations) {
  return [&operations](size_t place, const View&) -> std::optional<Operation> {
    if (place >= operations.size()) return std::nullopt;
    return operations[place];
  };
}

void show(const Mismatch& mismatch, const std::vector<Operation>& operations) {
  const size_t from = operations.size() - std::min(operations.size(), kShownOperations);
  std::cout << "  operations:" << (from > 0 ? " (the last ones)" : "") << "\n";
  for (size_t at = from; at < operations.size(); ++at) {
    std::cout << "    " << at + 1 << " " << to_text(operations[at], kShownBytes) << "\n";
  }
  std::cout << "  " << mismatch.what << "\n    etcd:    " << mismatch.theirs
            << "\n    quorate: " << mismatch.ours << "\n"
            << std::flush;
}

void keep(const std::string& path, const std::vector<Operation>& operations) {
  if (path.empty()) return;
  std::ofstream file(path);
  for (const Operation& operation : operations) file << to_text(operation) << "\n";
}

void report_difference(const Options& options, Plant plant, Outcome outcome) {
  show(*outcome.mismatch, outcome.operations);
  keep(options.record, outcome.operations);
  Mismatch smallest = *outcome.mismatch;
  const auto attempt = [&](const std::vector<Operation>& candidate) -> std::optional<size_t> {
    const Outcome again = run(options, plant, from_list(candidate));
    if (!again.mismatch || again.mismatch->what != outcome.mismatch->what) return std::nullopt;
    smallest = *again.mismatch;
    return again.operations.size() - 1;
  };
  const size_t before = outcome.operations.size();
  if (options.shrink_seconds == 0) return;
  const auto fewer =
      shrink(std::move(outcome.operations), attempt, std::chrono::seconds(options.shrink_seconds));
  std::cout << "shrunk from " << before << " to " << fewer.size() << " operations\n";
  show(smallest, fewer);
  keep(options.record, fewer);
}

int run_one(const Options& options, Plant plant, const std::string& name, const Source& next) {
  const auto started = std::chrono::steady_clock::now();
  Outcome outcome;
  outcome.stalled = true;
  for (int tries = 0; tries < kTriesMax && outcome.stalled; ++tries) {
    outcome = run(options, plant, next);
  }
  if (!outcome.broken.empty()) {
    std::cout << name << ": cannot run: " << outcome.broken << "\n";
    return kExitBroken;
  }
  if (outcome.stalled) {
    std::cout << name << ": this machine is too busy for leases of a few seconds; try again\n";
    return kExitBroken;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  const Counts& counts = outcome.counts;
  std::printf(
      "%s: %zu operations, %lu accepted, %lu refused, %ld revisions, %lu watchers, %lu events, "
      "%lu fragments, %lu compactions, %lu expiries, %lu leaders lost, %lu alarms, "
      "%lu asked again, %.1f s: %s\n",
      name.c_str(), outcome.operations.size(), counts.accepted, counts.refused, outcome.revisions,
      counts.watchers, counts.events, counts.fragments, counts.compactions, counts.leases_ended,
      counts.leaders_lost, counts.alarms, counts.asked_again, seconds.count(),
      outcome.mismatch ? "DIFFERENT" : "no difference");
  std::fflush(stdout);
  if (!outcome.mismatch) {
    keep(options.record, outcome.operations);
    return 0;
  }
  report_difference(options, plant, std::move(outcome));
  return kExitDifferent;
}

int replay(const Options& options, Plant plant) {
  std::ifstream file(options.replay);
  std::vector<Operation> operations;
  std::string line;
  while (std::getline(file, line)) {
    auto operation = read_operation(line);
    if (!operation) {
      std::cout << options.replay << ": no operation: " << line.substr(0, kShownBytes) << "\n";
      return kExitBroken;
    }
    operations.push_back(std::move(*operation));
  }
  if (operations.empty()) {
    std::cout << options.replay << ": no operations; give a file that --record wrote" << "\n";
    return kExitBroken;
  }
  return run_one(options, plant, options.replay, from_list(operations));
}

int run_seeds(const Options& options, Plant plant) {
  for (uint64_t seed = options.seed; seed < options.seed + options.seeds; ++seed) {
    std::optional<Generator> generator;
    const Source next = [&](size_t place, const View& view) -> std::optional<Operation> {
      if (place == 0) {
        generator.emplace(seed, GeneratorOptions{options.expire, options.members > 1});
      }
      if (place >= options.operations) return std::nullopt;
      return generator->next(view);
    };
    const int code = run_one(options, plant, "seed " + std::to_string(seed), next);
    if (code != 0) return code;
  }
  return 0;
}

// Where files are in memory, if there is such a place: this is no test of disks.
std::string default_directory() {
  return ::access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                         : std::filesystem::temp_directory_path().string();
}

// The servers take settings from the environment as well; here both shall have the same.
void clear_environment() {
  std::vector<std::string> names;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string text(*entry);
    if (text.starts_with("ETCD_") || text.starts_with("QUORATE_")) {
      names.push_back(text.substr(0, text.find('=')));
    }
  }
  for (const std::string& name : names) ::unsetenv(name.c_str());
}

int main_with(int count, char** words) {
  Options options;
  options.directory = default_directory();
  CLI::App app("the same random operations to Quorate and to etcd; the answers are compared");
  app.add_option("--binary", options.binary, "the program quorate")->required();
  app.add_option("--reference", options.reference, "the program etcd");
  app.add_option("--seed", options.seed, "one seed is one run");
  app.add_option("--seeds", options.seeds, "so many seeds, from that one on");
  app.add_option("--operations", options.operations, "of each run");
  app.add_option("--members", options.members, "with more than one, leaders are killed")
      ->check(CLI::Range(1, 3));
  app.add_flag("--follower", options.follower, "ask one that does not lead; needs --members 3");
  app.add_flag("--expire", options.expire, "also leases of a few seconds that end");
  app.add_option("--shrink-seconds", options.shrink_seconds, "when there is a difference; 0: none");
  app.add_option("--patience", options.patience, "seconds until a watch's event counts as missing");
  app.add_option("--plant", options.plant, "a difference made on purpose; see plant.h");
  app.add_option("--record", options.record, "write the operations to this file");
  app.add_option("--replay", options.replay, "do the operations of such a file");
  app.add_option("--directory", options.directory, "for the servers' data");
  CLI11_PARSE(app, count, words);
  const auto plant = find_plant(options.plant);
  if (!plant) {
    std::cout << "--plant " << options.plant << ": no such difference; see plant.h" << "\n";
    return kExitBroken;
  }
  clear_environment();
  return options.replay.empty() ? run_seeds(options, *plant) : replay(options, *plant);
}

}  // namespace
}  // namespace quorate::differential

int main(int count, char** words) { return quorate::differential::main_with(count, words); }
