#include <CLI/CLI.hpp>
#include <map>

#include "app/bench/bench.h"
#include "app/bench/run.h"
#include "app/etcdctl/go_text.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "load/keep_alive_driver.h"
#include "load/watch_driver.h"

namespace quorate::app::bench {

struct Lines {
  Options options;
  NullServerOptions null_server;
  PlotOptions plot;
  std::string duration = "10s";
  std::string warm_up = "2s";
  bool poisson = false;
  bool sequential = false;
  bool not_loaded = false;
  uint64_t range_keys = 100;  // of one range; a get has one
  int code = kExitOk;
};

namespace {

void add_plan(CLI::App& command, Lines& lines) {
  Options& options = lines.options;
  command
      .add_option("--connections", options.connections, "dealt out to the endpoints in turn (10)")
      ->check(CLI::Range(1U, load::kConnectionsMax));
  command
      .add_option("--outstanding", options.plan.outstanding,
                  "operations under way at once (64); in an open loop: at most")
      ->check(CLI::Range(1U, load::kOutstandingMax));
  command
      .add_option("--rate", options.plan.rate,
                  "open loop: operations per second, whatever the server does; 0: closed loop")
      ->check(CLI::Range(0.0, 1e7));
  command.add_flag("--poisson", lines.poisson,
                   "in an open loop, at random times (Poisson) instead of even ones");
  command
      .add_option("--sweep", options.sweep,
                  "rates with commas between, one open loop after the other")
      ->delimiter(',')
      ->check(CLI::Range(0.01, 1e7));
  command.add_option("--plot", options.plot_file,
                     "write throughput against latency to this file (SVG)");
  command.add_option("--duration", lines.duration, "of the measurement (10s)");
  command.add_option("--warm-up", lines.warm_up, "before it, not measured (2s)");
  command.add_option("--operations", options.plan.operations,
                     "exactly so many, all of them measured, instead of a time");
  command.add_option("--seed", options.plan.seed, "of all that is random");
  command
      .add_option("--server-pid", options.servers,
                  "processes whose CPU, memory and switches count, with commas between")
      ->delimiter(',');
  command
      .add_option("--device", options.devices,
                  "block devices whose flushes and writes count (all disks)")
      ->delimiter(',');
  command.add_option("--name", options.name, "what this system is called in the report");
}

void add_keys(CLI::App& command, Lines& lines) {
  load::KeySpace& space = lines.options.space;
  command.add_option("--prefix", space.prefix, "of all keys (bench/)");
  command.add_option("--keys", space.keys, "how many different ones (10000)")
      ->check(CLI::Range(uint64_t{1}, load::kKeysMax));
  command.add_option("--value-bytes", space.value_bytes, "size of each value (256)")
      ->check(CLI::Range(size_t{0}, load::kValueBytesMax));
  command.add_flag("--sequential", lines.sequential, "keys in order instead of at random");
}

void add_reads(CLI::App& command, Lines& lines) {
  command.add_flag("--serializable", lines.options.reads.serializable,
                   "what the member has, without asking the others");
  command.add_flag("--no-load", lines.not_loaded, "the keys are there, do not write them first");
}

// False, with a complaint: a duration makes no sense.
bool take_lines(Lines& lines) {
  Options& options = lines.options;
  for (const auto& [text, target] : {std::pair(&lines.duration, &options.plan.measured),
                                     std::pair(&lines.warm_up, &options.plan.warm_up)}) {
    const auto duration = etcdctl::duration_of(*text);
    if (!duration || *duration < Duration{} ||
        (target == &options.plan.measured && *duration == Duration{})) {
      complain("\"" + *text + "\" is no duration; write it like 5s or 1m30s");
      return false;
    }
    *target = *duration;
  }
  if (options.workload == "watch" && options.space.value_bytes < load::kWatchedValueBytesMin) {
    complain("--value-bytes of a watch must be 8 at least: the time of the put travels in it");
    return false;
  }
  if (options.sweep.size() > kSweepMax) {
    complain("--sweep has at most " + std::to_string(kSweepMax) + " rates");
    return false;
  }
  options.plan.arrivals = lines.poisson ? load::Arrivals::poisson : load::Arrivals::even;
  options.space.order = lines.sequential ? load::KeyOrder::sequential : load::KeyOrder::random;
  options.space.seed = options.plan.seed;
  options.load_first = !lines.not_loaded;
  if (options.workload == "range") options.reads.keys_each = lines.range_keys;
  return true;
}

using Runner = int (*)(const Common& common, const Options& options);

CLI::App& add_workload(CLI::App& bench, Lines& lines, const Run& run, const std::string& name,
                       const std::string& help, Runner runner = run_etcd) {
  CLI::App* command = bench.add_subcommand(name, help);
  add_plan(*command, lines);
  add_keys(*command, lines);
  command->callback([&lines, run, name, runner] {
    lines.options.workload = name;
    run([&lines, runner](const Common& common) {
      return take_lines(lines) ? runner(common, lines.options) : kExitUsage;
    });
  });
  return *command;
}

void add_share(CLI::App& command, Lines& lines) {
  command
      .add_option("--reads", lines.options.reads_percent, "how many of a hundred are reads (50)")
      ->check(CLI::Range(0, 100));
}

void add_workloads(CLI::App& bench, Lines& lines, const Run& run) {
  add_workload(bench, lines, run, "put", "write keys");
  add_reads(add_workload(bench, lines, run, "get", "read single keys"), lines);
  CLI::App& range = add_workload(bench, lines, run, "range", "read many keys at once");
  add_reads(range, lines);
  range.add_option("--keys-each", lines.range_keys, "keys of one range (100)")
      ->check(CLI::Range(uint64_t{1}, load::kKeysMax));
  range.add_flag("--keys-only", lines.options.reads.keys_only, "no values");
  range.add_flag("--count-only", lines.options.reads.count_only, "only how many there are");
  CLI::App& mixed = add_workload(bench, lines, run, "mixed", "gets and puts");
  add_reads(mixed, lines);
  add_share(mixed, lines);
  add_workload(bench, lines, run, "swap", "compare-and-swap transactions, a key for each slot")
      .add_option("--hot", lines.options.hot_percent,
                  "how many of a hundred go to one key that all fight for (0)")
      ->check(CLI::Range(0, 100));
  add_workload(bench, lines, run, "txn-put", "transactions that only put, as etcd's tool has them")
      .add_option("--writes-each", lines.options.writes_each, "puts of one transaction (1)")
      ->check(CLI::Range(1, 128));
  CLI::App& transactions =
      add_workload(bench, lines, run, "txn-mixed", "transactions that read or write one key");
  add_share(transactions, lines);
  add_reads(transactions, lines);
}

void add_stream_workloads(CLI::App& bench, Lines& lines, const Run& run) {
  Options& options = lines.options;
  CLI::App& watch = add_workload(bench, lines, run, "watch",
                                 "puts that many watch: events per second, and how long they take");
  watch.add_option("--watchers", options.watchers, "each of all keys that are put (100)")
      ->check(CLI::Range(1U, load::kWatchersMax));
  watch.add_option("--streams", options.streams, "that carry them (10)")
      ->check(CLI::Range(1U, load::kWatchersMax));
  CLI::App& keep = add_workload(bench, lines, run, "keep-alive",
                                "leases kept alive over streams that stay open");
  keep.add_option("--leases", options.leases, "granted before and revoked behind (1000)")
      ->check(CLI::Range(uint64_t{1}, load::kLeasesMax));
  keep.add_option("--streams", options.streams, "that carry them (10)")
      ->check(CLI::Range(1U, load::kConnectionsMax));
  keep.add_option("--lease-seconds", options.lease_seconds, "time to live of each (3600)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
}

void add_zookeeper(CLI::App& bench, Lines& lines, const Run& run) {
  add_workload(bench, lines, run, "zookeeper-set",
               "set nodes of a ZooKeeper, by its own protocol; a connection is a session",
               run_zookeeper);
  add_workload(bench, lines, run, "zookeeper-get",
               "get nodes of a ZooKeeper: what the server at hand has", run_zookeeper);
}

void add_null_server(CLI::App& bench, Lines& lines, const Run& run) {
  CLI::App* command = bench.add_subcommand(
      "null-server", "answers every call and does nothing: shows what this tool itself can do");
  NullServerOptions& options = lines.null_server;
  command->add_option("--port", options.port, "on 127.0.0.1; 0: any (12379)");
  command->add_option("--answer-bytes", options.answer_bytes, "of each answer (300)")
      ->check(CLI::Range(0, 64 << 20));
  command->add_option("--status", options.status, "grpc-status of the answers (0)")
      ->check(CLI::Range(0, 16));
  command->add_option("--one-in", options.fail_one_in, "so often that status, else 0 (1)")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--text", options.text, "grpc-message of those with a status");
  command->callback([&lines, run] {
    run([&lines](const Common&) { return run_null_server(lines.null_server); });
  });
}

void add_plot(CLI::App& bench, Lines& lines, const Run& run) {
  CLI::App* command = bench.add_subcommand(
      "plot", "one picture of several sweeps, from files with their --json output");
  command->add_option("--title", lines.plot.title, "of the picture");
  command->add_option("--out", lines.plot.out, "file to be written (SVG)")->required();
  command->add_option("files", lines.plot.files, "outputs of sweeps")->required();
  command->callback(
      [&lines, run] { run([&lines](const Common&) { return run_plot(lines.plot); }); });
}

}  // namespace

std::shared_ptr<Lines> make_lines() { return std::make_shared<Lines>(); }

void add_bench(CLI::App& app, Lines& lines, const Run& run) {
  CLI::App* bench = app.add_subcommand(
      "bench", "load on any server of the etcd API: throughput, latency, and what it costs");
  bench->require_subcommand(1);
  add_workloads(*bench, lines, run);
  add_stream_workloads(*bench, lines, run);
  add_zookeeper(*bench, lines, run);
  add_null_server(*bench, lines, run);
  add_plot(*bench, lines, run);
}

}  // namespace quorate::app::bench
