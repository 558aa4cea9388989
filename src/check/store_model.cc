#include "check/store_model.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "check/describe.h"

namespace quorate::check {
namespace {

void append_number(std::string& out, int64_t value) {
  char bytes[sizeof(value)];
  std::memcpy(bytes, &value, sizeof(value));
  out.append(bytes, sizeof(value));
}

bool is_or_unknown(int64_t recorded, int64_t value) {
  return recorded == kNotRecorded || recorded == value;
}

template <class Value>
bool compare(const Value& left, Relation relation, const Value& right) {
  return (relation == Relation::equal && left == right) ||
         (relation == Relation::not_equal && left != right) ||
         (relation == Relation::less && left < right) ||
         (relation == Relation::greater && left > right);
}

}  // namespace

StoreModel::StoreModel(const History& history) : history_(history) {
  State start;
  start.revision = history.start_revision();
  for (const Item& item : history.start_items()) start.rows[history.text(item.key)] = item;
  intern(std::move(start));
}

StateId StoreModel::intern(State state) {
  std::string content;
  append_number(content, state.revision);
  append_number(content, states_.empty() ? -1 : static_cast<int64_t>(state.before));
  for (const auto& [key, item] : state.rows) {
    append_number(content, item.key);
    append_number(content, item.value);
    append_number(content, item.create);
    append_number(content, item.mod);
    append_number(content, item.version);
    append_number(content, item.lease);
  }
  const auto number = static_cast<StateId>(states_.size());
  const auto [place, fresh] = numbers_.emplace(std::move(content), number);
  if (!fresh) return place->second;
  bytes_ += place->first.size() + 200 + state.rows.size() * 120;
  states_.push_back(std::move(state));
  return number;
}

std::string StoreModel::describe(StateId state) const {
  std::string text = "revision " + std::to_string(states_[state].revision) + ":";
  for (const auto& [key, item] : states_[state].rows) text += " " + show_item(history_, item) + ";";
  return text;
}

bool StoreModel::holds(const Rows& rows, const Comparison& condition) const {
  const auto row = rows.find(history_.text(condition.key));
  if (condition.target == Target::value) {
    return row != rows.end() && compare(history_.text(row->second.value), condition.relation,
                                        history_.text(condition.value));
  }
  int64_t number = 0;
  if (row != rows.end()) {
    const Item& item = row->second;
    if (condition.target == Target::version) number = item.version;
    if (condition.target == Target::create) number = item.create;
    if (condition.target == Target::mod) number = item.mod;
    if (condition.target == Target::lease) number = item.lease;
  }
  return compare(number, condition.relation, condition.number);
}

std::vector<Item> StoreModel::found(const Rows& rows, TextId key, TextId end) const {
  std::vector<Item> result;
  const std::string_view first = history_.text(key);
  const std::string_view last = history_.text(end);
  const bool to_the_end = last.size() == 1 && last[0] == '\0';
  for (const auto& [name, item] : rows) {
    const bool inside = end == 0 ? name == first : name >= first && (to_the_end || name < last);
    if (inside) result.push_back(item);
  }
  return result;
}

bool StoreModel::shows(const std::vector<Item>& expected, const Step& step) const {
  const std::span<const Item> shown = history_.items(step);
  if (shown.size() != expected.size()) return false;
  for (size_t i = 0; i < shown.size(); ++i) {
    if (shown[i].key != expected[i].key) return false;
    if (shown[i].value != kNoText && shown[i].value != expected[i].value) return false;
    if (!is_or_unknown(shown[i].create, expected[i].create)) return false;
    if (!is_or_unknown(shown[i].mod, expected[i].mod)) return false;
    if (!is_or_unknown(shown[i].version, expected[i].version)) return false;
    if (!is_or_unknown(shown[i].lease, expected[i].lease)) return false;
  }
  return true;
}

const StoreModel::Rows* StoreModel::rows_at(const State& now, StateId before,
                                            int64_t revision) const {
  if (revision <= 0 || revision == now.revision) return &now.rows;
  if (revision > now.revision) return nullptr;
  StateId state = before;
  while (states_[state].revision > revision && state != 0) state = states_[state].before;
  return &states_[state].rows;
}

bool StoreModel::read(const State& now, StateId before, const Step& step) const {
  const Rows* rows = rows_at(now, before, step.revision);
  if (rows == nullptr) return false;
  std::vector<Item> expected = found(*rows, step.key, step.end);
  if (!is_or_unknown(step.count, static_cast<int64_t>(expected.size()))) return false;
  if (step.limit > 0 && expected.size() > static_cast<size_t>(step.limit)) {
    expected.resize(static_cast<size_t>(step.limit));
  }
  return step.count_only || shows(expected, step);
}

bool StoreModel::apply(State& next, const State& now, const Step& step, bool judged,
                       bool& changed) const {
  const bool answered = judged && step.answered;
  if (step.verb == Verb::get) return !answered || read(next, next.before, step);
  const std::vector<Item> before = found(next.rows, step.key, step.end);
  if (answered && step.previous && !shows(before, step)) return false;
  const int64_t revision = now.revision + 1;
  if (step.verb == Verb::put) {
    if (before.empty() && (step.ignore_value || step.ignore_lease)) return false;
    Item row{.key = step.key,
             .value = step.value,
             .create = revision,
             .mod = revision,
             .version = 1,
             .lease = step.lease};
    if (!before.empty()) {
      row.create = before[0].create;
      row.version = before[0].version + 1;
      if (step.ignore_value) row.value = before[0].value;
      if (step.ignore_lease) row.lease = before[0].lease;
    }
    next.rows[history_.text(step.key)] = row;
    next.revision = revision;
    changed = true;
    return true;
  }
  if (step.verb != Verb::erase) return false;
  if (answered && !is_or_unknown(step.count, static_cast<int64_t>(before.size()))) return false;
  for (const Item& item : before) next.rows.erase(history_.text(item.key));
  if (!before.empty()) {
    next.revision = revision;
    changed = true;
  }
  return true;
}

std::optional<StateId> StoreModel::step(StateId number, uint32_t place) {
  const Operation& operation = history_.operations()[place];
  const bool judged = operation.outcome == Outcome::ok;
  State next = states_[number];
  next.before = number;
  bool holding = true;
  for (const Comparison& each : history_.conditions(operation)) {
    holding = holding && holds(next.rows, each);
  }
  if (judged && holding != operation.succeeded) return std::nullopt;
  bool changed = false;
  for (const Step& each : history_.steps(holding ? operation.then : operation.otherwise)) {
    if (!apply(next, states_[number], each, judged, changed)) return std::nullopt;
  }
  if (judged && !is_or_unknown(operation.revision, next.revision)) return std::nullopt;
  return changed ? intern(std::move(next)) : number;
}

SearchResult search_store(const History& history, const SearchLimits& limits) {
  std::vector<uint32_t> chosen;
  const std::span<const Operation> operations = history.operations();
  for (uint32_t i = 0; i < operations.size(); ++i) {
    const std::span<const Step> steps = history.steps(operations[i].then);
    const bool left_out = std::any_of(steps.begin(), steps.end(), [](const Step& step) {
      return step.serializable || step.verb > Verb::erase;
    });
    if (!left_out) chosen.push_back(i);
  }
  StoreModel model(history);
  return search_order(entries_of(history, chosen), model, limits);
}

}  // namespace quorate::check
