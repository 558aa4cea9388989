#include "check/describe.h"

#include <string>
#include <string_view>
#include <utility>

#include "check/words.h"

namespace quorate::check {
namespace {

std::string show_range(const History& history, TextId key, TextId end) {
  if (end == 0) return show_text(history, key);
  if (history.text(end) == std::string_view("\0", 1)) {
    return "from " + show_text(history, key) + " on";
  }
  return "[" + show_text(history, key) + ", " + show_text(history, end) + ")";
}

std::string show_step(const History& history, const Step& step) {
  std::string text(word_of(kVerbWords, step.verb));
  switch (step.verb) {
    case Verb::get:
      text += " " + show_range(history, step.key, step.end);
      if (step.revision != 0) text += " as of revision " + std::to_string(step.revision);
      if (step.limit != 0) text += " limit " + std::to_string(step.limit);
      if (step.serializable) text += " (serializable)";
      if (step.count_only) text += " (count only)";
      break;
    case Verb::erase:
      text += " " + show_range(history, step.key, step.end);
      break;
    case Verb::put:
    case Verb::append:
      text += " " + show_text(history, step.key);
      if (!step.ignore_value) text += " = " + show_text(history, step.value);
      if (step.lease != 0) text += " lease " + std::to_string(step.lease);
      break;
    case Verb::grant:
      text += " lease " + std::to_string(step.lease) + " for " + std::to_string(step.ttl) + " s";
      break;
    case Verb::revoke:
    case Verb::keep_alive:
    case Verb::time_to_live:
      text += " lease " + std::to_string(step.lease);
      break;
    case Verb::compact:
      text += " up to revision " + std::to_string(step.revision);
      break;
  }
  return text;
}

std::string show_steps(const History& history, Span branch) {
  std::string text;
  for (const Step& step : history.steps(branch)) {
    if (!text.empty()) text += ", ";
    text += show_step(history, step);
  }
  return text.empty() ? "nothing" : text;
}

std::string show_condition(const History& history, const Comparison& condition) {
  std::string text;
  if (condition.target != Target::value) {
    text = std::string(word_of(kTargetWords, condition.target)) + " of ";
  }
  text += show_text(history, condition.key) + " ";
  text += word_of(kRelationWords, condition.relation);
  text += " ";
  return text + (condition.target == Target::value ? show_text(history, condition.value)
                                                   : std::to_string(condition.number));
}

std::string show_step_answer(const History& history, const Step& step) {
  if (!step.answered) return {};
  if (step.verb == Verb::erase) {
    return step.count == kNotRecorded ? std::string() : "deleted " + std::to_string(step.count);
  }
  if (step.ttl_answered != kNotRecorded) {
    return "ttl " + std::to_string(step.ttl_answered) + " s";
  }
  if (step.verb != Verb::get) return {};
  if (step.count_only) return "count " + std::to_string(step.count);
  const std::span<const Item> items = history.items(step);
  if (items.empty()) return "nothing";
  if (step.end == 0) return show_text(history, items.front().value);
  std::string text;
  for (size_t i = 0; i < items.size() && i < 4; ++i) {
    if (i != 0) text += ", ";
    text += show_text(history, items[i].key) + "=" + show_text(history, items[i].value);
  }
  if (items.size() > 4) text += ", ... (" + std::to_string(items.size()) + " keys)";
  return text;
}

}  // namespace

std::string show_bytes(std::string_view text) {
  if (text.size() <= kShownTextMax) return quoted(text);
  return quoted(text.substr(0, kShownTextMax / 2)) + "..." +
         quoted(text.substr(text.size() - kShownTextMax / 4));
}

std::string show_text(const History& history, TextId text) {
  return text == kNoText ? "nothing" : show_bytes(history.text(text));
}

std::string show_call(const History& history, const Operation& operation) {
  if (!operation.transaction) return show_steps(history, operation.then);
  std::string text = "if ";
  const std::span<const Comparison> conditions = history.conditions(operation);
  for (size_t i = 0; i < conditions.size(); ++i) {
    if (i != 0) text += " and ";
    text += show_condition(history, conditions[i]);
  }
  if (conditions.empty()) text += "true";
  text += " then " + show_steps(history, operation.then);
  if (operation.otherwise.count != 0) text += " else " + show_steps(history, operation.otherwise);
  return text;
}

std::string show_answer(const History& history, const Operation& operation) {
  if (operation.outcome == Outcome::failed) return "surely not applied";
  if (operation.outcome == Outcome::unknown) return "unknown";
  std::string text;
  for (const Step& step : history.taken(operation)) {
    const std::string each = show_step_answer(history, step);
    if (each.empty()) continue;
    if (!text.empty()) text += ", ";
    text += each;
  }
  if (operation.transaction) {
    const std::string_view verdict = operation.succeeded ? "succeeded" : "refused";
    text = std::string(verdict) + (text.empty() ? "" : ": " + text);
  }
  if (text.empty()) text = "ok";
  if (operation.revision != kNotRecorded) {
    text += " at revision " + std::to_string(operation.revision);
  }
  return text;
}

std::string show_time(const History& history, Time at) {
  int64_t value = at.time_since_epoch().count();
  if (history.timeless()) return "line " + std::to_string(value);
  const bool negative = value < 0;
  uint64_t size =
      negative ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  std::string fraction = std::to_string(size % 1'000'000);
  fraction.insert(0, 6 - fraction.size(), '0');
  while (fraction.size() > 3 && fraction.ends_with('0')) fraction.pop_back();
  return (negative ? "-" : "") + std::to_string(size / 1'000'000) + "." + fraction + " ms";
}

std::string show_operation(const History& history, const Operation& operation) {
  std::string text = "process " + std::to_string(operation.process) + ": " +
                     show_call(history, operation) + " -> " + show_answer(history, operation);
  text += " (";
  if (operation.outcome == Outcome::unknown) {
    text += "from " + show_time(history, operation.invoked_at) + " on";
  } else {
    text += show_time(history, operation.invoked_at) + " to " +
            show_time(history, operation.returned_at);
  }
  return text + ")";
}

std::string show_item(const History& history, const Item& item) {
  std::string text = show_text(history, item.key);
  if (item.value != kNoText) text += " = " + show_text(history, item.value);
  const std::pair<const char*, int64_t> numbers[] = {{"created at", item.create},
                                                     {"modified at", item.mod},
                                                     {"version", item.version},
                                                     {"lease", item.lease}};
  for (const auto& [name, value] : numbers) {
    if (value == kNotRecorded || (value == 0 && name == numbers[3].first)) continue;
    text += std::string(", ") + name + " " + std::to_string(value);
  }
  return text;
}

std::string counted(uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace quorate::check
