#include "app/register_command.h"

#include <iostream>
#include <nlohmann/json.hpp>

#include "app/exit_codes.h"
#include "app/output.h"
#include "base/base64.h"
#include "front/etcd/wire.h"

namespace quorate::app {
namespace {

using front::etcd::read_field;

constexpr char kPathChange[] = "/quorate.Registers/Change";
constexpr uint64_t kApplied = 1;
constexpr uint64_t kMismatch = 2;
constexpr uint64_t kNotApplied = 3;
constexpr uint64_t kUnknown = 4;

struct Answer {
  uint64_t verdict = kUnknown;
  uint64_t version = 0;
  std::string value;
  std::string why;
};

std::string wire_of(const RegisterOptions& options) {
  std::string wire;
  front::etcd::write_text(1, options.name, wire);
  front::etcd::write_number(2, static_cast<uint64_t>(options.kind), wire);
  front::etcd::write_text(3, options.value, wire);
  front::etcd::write_text(4, options.expected, wire);
  front::etcd::write_flag(5, options.unwritten, wire);
  return wire;
}

std::optional<Answer> decode(std::string_view body) {
  const auto verdict = read_field(body, 1);
  const auto version = read_field(body, 2);
  const auto value = read_field(body, 3);
  const auto why = read_field(body, 4);
  if (!verdict || !version || !value || !why) return std::nullopt;
  if (verdict->number < kApplied || verdict->number > kUnknown) return std::nullopt;
  return Answer{verdict->number, version->number, std::string(value->text), std::string(why->text)};
}

int show_json(const Answer& answer, int code) {
  static constexpr const char* kNames[] = {"", "applied", "mismatch", "not applied", "unknown"};
  nlohmann::json line = {{"verdict", kNames[answer.verdict]}};
  const bool knows = answer.verdict == kApplied || answer.verdict == kMismatch;
  if (knows) line["version"] = answer.version;
  if (knows && answer.version != 0) {
    if (is_utf8(answer.value)) {
      line["value"] = answer.value;
    } else {
      std::string text;
      append_base64(answer.value, text);
      line["value_base64"] = text;
    }
  }
  if (!answer.why.empty()) line["why"] = answer.why;
  std::cout << line.dump() << '\n';
  return code;
}

int show(const Common& common, const RegisterOptions& options, const Answer& answer) {
  switch (answer.verdict) {
    case kApplied:
      if (common.json) return show_json(answer, kExitOk);
      if (options.kind != RegisterOptions::Kind::get) {
        std::cout << "OK, version " << answer.version << '\n';
      } else if (answer.version == 0) {
        complain("nobody has written this register");
      } else {
        std::cout << printable(answer.value) << '\n';
      }
      return kExitOk;
    case kMismatch:
      if (common.json) return show_json(answer, kExitRefused);
      complain(answer.version == 0 ? "not changed: nobody has written this register"
                                   : "not changed: version " + std::to_string(answer.version) +
                                         " holds \"" + printable(answer.value) + "\"");
      return kExitRefused;
    case kNotApplied:
      if (common.json) return show_json(answer, kExitUnavailable);
      complain(answer.why + " (surely not applied; trying again is safe)");
      return kExitUnavailable;
    default:
      if (common.json) return show_json(answer, kExitUnknown);
      complain(answer.why + " (unknown: it may or may not have been applied; read it back)");
      return kExitUnknown;
  }
}

}  // namespace

int run_register(const Common& common, RegisterOptions options) {
  if (options.kind == RegisterOptions::Kind::swap) {
    if (options.values.size() != (options.unwritten ? 1 : 2)) {
      complain("cas needs NAME OLD NEW, or NAME NEW --unwritten");
      return kExitUsage;
    }
    options.expected = options.unwritten ? "" : options.values.front();
    options.value = options.values.back();
  }
  const bool reads = options.kind == RegisterOptions::Kind::get;
  Session session(common);
  const std::string wire = wire_of(options);
  const Response response =
      reads ? session.read(kPathChange, wire) : session.write(kPathChange, wire);
  if (response.verdict != Verdict::done) return report(response, !reads);
  const auto answer = decode(response.body);
  if (!answer) {
    complain("the server's answer cannot be decoded; is this a member of Quorate?");
    return kExitRefused;
  }
  return show(common, options, *answer);
}

}  // namespace quorate::app
