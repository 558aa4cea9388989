// check: whether a recorded history can be that of a correct store.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "app/commands.h"
#include "app/exit_codes.h"
#include "app/output.h"
#include "check/check.h"
#include "check/describe.h"
#include "check/picture.h"

namespace quorate::app {
namespace {

constexpr size_t kFindingsShownMax = 5;
constexpr size_t kColumnsMax = 96;

std::optional<std::string> content_of(const std::string& path) {
  std::ifstream file;
  std::istream* input = &std::cin;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) return std::nullopt;
    input = &file;
  }
  // read() reports what iterators throw: a directory opens like a file.
  std::string content;
  std::array<char, 1 << 16> piece;
  while (input->read(piece.data(), piece.size()), input->gcount() > 0) {
    content.append(piece.data(), static_cast<size_t>(input->gcount()));
  }
  if (input->bad()) return std::nullopt;
  return content;
}

const char* decision_word(check::Decision decision) {
  switch (decision) {
    case check::Decision::yes:
      return "linearizable";
    case check::Decision::no:
      return "violation";
    case check::Decision::undecided:
      break;
  }
  return "undecided";
}

int exit_code(check::Decision decision) {
  switch (decision) {
    case check::Decision::yes:
      return kExitOk;
    case check::Decision::no:
      return kExitRefused;
    case check::Decision::undecided:
      break;
  }
  return kExitCannotTell;
}

void print_wrapped(const std::string& text, const char* margin) {
  std::string line;
  const auto flush = [&] {
    if (!line.empty()) std::printf("%s%s\n", margin, line.c_str());
    line.clear();
  };
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find(' ', start), text.size());
    if (!line.empty() && line.size() + 1 + end - start > kColumnsMax) flush();
    if (!line.empty()) line += ' ';
    line += text.substr(start, end - start);
    start = end + 1;
  }
  flush();
}

std::string end_of(const check::History& history, const check::Operation& operation) {
  if (operation.outcome == check::Outcome::unknown) return "-";
  return check::show_time(history, operation.returned_at);
}

void print_finding(const check::History& history, size_t number, const check::Finding& finding) {
  std::printf("\n%zu. %s\n", number, finding.rule.c_str());
  print_wrapped(printable(finding.words), "   ");
  if (finding.operations.empty()) return;
  Table table({"   PROCESS", "CALL", "ANSWER", "FROM", "TO"});
  for (const uint32_t each : finding.operations) {
    const check::Operation& operation = history.operations()[each];
    table.add({"   " + std::to_string(operation.process), check::show_call(history, operation),
               check::show_answer(history, operation),
               check::show_time(history, operation.invoked_at), end_of(history, operation)});
  }
  std::printf("%s", table.text().c_str());
}

void print_text(const std::string& name, const check::History& history,
                const check::Verdict& verdict) {
  const char* words = verdict.linearizable == check::Decision::yes  ? "linearizable"
                      : verdict.linearizable == check::Decision::no ? "VIOLATION"
                                                                    : "cannot tell";
  std::printf("%s: %s\n", printable(name).c_str(), words);
  std::printf("model %s; %s, of these %lu of unknown outcome and %lu surely not applied; %s",
              verdict.model.c_str(), check::counted(verdict.operations, "operation").c_str(),
              static_cast<unsigned long>(verdict.unknown),
              static_cast<unsigned long>(verdict.failed),
              check::counted(verdict.keys, "key").c_str());
  if (verdict.watches != 0) {
    std::printf(", %lu watches", static_cast<unsigned long>(verdict.watches));
  }
  std::printf("\n");
  if (!verdict.why_undecided.empty()) print_wrapped(verdict.why_undecided, "");
  const size_t shown = std::min(verdict.findings.size(), kFindingsShownMax);
  for (size_t i = 0; i < shown; ++i) print_finding(history, i + 1, verdict.findings[i]);
  const uint64_t more = verdict.findings.size() - shown + verdict.findings_left_out;
  if (more != 0) std::printf("\nand %s\n", check::counted(more, "more finding").c_str());
}

