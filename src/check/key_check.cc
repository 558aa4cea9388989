#include "check/key_check.h"

#include <algorithm>
#include <map>
#include <utility>

#include "check/describe.h"
#include "check/key_model.h"
#include "check/smaller.h"

namespace quorate::check {
namespace {

constexpr size_t kOrderShownMax = 6;  // operations of an order that are spelled out

bool promises_nothing(const History& history, const Operation& operation) {
  if (operation.transaction) return false;
  const Step& step = history.steps(operation.then)[0];
  return step.verb == Verb::get && (step.serializable || step.revision != 0);
}

class KeyCheck {
 public:
  KeyCheck(const History& history, const CheckLimits& limits)
      : history_(history), limits_(limits) {}

  Verdict run() {
    verdict_.model = "kv";
    partition();
    verdict_.keys = keys_.size();
    if (!verdict_.why_undecided.empty()) return std::move(verdict_);
    verdict_.linearizable = Decision::yes;
    for (const auto& [key, operations] : keys_) check(key, operations);
    std::stable_sort(verdict_.findings.begin(), verdict_.findings.end(),
                     [](const Finding& left, const Finding& right) {
                       return left.operations.size() < right.operations.size();
                     });
    return std::move(verdict_);
  }

 private:
  void partition() {
    const std::span<const Operation> operations = history_.operations();
    for (uint32_t i = 0; i < operations.size(); ++i) {
      const Operation& operation = operations[i];
      ++verdict_.operations;
      verdict_.unknown += operation.outcome == Outcome::unknown ? 1 : 0;
      verdict_.failed += operation.outcome == Outcome::failed ? 1 : 0;
      if (promises_nothing(history_, operation)) {
        ++verdict_.skipped;
        continue;
      }
      TextId key = 0;
      const std::optional<std::string> trouble = key_of(history_, operation, key);
      if (trouble && verdict_.why_undecided.empty()) {
        verdict_.why_undecided =
            "keys cannot be judged one by one: " + show_operation(history_, operation) + " " +
            *trouble;
      }
      keys_[key].push_back(i);
    }
  }

  void check(TextId key, const std::vector<uint32_t>& operations) {
    const std::vector<SearchEntry> entries = entries_of(history_, operations);
    KeyModel model(history_, key);
    const SearchResult result = search_order(entries, model, limits_.search);
    verdict_.steps += result.steps;
    if (result.linearizable == Decision::yes) return;
    if (result.linearizable == Decision::undecided) {
      if (verdict_.linearizable == Decision::yes) verdict_.linearizable = Decision::undecided;
      verdict_.why_undecided = "the search for key " + show_text(history_, key) +
                               " reached its bound after " + counted(result.steps, "step") +
                               " and " + std::to_string(result.bytes >> 20) + " MiB";
      return;
    }
    verdict_.linearizable = Decision::no;
    if (verdict_.findings.size() >= limits_.findings_max) {
      ++verdict_.findings_left_out;
      return;
    }
    verdict_.findings.push_back(explain(key, entries, operations));
  }

  Finding explain(TextId key, const std::vector<SearchEntry>& entries,
                  const std::vector<uint32_t>& operations) {
    const std::vector<SearchEntry> few = smaller_contradiction(history_, key, entries, limits_);
    Finding finding;
    for (const SearchEntry& each : few) finding.operations.push_back(each.operation);
    if (few.size() == 1) {
      explain_alone(key, few[0], operations, finding);
    } else {
      explain_order(key, few, operations, finding);
    }
    return finding;
  }

  // An answer that nothing else is needed to contradict.
  void explain_alone(TextId key, const SearchEntry& entry, const std::vector<uint32_t>& operations,
                     Finding& finding) {
    const Operation& operation = history_.operations()[entry.operation];
    finding.rule = "value from nowhere";
    finding.wrong = entry.operation;
    finding.words = show_operation(history_, operation) + " is impossible by itself: key " +
                    show_text(history_, key) + " held " + initial(key) +
                    " at the start, and nothing that could have been applied by then explains it.";
    const TextId seen = seen_by(operation);
    if (seen == kNoText) return;
    for (const uint32_t each : operations) {
      const Operation& other = history_.operations()[each];
      if (!writes(other, seen) || each == entry.operation) continue;
      if (operation.precedes(other)) {
        finding.rule = "value from the future";
        finding.words += " It was written only later: " + show_operation(history_, other) + ".";
      } else if (other.outcome == Outcome::failed) {
        finding.rule = "effect of a failed write";
        finding.words += " Its writer was told that it was surely not applied: " +
                         show_operation(history_, other) + ".";
      } else {
        continue;
      }
      finding.operations.push_back(each);
      std::sort(finding.operations.begin(), finding.operations.end());
      return;
    }
  }

