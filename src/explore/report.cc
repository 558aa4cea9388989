#include "explore/report.h"

#include <charconv>
#include <cstdio>

namespace quorate::explore {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

// 1234567 as 1,234,567.
std::string grouped(uint64_t value) {
  const std::string digits = number(value);
  std::string text;
  for (size_t place = 0; place < digits.size(); ++place) {
    if (place != 0 && (digits.size() - place) % 3 == 0) text += ',';
    text += digits[place];
  }
  return text;
}

std::string padded(std::string text, size_t width, bool left = false) {
  if (text.size() >= width) return text;
  const std::string blanks(width - text.size(), ' ');
  return left ? text + blanks : blanks + text;
}

std::string decimal(double value, const char* format = "%.1f") {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

uint64_t rate(const Report& report) {
  return report.seconds <= 0
             ? 0
             : static_cast<uint64_t>(static_cast<double>(report.transitions) / report.seconds);
}

std::string verdict(const Report& report) {
  if (!report.broken.empty()) return "BROKEN";
  return report.exhausted() ? "exhausted" : "partly";
}

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    result += letter;
  }
  return result + "\"";
}

constexpr size_t kNameWidth = 18;

}  // namespace

std::string table_head() {
  return padded("scope", kNameWidth, true) + padded("verdict", 10) + padded("depth", 7) +
         padded("states", 14) + padded("transitions", 15) + padded("core steps", 12) +
         padded("CPU s", 9) + padded("per s", 11);
}

std::string table_row(const Report& report) {
  return padded(report.scope, kNameWidth, true) + padded(verdict(report), 10) +
         padded(number(report.depth), 7) + padded(grouped(report.states), 14) +
         padded(grouped(report.transitions), 15) + padded(grouped(report.core_steps), 12) +
         padded(decimal(report.seconds), 9) + padded(grouped(rate(report)), 11);
}

std::string details(const Report& report) {
  std::string text = "  " + report.bounds + "\n";
  text += "  " + grouped(report.node_states) + " states of single nodes, " +
          grouped(report.packets) + " different messages; expected number of states taken for " +
          "another: " + decimal(collisions_expected(report.states), "%.1e") + "\n";
  if (report.beyond_terms != 0 || report.overfull != 0) {
    text += "  cut off by the bounds: " + grouped(report.beyond_terms) +
            " moves into later terms; without room for all messages: " + grouped(report.overfull) +
            " moves\n";
  }
  if (report.verified != 0) {
    text += "  " + grouped(report.verified) + " pairs of nodes with equal fingerprints behaved " +
            "alike\n";
  }
  if (!report.stopped.empty()) {
    text += "  stopped by " + report.stopped + "; " + grouped(report.waiting) +
            " states were found and not looked into. Everything up to depth " +
            number(report.depth == 0 ? 0 : report.depth - 1) + " was seen.\n";
  }
  if (report.broken.empty()) return text;
  text += "  broken rule: " + report.broken + "\n  the shortest way to it:\n";
  for (size_t step = 0; step < report.trace.size(); ++step) {
    text += padded(number(step + 1), 5) + "  " + report.trace[step] + "\n";
  }
  return text;
}

std::string json(const Report& report) {
  std::string text = "{\"scope\": " + quoted(report.scope) +
                     ", \"bounds\": " + quoted(report.bounds) +
                     ", \"verdict\": " + quoted(verdict(report));
  const auto field = [&](const char* name, uint64_t value) {
    text += std::string(", \"") + name + "\": " + number(value);
  };
  field("states", report.states);
  field("transitions", report.transitions);
  field("depth", report.depth);
  field("waiting", report.waiting);
  field("node_states", report.node_states);
  field("messages", report.packets);
  field("core_steps", report.core_steps);
  field("verified", report.verified);
  field("beyond_terms", report.beyond_terms);
  field("overfull", report.overfull);
  text += ", \"collisions_expected\": " + decimal(collisions_expected(report.states), "%.3e");
  text += ", \"cpu_seconds\": " + decimal(report.seconds, "%.2f");
  field("transitions_per_second", rate(report));
  text += ", \"stopped\": " + quoted(report.stopped) + ", \"broken\": " + quoted(report.broken);
  text += ", \"trace\": [";
  for (size_t step = 0; step < report.trace.size(); ++step) {
    text += (step == 0 ? "" : ", ") + quoted(report.trace[step]);
  }
  return text + "]}";
}

std::string progress(const Report& so_far) {
  return so_far.scope + ": depth " + number(so_far.depth) + ", " + grouped(so_far.states) +
         " states, " + grouped(so_far.transitions) + " transitions, " + grouped(so_far.waiting) +
         " waiting, " + decimal(so_far.seconds) + " s";
}

// ---- Trace files.

std::string trace_text(const TraceFile& trace) {
  std::string text = "# quorate explore --replay FILE plays this again.\n";
  text += "bounds " + describe(trace.scope) + "\n";
  if (trace.walk != 0) text += "walk " + number(trace.walk) + " " + number(trace.seed) + "\n";
  text += "breaks " + trace.rule + "\n";
  for (const std::string& move : trace.moves) text += "move " + move + "\n";
  return text;
}

namespace {

Result<void> read_walk(std::string_view words, TraceFile& trace) {
  const char* end = words.data() + words.size();
  const auto steps = std::from_chars(words.data(), end, trace.walk);
  if (steps.ec == std::errc() && steps.ptr != end) {
    const auto seed = std::from_chars(steps.ptr + 1, end, trace.seed);
    if (seed.ec == std::errc() && seed.ptr == end) return {};
  }
  return fail(ErrorKind::invalid, "a walk is two numbers, its steps and its seed");
}

}  // namespace

Result<TraceFile> parse_trace(std::string_view text) {
  TraceFile trace;
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const size_t blank = std::min(line.find(' '), line.size());
    const std::string_view word = line.substr(0, blank);
    const std::string_view rest = line.substr(std::min(blank + 1, line.size()));
    Result<void> read;
    if (word == "bounds") {
      read = set_bounds(trace.scope, rest);
    } else if (word == "walk") {
      read = read_walk(rest, trace);
    } else if (word == "breaks") {
      trace.rule = rest;
    } else if (word == "move") {
      trace.moves.emplace_back(rest);
    } else {
      read = fail(ErrorKind::invalid,
                  "\"" + std::string(word) + "\" is not bounds, walk, breaks or move");
    }
    if (!read) {
      return fail(ErrorKind::invalid, "line " + number(line_number) + ": " + read.error().text);
    }
  }
  return trace;
}

}  // namespace quorate::explore