nlohmann::ordered_json operation_json(const check::History& history, uint32_t number) {
  const check::Operation& operation = history.operations()[number];
  nlohmann::ordered_json object = {{"id", operation.call},
                                   {"process", operation.process},
                                   {"call", check::show_call(history, operation)},
                                   {"answer", check::show_answer(history, operation)},
                                   {"from", operation.invoked_at.time_since_epoch().count()}};
  if (operation.outcome != check::Outcome::unknown) {
    object["to"] = operation.returned_at.time_since_epoch().count();
  }
  if (operation.revision != check::kNotRecorded) object["revision"] = operation.revision;
  return object;
}

void print_json(const std::string& name, const check::History& history,
                const check::Verdict& verdict) {
  nlohmann::ordered_json findings = nlohmann::ordered_json::array();
  for (const check::Finding& each : verdict.findings) {
    nlohmann::ordered_json operations = nlohmann::ordered_json::array();
    for (const uint32_t number : each.operations) {
      operations.push_back(operation_json(history, number));
    }
    nlohmann::ordered_json watches = nlohmann::ordered_json::array();
    for (const uint32_t number : each.watch_replies) {
      const check::WatchReply& reply = history.watch_replies()[number];
      watches.push_back({{"watch", history.watches()[reply.watch].number},
                         {"at", reply.at.time_since_epoch().count()}});
    }
    findings.push_back({{"rule", each.rule},
                        {"words", each.words},
                        {"operations", std::move(operations)},
                        {"watch_answers", std::move(watches)}});
  }
  const nlohmann::ordered_json object = {{"file", printable(name)},
                                         {"verdict", decision_word(verdict.linearizable)},
                                         {"why_undecided", verdict.why_undecided},
                                         {"model", verdict.model},
                                         {"operations", verdict.operations},
                                         {"unknown", verdict.unknown},
                                         {"failed", verdict.failed},
                                         {"not_judged", verdict.skipped},
                                         {"keys", verdict.keys},
                                         {"watches", verdict.watches},
                                         {"steps", verdict.steps},
                                         {"findings", std::move(findings)},
                                         {"findings_left_out", verdict.findings_left_out}};
  std::printf("%s\n", object.dump().c_str());
}

bool write_picture(const CheckOptions& options, const check::History& history,
                   const check::Verdict& verdict) {
  std::ofstream file(options.html, std::ios::binary);
  file << check::picture_html(history, verdict, printable(options.path));
  file.close();
  return !file.fail();
}

}  // namespace

int run_check(const CheckOptions& options) {
  const std::optional<check::Judge> judge = check::judge_named(options.model);
  if (!judge) {
    complain("--model: \"" + options.model + "\" is unknown; use auto, register, kv or etcd");
    return kExitUsage;
  }
  const std::optional<std::string> content = content_of(options.path);
  if (!content) {
    complain(options.path + ": cannot be read; name a history file, or - for stdin");
    return kExitUsage;
  }
  const Result<check::LoadedHistory> loaded = check::read_any_history(*content);
  if (!loaded) {
    complain(options.path + ": " + printable(loaded.error().text) +
             "; docs/formats/history.md describes the format");
    return kExitUsage;
  }
  const check::History& history = loaded->history;
  if (::isatty(STDERR_FILENO) == 1) {
    std::fprintf(stderr, "checking %s\n",
                 check::counted(history.operations().size(), "operation").c_str());
  }
  check::CheckLimits limits;
  limits.search.bytes_max = options.memory_mebibytes << 20;
  const check::Verdict verdict = check::check_history(history, *judge, limits);
  if (options.json) {
    print_json(options.path, history, verdict);
  } else {
    print_text(options.path, history, verdict);
  }
  if (!options.html.empty() && !write_picture(options, history, verdict)) {
    complain(options.html + ": the picture could not be written; see that the folder exists");
    return kExitUsage;
  }
  return exit_code(verdict.linearizable);
}

}  // namespace quorate::app
