#include "check/key_model.h"

#include "check/describe.h"

namespace quorate::check {

KeyModel::KeyModel(const History& history, TextId key) : history_(history) {
  for (const Item& item : history.start_items()) {
    if (item.key == key && item.value != kNoText) initial_ = state_of(history.text(item.value));
  }
}

std::string KeyModel::describe(StateId state) const {
  return state == kAbsent ? "nothing" : show_bytes(value(state));
}

bool KeyModel::holds(StateId state, const Comparison& condition) const {
  if (condition.target == Target::value) {
    if (state == kAbsent) return false;  // as etcd has it: no value compares with anything
    const int order = value(state).compare(history_.text(condition.value));
    switch (condition.relation) {
      case Relation::equal:
        return order == 0;
      case Relation::not_equal:
        return order != 0;
      case Relation::less:
        return order < 0;
      case Relation::greater:
        return order > 0;
    }
  }
  // Compared with 0 only: whether the key is there (key_of() lets nothing else through).
  return (condition.relation == Relation::equal) == (state == kAbsent);
}

// Whether the rows of an answer show the key as it is in this state.
bool KeyModel::shows(StateId state, const Step& step) const {
  const size_t present = state == kAbsent ? 0 : 1;
  if (step.verb == Verb::get || step.verb == Verb::erase) {
    if (step.count != kNotRecorded && step.count != static_cast<int64_t>(present)) return false;
  }
  if (step.verb == Verb::get ? step.count_only : !step.previous) return true;
  const std::span<const Item> items = history_.items(step);
  if (items.size() != present) return false;
  return items.empty() || items[0].value == kNoText ||
         history_.text(items[0].value) == value(state);
}

std::optional<StateId> KeyModel::apply(StateId state, const Step& step, bool judged) {
  if (judged && step.answered && !shows(state, step)) return std::nullopt;
  switch (step.verb) {
    case Verb::put:
      if (!step.ignore_value) return state_of(history_.text(step.value));
      return state == kAbsent ? std::nullopt : std::optional(state);
    case Verb::append: {
      std::string longer(state == kAbsent ? std::string_view() : value(state));
      longer += history_.text(step.value);
      return state_of(longer);
    }
    case Verb::erase:
      return kAbsent;
    case Verb::get:
    case Verb::grant:
    case Verb::revoke:
    case Verb::keep_alive:
    case Verb::time_to_live:
    case Verb::compact:
      break;
  }
  return state;
}

std::optional<StateId> KeyModel::step(StateId state, uint32_t number) {
  const Operation& operation = history_.operations()[number];
  const bool judged = operation.outcome == Outcome::ok;
  bool holding = true;
  for (const Comparison& each : history_.conditions(operation)) {
    holding = holding && holds(state, each);
  }
  if (judged && holding != operation.succeeded) return std::nullopt;
  for (const Step& each : history_.steps(holding ? operation.then : operation.otherwise)) {
    const std::optional<StateId> next = apply(state, each, judged);
    if (!next) return std::nullopt;
    state = *next;
  }
  return state;
}

std::optional<std::string> key_of(const History& history, const Operation& operation, TextId& key) {
  std::optional<TextId> found;
  const auto same = [&found](TextId next) {
    if (!found) found = next;
    return *found == next;
  };
  for (const Comparison& each : history.conditions(operation)) {
    if (!same(each.key)) return "touches several keys";
    if (each.target == Target::value) continue;
    const bool presence =
        each.number == 0 && each.target != Target::lease && each.relation != Relation::less;
    if (!presence) return "compares revisions or versions";
  }
  for (const Span branch : {operation.then, operation.otherwise}) {
    for (const Step& step : history.steps(branch)) {
      if (step.verb > Verb::erase || step.lease != 0) return "uses leases or compacts";
      if (step.end != 0) return "touches a range of keys";
      if (step.revision != 0) return "reads an old revision";
      if (!same(step.key)) return "touches several keys";
    }
  }
  if (!found) return "touches no key";
  key = *found;
  return std::nullopt;
}

}  // namespace quorate::check
