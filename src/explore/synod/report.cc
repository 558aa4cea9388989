#include "explore/synod/report.h"

#include <array>
#include <cstdio>

namespace quorate::explore::synod {
namespace {

template <class... Arguments>
std::string formatted(const char* format, Arguments... arguments) {
  std::array<char, 512> line{};
  std::snprintf(line.data(), line.size(), format, arguments...);
  return line.data();
}

unsigned long long wide(uint64_t number) { return number; }

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') out += '\\';
    out += letter;
  }
  return out + '"';
}

std::string array(const std::vector<std::string>& lines) {
  std::string out = "[";
  for (const std::string& line : lines) out += (out.size() > 1 ? ", " : "") + quoted(line);
  return out + "]";
}

std::string bounds(const Scope& scope) {
  return formatted("%u ballots, %u rounds, %u crashes, %s disk", scope.ballots, scope.rounds,
                   scope.crashes, scope.slow_disk ? "slow" : "quick");
}

const char* name_of(Retry retry) {
  switch (retry) {
    case Retry::at_once:
      return "at once";
    case Retry::back_off:
      return "random back-off";
    case Retry::distinguished:
      return "one distinguished";
  }
  return "?";
}

const char* name_of(Delays delays) { return delays == Delays::fair ? "fair" : "unfair"; }

void add_steps(std::string& out, const std::vector<std::string>& lines, size_t first) {
  for (const std::string& line : lines) {
    out += formatted("%4zu  ", ++first) + line + "\n";
  }
}

}  // namespace

std::string table_head() {
  return formatted("%-44s %10s %12s %10s %6s %9s %8s  %s", "3 acceptors, 2 proposers", "states",
                   "transitions", "deciding", "depth", "messages", "CPU s", "result");
}

std::string table_row(const Report& report, double seconds) {
  const std::string& result = !report.broken.empty()   ? report.broken
                              : report.stopped.empty() ? "nothing is broken, all seen"
                                                       : "stopped: " + report.stopped;
  return formatted("%-44s %10llu %12llu %10llu %6llu %9llu %8.1f  ", bounds(report.scope).c_str(),
                   wide(report.states), wide(report.transitions), wide(report.deciding),
                   wide(report.depth), wide(report.messages), seconds) +
         result;
}

std::string details(const Report& report) {
  if (report.broken.empty()) return {};
  std::string out = "broken rule: " + report.broken + "\n";
  add_steps(out, report.trace, 0);
  return out;
}

std::string story(const Duel& duel) {
  if (!duel.found()) return "no endless duel within the bounds of the search\n";
  std::string out =
      "Two proposers that try again at once, no failure, no loss, channels in order, and yet:\n";
  add_steps(out, duel.before, 0);
  out += "  from here on, for ever:\n";
  add_steps(out, duel.circle, duel.before.size());
  out += formatted(
      "  and so on: the same with all ballots %llu rounds higher. Every message under way before\n"
      "  step %zu was delivered. Found among %llu states; played again %llu times, to ballot %llu\n"
      "  of the run: nobody has accepted anything.\n",
      wide(duel.rounds_higher), duel.before.size() + 1, wide(duel.states),
      wide(duel.circles_played), wide(duel.ballots_played));
  return out;
}

std::string table(const std::vector<Remedy>& remedies) {
  std::string out =
      formatted("%-8s %-18s %6s %8s %15s %5s %5s %10s %9s\n", "delays", "tries again", "runs",
                "decided", "ballots, median", "99 %", "most", "ms, median", "most");
  for (const Remedy& it : remedies) {
    const auto thousandths = [](uint64_t number) { return static_cast<double>(number) / 1000; };
    out += formatted("%-8s %-18s %6llu %8llu %15llu %5llu %5llu %10.1f %9.1f\n", name_of(it.delays),
                     name_of(it.retry), wide(it.runs), wide(it.decided), wide(it.ballots_median),
                     wide(it.ballots_99), wide(it.ballots_most),
                     thousandths(it.microseconds_median), thousandths(it.microseconds_most));
  }
  return out;
}

std::string json(const Report& report, double seconds) {
  return formatted(
             "{\"scope\": {\"ballots\": %u, \"rounds\": %u, \"crashes\": %u, \"slow_disk\": %s}, "
             "\"states\": %llu, \"transitions\": %llu, \"deciding\": %llu, \"depth\": %llu, "
             "\"messages\": %llu, \"seconds\": %.1f, \"exhausted\": %s, ",
             report.scope.ballots, report.scope.rounds, report.scope.crashes,
             report.scope.slow_disk ? "true" : "false", wide(report.states),
             wide(report.transitions), wide(report.deciding), wide(report.depth),
             wide(report.messages), seconds, report.exhausted() ? "true" : "false") +
         "\"stopped\": " + quoted(report.stopped) + ", \"broken\": " + quoted(report.broken) +
         ", \"trace\": " + array(report.trace) + "}";
}

std::string json(const Duel& duel) {
  return formatted(
             "{\"endless\": %s, \"rounds_higher\": %llu, \"states\": %llu, "
             "\"circles_played\": %llu, \"ballots_played\": %llu, ",
             duel.found() ? "true" : "false", wide(duel.rounds_higher), wide(duel.states),
             wide(duel.circles_played), wide(duel.ballots_played)) +
         "\"before\": " + array(duel.before) + ", \"circle\": " + array(duel.circle) + "}";
}

std::string json(const std::vector<Remedy>& remedies) {
  std::string out = "[";
  for (const Remedy& it : remedies) {
    out += formatted(
        "%s{\"delays\": \"%s\", \"retry\": \"%s\", \"runs\": %llu, \"decided\": %llu, "
        "\"ballots_median\": %llu, \"ballots_99\": %llu, \"ballots_most\": %llu, "
        "\"microseconds_median\": %llu, \"microseconds_most\": %llu}",
        out.size() > 1 ? ", " : "", name_of(it.delays), name_of(it.retry), wide(it.runs),
        wide(it.decided), wide(it.ballots_median), wide(it.ballots_99), wide(it.ballots_most),
        wide(it.microseconds_median), wide(it.microseconds_most));
  }
  return out + "]";
}

}  // namespace quorate::explore::synod