  void explain_order(TextId key, const std::vector<SearchEntry>& few,
                     const std::vector<uint32_t>& operations, Finding& finding) {
    KeyModel model(history_, key);
    const SearchResult result = search_order(few, model, limits_.search);
    finding.rule = "no order explains the answers";
    finding.words = "No order of these " + counted(few.size(), "operation") +
                    " keeps real time and explains every answer, whatever else happened to key " +
                    show_text(history_, key) + ", which held " + initial(key) + " at the start.";
    if (result.order.empty()) {
      finding.words += " Not even the first can be placed.";
    } else {
      finding.words += " The longest order that works is";
      const size_t shown = std::min(result.order.size(), kOrderShownMax);
      if (shown < result.order.size()) {
        finding.words += " " + counted(result.order.size(), "operation") + " long and ends in";
      }
      for (size_t i = result.order.size() - shown; i < result.order.size(); ++i) {
        const Operation& operation = history_.operations()[result.order[i]];
        finding.words += " (" + show_call(history_, operation);
        if (seen_by(operation) != kNoText) {
          finding.words += " -> " + show_answer(history_, operation);
        }
        finding.words += ")";
      }
      finding.words += "; the key then holds " + model.describe(result.state) + ".";
    }
    for (const SearchEntry& each : few) {
      if (each.returned == kOpen) continue;
      if (std::count(result.order.begin(), result.order.end(), each.operation) != 0) continue;
      const Operation& left_over = history_.operations()[each.operation];
      const TextId seen = seen_by(left_over);
      const bool was_there = std::any_of(operations.begin(), operations.end(), [&](uint32_t other) {
        const Operation& earlier = history_.operations()[other];
        return other != each.operation && writes(earlier, seen) && !left_over.precedes(earlier);
      });
      finding.wrong = each.operation;
      if (was_there || seen == kNoText) finding.rule = "stale read or lost write";
      finding.words += " Left over is " + show_operation(history_, left_over) + ".";
      if (seen != kNoText) name_writer(seen, left_over, operations, finding);
      break;
    }
  }

  // The writer of what was seen is missing from a small contradiction if something that is in it
  // always comes between the two; a reader looks for it all the same.
  void name_writer(TextId seen, const Operation& left_over, const std::vector<uint32_t>& operations,
                   Finding& finding) {
    const Operation* latest = nullptr;
    for (const uint32_t each : operations) {
      const Operation& other = history_.operations()[each];
      if (!writes(other, seen) || other.outcome == Outcome::failed) continue;
      if (!other.succeeded || left_over.precedes(other)) continue;
      if (std::count(finding.operations.begin(), finding.operations.end(), each) != 0) return;
      latest = &other;
    }
    if (latest == nullptr) return;
    finding.words += " What it shows was last written by " + show_operation(history_, *latest) +
                     "; in every order, one of the above comes between the two.";
  }

  std::string initial(TextId key) {
    KeyModel model(history_, key);
    return model.describe(model.initial());
  }
  TextId seen_by(const Operation& operation) const {
    for (const Step& step : history_.taken(operation)) {
      const std::span<const Item> items = history_.items(step);
      if (!items.empty()) return items[0].value;
    }
    for (const Comparison& each : history_.conditions(operation)) {
      if (operation.succeeded && each.target == Target::value) return each.value;
    }
    return kNoText;
  }
  bool writes(const Operation& operation, TextId value) const {
    const std::span<const Step> steps = history_.steps(operation.then);
    return std::any_of(steps.begin(), steps.end(), [value](const Step& step) {
      return (step.verb == Verb::put || step.verb == Verb::append) && step.value == value;
    });
  }

  const History& history_;
  const CheckLimits& limits_;
  Verdict verdict_;
  std::map<TextId, std::vector<uint32_t>> keys_;
};

}  // namespace

Verdict check_by_key(const History& history, const CheckLimits& limits) {
  return KeyCheck(history, limits).run();
}

}  // namespace quorate::check
