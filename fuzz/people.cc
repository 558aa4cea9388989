// What people may write: scenarios, histories, settings, transactions.
#include <algorithm>
#include <sstream>

#include "app/config.h"
#include "app/settings.h"
#include "app/txn_text.h"
#include "base/check.h"
#include "check/check.h"
#include "check/history_text.h"
#include "machine/etcd/messages.h"
#include "sim/script.h"
#include "target.h"

namespace quorate::fuzz {
namespace {

// Enough for any small history; a mutation may make one that nobody can judge soon.
constexpr uint64_t kJudgingStepsMax = 20'000;

std::vector<std::string> lines(std::string_view text) {
  std::vector<std::string> list;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    list.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return list;
}

}  // namespace

void scenario(std::string_view input) {
  static_cast<void>(sim::parse_script("fuzz", std::string(input)));
}

void history(std::string_view input) {
  static_cast<void>(check::is_history(input));
  static_cast<void>(check::read_history(input));
  for (const std::string& line : lines(input)) {
    const auto read = check::read_record(line);
    if (!read) continue;
    std::string text;
    check::HistoryWriter writer(text);
    text.clear();
    writer.record(read->at, read->record);
    const auto again = check::read_record(std::string_view(text).substr(0, text.find('\n')));
    CHECK(again.has_value() && *again == *read, "a record survives being written and read");
  }
}

// Whatever can be read can be judged, and a verdict names only what is there to be shown.
void judged_history(std::string_view input) {
  static_cast<void>(check::read_register_log(input));
  static_cast<void>(check::read_key_value_log(input));
  const auto loaded = check::read_any_history(input);
  if (!loaded) return;
  check::CheckLimits limits;
  limits.search.steps_max = kJudgingStepsMax;
  limits.smaller_steps_max = kJudgingStepsMax;
  limits.replay_steps_max = kJudgingStepsMax;
  const check::History& history = loaded->history;
  const check::Verdict verdict = check::check_history(history, check::Judge::automatic, limits);
  for (const check::Finding& finding : verdict.findings) {
    CHECK(!finding.rule.empty(), "a contradiction says which promise is broken");
    for (const uint32_t operation : finding.operations) {
      CHECK(operation < history.operations().size(), "a verdict names operations of the history");
    }
    const bool named =
        finding.wrong == check::kNobody ||
        std::ranges::find(finding.operations, finding.wrong) != finding.operations.end();
    CHECK(named, "the operation that cannot be is one of those named");
  }
}

void configuration(std::string_view input) {
  Bits bits(input);
  const uint8_t kind = bits.byte();
  const std::string_view text = bits.rest();
  Result<app::Settings> settings = app::Settings{};
  if ((kind & 1U) != 0) {
    std::vector<std::string> warnings;
    settings = app::settings_from_yaml(std::string(text), "fuzz.yml", warnings);
  } else {
    std::vector<std::string> words = lines(text);
    // A file of that name would be read: not what is tested here.
    for (std::string& word : words) {
      if (word.find("onfig") != std::string::npos || word.find("ONFIG") != std::string::npos) {
        word = "--name";
      }
    }
    auto gathered =
        (kind & 2U) != 0 ? app::gather_settings({}, words) : app::gather_settings(words, {});
    if (!gathered) return;
    settings = gathered->settings;
  }
  if (settings) static_cast<void>(app::make_config(*settings, "quorate"));
}

void transaction_text(std::string_view input) {
  std::istringstream text{std::string(input)};
  const auto parsed = app::parse_txn(text);
  if (!parsed) return;
  std::string wire;
  machine::etcd::encode(parsed->request, wire);
  CHECK(machine::etcd::decode_txn_request(wire), "what a user wrote can be sent");
}

}  // namespace quorate::fuzz
