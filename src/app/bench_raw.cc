#include "app/bench_raw.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "app/exit_codes.h"
#include "app/interruption.h"
#include "app/output.h"
#include "raw/raw_consensus.h"

namespace quorate::app {
namespace {

struct RawLine {
  std::string protocol = "raft";
  std::string log = "memory";
  double seconds = 5;
  double warm_up = 1;
  raw::Options options;
};

double microseconds(Duration duration) { return static_cast<double>(duration.count()) / 1e3; }

double per(double total, uint64_t count) {
  return count == 0 ? 0 : total / static_cast<double>(count);
}

double per_second(uint64_t count, Duration took) {
  return static_cast<double>(count) * 1e6 / microseconds(took);
}

void print_json(const RawLine& line, const raw::Outcome& outcome) {
  const nlohmann::ordered_json made = {
      {"consensus", line.protocol},
      {"log", line.log},
      {"replicas", line.options.replicas},
      {"outstanding", line.options.outstanding},
      {"value_bytes", line.options.value_bytes},
      {"entries", outcome.entries},
      {"seconds", microseconds(outcome.took) / 1e6},
      {"entries_per_second", per_second(outcome.entries, outcome.took)},
      {"cpu_us_per_entry", per(microseconds(outcome.processor), outcome.entries)},
      {"latency_us",
       {{"p50", microseconds(outcome.median)},
        {"p99", microseconds(outcome.p99)},
        {"p99.9", microseconds(outcome.p999)},
        {"max", microseconds(outcome.longest)}}},
      {"messages_per_entry", per(static_cast<double>(outcome.messages), outcome.entries)},
      {"syncs", outcome.syncs},
      {"log_bytes_per_entry", per(static_cast<double>(outcome.log_bytes), outcome.entries)},
      {"switches_per_entry", per(static_cast<double>(outcome.switches), outcome.entries)}};
  std::printf("%s\n", made.dump().c_str());
}

void print_table(const RawLine& line, const raw::Outcome& outcome) {
  std::printf("%s, %s log, %zu replicas, %zu outstanding, values of %zu bytes\n",
              line.protocol.c_str(), line.log.c_str(), line.options.replicas,
              line.options.outstanding, line.options.value_bytes);
  std::printf("entries decided by all   %12lu in %.2f s\n",
              static_cast<unsigned long>(outcome.entries), microseconds(outcome.took) / 1e6);
  std::printf("entries per second       %12.0f\n", per_second(outcome.entries, outcome.took));
  std::printf("CPU per entry, all       %12.3f us\n",
              per(microseconds(outcome.processor), outcome.entries));
  std::printf("latency p50 p99 p99.9    %12.1f %.1f %.1f us, at most %.1f\n",
              microseconds(outcome.median), microseconds(outcome.p99), microseconds(outcome.p999),
              microseconds(outcome.longest));
  std::printf("messages per entry       %12.4f\n",
              per(static_cast<double>(outcome.messages), outcome.entries));
  std::printf("context switches, same   %12.4f\n",
              per(static_cast<double>(outcome.switches), outcome.entries));
  if (!line.options.durable) return;
  std::printf("syncs of all logs        %12lu, an entry shares one with %.1f others\n",
              static_cast<unsigned long>(outcome.syncs),
              per(static_cast<double>(outcome.entries * line.options.replicas), outcome.syncs));
  std::printf("log bytes per entry      %12.0f\n",
              per(static_cast<double>(outcome.log_bytes), outcome.entries));
}

Duration duration_of(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

int run_raw(RawLine& line, bool json) {
  const auto protocol = consensus::protocol_named(line.protocol);
  if (!protocol) {
    complain("--consensus: \"" + line.protocol + "\" is not a protocol of this build");
    return kExitUsage;
  }
  line.options.protocol = *protocol;
  line.options.durable = line.log == "durable";
  line.options.warm_up = duration_of(line.warm_up);
  line.options.measured = duration_of(line.seconds);
  Interruption interruption;
  const auto outcome =
      raw::run_raw_consensus(line.options, [&interruption] { return interruption.happened(); });
  if (!outcome) {
    complain(outcome.error().text);
    return outcome.error().kind == ErrorKind::invalid ? kExitUsage : kExitRefused;
  }
  if (json) {
    print_json(line, *outcome);
  } else {
    print_table(line, *outcome);
  }
  return kExitOk;
}

CLI::App* bench_of(CLI::App& app) {
  const auto present =
      app.get_subcommands([](const CLI::App* each) { return each->get_name() == "bench"; });
  if (!present.empty()) return present.front();
  CLI::App* made = app.add_subcommand("bench", "measure how fast something is");
  made->require_subcommand(1);
  return made;
}

}  // namespace

void add_raw_bench(CLI::App& app, const bool& json, int& code) {
  const auto line = std::make_shared<RawLine>();
  CLI::App* added = bench_of(app)->add_subcommand(
      "raw", "a protocol by itself: replicas in this process, no sockets, no store");
  added->add_option("--consensus", line->protocol, "the protocol (raft)");
  added->add_option("--log", line->log, "memory, or durable: the production log on files")
      ->check(CLI::IsMember({"memory", "durable"}));
  added->add_option("--directory", line->options.directory,
                    "where a durable log goes: absent or empty, left behind");
  added->add_option("--outstanding", line->options.outstanding, "proposals at a time (256)");
  added->add_option("--value-bytes", line->options.value_bytes, "of each proposal (256)");
  added->add_option("--replicas", line->options.replicas, "how many (3)");
  added->add_option("--seconds", line->seconds, "measured (5)")->check(CLI::Range(0.1, 3600.0));
  added->add_option("--warm-up", line->warm_up, "seconds before that (1)")
      ->check(CLI::Range(0.0, 3600.0));
  added->callback([line, &json, &code] { code = run_raw(*line, json); });
}

}  // namespace quorate::app
