// crash_load: the command line of load.h.
#include "load.h"

#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

namespace quorate::crash {

bool driver_gone() {
  pollfd entry{STDIN_FILENO, POLLIN, 0};
  if (::poll(&entry, 1, 0) <= 0) return false;
  char byte = 0;
  return ::read(STDIN_FILENO, &byte, 1) <= 0;
}

namespace {

int run(int count, char** words) {
  CLI::App app("clients for the crash tests and the failover bench");
  app.require_subcommand(1);
  HistoryOptions history;
  int64_t duration = 10'000;
  int64_t deadline = 1000;
  int64_t pause = 2000;
  CLI::App* record = app.add_subcommand("history", "mixed operations on few keys, all recorded");
  CLI::App* probe = app.add_subcommand("probe", "small puts at a fixed rate to every member");
  for (CLI::App* each : {record, probe}) {
    each->add_option("--endpoints", history.endpoints, "host:port, one for each member")
        ->delimiter(',')
        ->required();
    each->add_option("--output", history.output, "file to write")->required();
    each->add_option("--milliseconds", duration, "how long");
    each->add_option("--deadline-milliseconds", deadline, "of one operation");
    each->add_option("--pause-microseconds", pause, "between the operations of one client");
  }
  record->add_option("--clients", history.clients, "spread over the members");
  record->add_option("--keys", history.keys, "how many");
  record->add_option("--value-bytes", history.value_bytes, "size of values, at least");
  record->add_option("--seed", history.seed, "what the clients do");
  record->add_flag("--roam", history.roam, "try the next member when one fails");
  CLI::App* verify = app.add_subcommand("verify", "is everything acknowledged on every member?");
  verify->add_option("--endpoints", history.endpoints, "host:port, one for each member")
      ->delimiter(',')
      ->required();
  verify->add_option("--history", history.output, "file that `history` wrote")->required();
  CLI11_PARSE(app, count, words);
  history.duration = std::chrono::milliseconds(duration);
  history.deadline = std::chrono::milliseconds(deadline);
  history.pause = std::chrono::microseconds(pause);
  if (record->parsed()) return record_history(history);
  if (verify->parsed()) return verify_history(history.endpoints, history.output);
  return probe_writes(
      {history.endpoints, history.output, history.pause, history.duration, history.deadline});
}

}  // namespace
}  // namespace quorate::crash

int main(int count, char** words) { return quorate::crash::run(count, words); }
