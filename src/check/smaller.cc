#include "check/smaller.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "check/key_model.h"

namespace quorate::check {
namespace {

// What an operation tells about its key, and what others may see of it.
struct Trace {
  bool writes = false;
  bool plain_write = true;     // at most one put, append or delete: others see exactly that
  bool saw_otherwise = false;  // saw that something was not so, or something we do not follow
  bool saw_nothing = false;    // saw the key absent
  std::vector<TextId> saw;     // values
  Verb verb = Verb::get;       // of the write
  TextId written = 0;
};

class Tracer {
 public:
  explicit Tracer(const History& history) : history_(history) {}

  Trace trace(const Operation& operation) const {
    Trace result;
    const bool answered = operation.outcome == Outcome::ok;
    for (const Comparison& each : history_.conditions(operation)) {
      if (each.target == Target::value && each.relation == Relation::equal && operation.succeeded) {
        result.saw.push_back(each.value);
      } else {
        result.saw_otherwise = true;
      }
    }
    add_steps(operation.succeeded ? operation.then : operation.otherwise, answered, result);
    if (!answered && operation.otherwise.count != 0) {
      result.saw_otherwise = true;  // either branch may have been taken
    }
    return result;
  }

 private:
  void add_steps(Span branch, bool answered, Trace& result) const {
    for (const Step& step : history_.steps(branch)) {
      if (answered && step.answered) add_answer(step, result);
      if (step.verb == Verb::get) continue;
      if (step.verb == Verb::erase && answered && step.count == 0) continue;
      if (result.writes || step.ignore_value) result.plain_write = false;
      result.writes = true;
      result.verb = step.verb;
      result.written = step.value;
    }
  }
  void add_answer(const Step& step, Trace& result) const {
    const std::span<const Item> items = history_.items(step);
    if (step.verb == Verb::erase && step.count != kNotRecorded) {
      (step.count == 0 ? result.saw_nothing : result.saw_otherwise) = true;
    }
    if (step.verb == Verb::get && step.count_only) {
      (step.count == 0 ? result.saw_nothing : result.saw_otherwise) = true;
      return;
    }
    if (step.verb != Verb::get && !step.previous) return;
    if (items.empty()) {
      result.saw_nothing = true;
    } else if (items.front().value == kNoText) {
      result.saw_otherwise = true;
    } else {
      result.saw.push_back(items.front().value);
    }
  }

  const History& history_;
};

class Reducer {
 public:
  Reducer(const History& history, TextId key, std::vector<SearchEntry> entries,
          const CheckLimits& limits)
      : history_(history), key_(key), limits_(limits), all_(std::move(entries)) {}

  std::vector<SearchEntry> run() {
    cut();
    const Tracer tracer(history_);
    for (const SearchEntry& each : all_) {
      traces_.push_back(tracer.trace(history_.operations()[each.operation]));
      appends_ = appends_ || traces_.back().verb == Verb::append;
    }
    kept_.assign(all_.size(), true);
    bool smaller = true;
    while (smaller && steps_ < limits_.smaller_steps_max) {
      smaller = false;
      for (size_t size = std::max<size_t>(all_.size() / 2, 1); size > 0; size /= 2) {
        smaller = drop_windows(size) || smaller;
      }
    }
    return chosen(kept_);
  }

 private:
  using Choice = std::vector<bool>;  // of all_

  std::vector<SearchEntry> chosen(const Choice& choice) const {
    std::vector<SearchEntry> result;
    for (size_t i = 0; i < all_.size(); ++i) {
      if (choice[i]) result.push_back(all_[i]);
    }
    return result;
  }

  bool contradicts(const std::vector<SearchEntry>& entries) {
    if (steps_ >= limits_.smaller_steps_max) return false;
    SearchLimits limits = limits_.search;
    limits.steps_max = std::min(limits.steps_max, limits_.smaller_steps_max - steps_);
    KeyModel model(history_, key_);
    const SearchResult result = search_order(entries, model, limits);
    steps_ += result.steps + entries.size();
    return result.linearizable == Decision::no;
  }

  // Entries as they looked right after the event at `last`.
  std::vector<SearchEntry> cut_behind(Place last) const {
    std::vector<SearchEntry> result;
    for (SearchEntry each : all_) {
      if (each.invoked > last) continue;
      if (each.returned > last) each.returned = kOpen;
      result.push_back(each);
    }
    return result;
  }

  // The earliest answer that no order explains any more: if one cut is contradictory, so is every
  // later one.
  void cut() {
    std::vector<Place> answers;
    for (const SearchEntry& each : all_) {
      if (each.returned != kOpen) answers.push_back(each.returned);
    }
    if (answers.empty()) return;
    std::sort(answers.begin(), answers.end());
    size_t low = 0;
    size_t high = answers.size() - 1;
    while (low < high) {
      const size_t middle = low + (high - low) / 2;
      if (contradicts(cut_behind(answers[middle]))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    std::vector<SearchEntry> shorter = cut_behind(answers[high]);
    if (contradicts(shorter)) all_ = std::move(shorter);
  }

  bool shows(TextId seen, const Trace& write) const {
    const std::string_view whole = history_.text(seen);
    const std::string_view part = history_.text(write.written);
    if (write.verb == Verb::append) return whole.find(part) != std::string_view::npos;
    return appends_ ? whole.starts_with(part) : whole == part;
  }

  // For each suffix of all_ the earliest return of a chosen operation that surely replaced the
  // whole value.
  std::vector<Place> replacements(const Choice& choice) const {
    std::vector<Place> result(all_.size() + 1, kOpen);
    for (size_t i = all_.size(); i-- > 0;) {
      const Trace& trace = traces_[i];
      const bool replaces = choice[i] && trace.writes && trace.verb != Verb::append &&
                            trace.plain_write &&
                            history_.operations()[all_[i].operation].outcome == Outcome::ok;
      result[i] = std::min(result[i + 1], replaces ? all_[i].returned : kOpen);
    }
    return result;
  }
  // In every order `other` stands before `write`, or a replacement stands between them.
  bool apart(size_t other, size_t write, const std::vector<Place>& replaced) const {
    if (all_[other].returned < all_[write].invoked) return true;
    if (all_[write].returned == kOpen) return false;
    const auto behind = std::partition_point(
        all_.begin() + static_cast<ptrdiff_t>(write), all_.end(),
        [&](const SearchEntry& each) { return each.invoked <= all_[write].returned; });
    return replaced[static_cast<size_t>(behind - all_.begin())] < all_[other].invoked;
  }
  // Whether dropping `write` could take away what `other` saw.
  bool leans_on(size_t other, size_t write, const std::vector<Place>& replaced) const {
    const Trace& looker = traces_[other];
    const Trace& writer = traces_[write];
    bool may_see = looker.saw_otherwise || !writer.plain_write;
    if (!may_see && writer.verb == Verb::erase) {  // an append behind it shows how little was there
      may_see = looker.saw_nothing || (appends_ && !looker.saw.empty());
    } else if (!may_see) {
      may_see = std::any_of(looker.saw.begin(), looker.saw.end(),
                            [&](TextId seen) { return shows(seen, writer); });
    }
    return may_see && !apart(other, write, replaced);
  }
  bool anybody_leans_on(size_t write, const Choice& choice, const std::vector<Place>& replaced) {
    steps_ += all_.size() / 8;
    for (size_t other = 0; other < all_.size(); ++other) {
      if (choice[other] && other != write && leans_on(other, write, replaced)) return true;
    }
    return false;
  }

  bool drop_windows(size_t size) {
    bool dropped = false;
    for (size_t first = 0; first < all_.size(); first += size) {
      const size_t end = std::min(first + size, all_.size());
      dropped = drop_window(first, end, false) || dropped;
      dropped = drop_window(first, end, true) || dropped;
    }
    return dropped;
  }

  // Drops what can soundly be dropped of a window, if what is left is still a contradiction.
  bool drop_window(size_t first, size_t end, bool only_lookers) {
    Choice choice = kept_;
    for (size_t i = first; i < end; ++i) {
      if (!only_lookers || !traces_[i].writes) choice[i] = false;
    }
    keep_what_is_leaned_on(choice, first, end);
    if (choice == kept_ || steps_ >= limits_.smaller_steps_max) return false;
    // What was dropped before may have leaned on a replacement that is missing now.
    const std::vector<Place> replaced = replacements(choice);
    for (size_t i = 0; i < all_.size(); ++i) {
      const bool gone = !choice[i] && traces_[i].writes;
      if (gone && anybody_leans_on(i, choice, replaced)) return false;
    }
    if (!contradicts(chosen(choice))) return false;
    kept_ = std::move(choice);
    return true;
  }

  // A write that must stay may itself have seen others: until nothing changes.
  void keep_what_is_leaned_on(Choice& choice, size_t first, size_t end) {
    bool changed = true;
    while (changed && steps_ < limits_.smaller_steps_max) {
      changed = false;
      const std::vector<Place> replaced = replacements(choice);
      for (size_t i = first; i < end; ++i) {
        if (choice[i] || !kept_[i] || !traces_[i].writes) continue;
        if (!anybody_leans_on(i, choice, replaced)) continue;
        choice[i] = true;
        changed = true;
      }
    }
  }

  const History& history_;
  TextId key_;
  const CheckLimits& limits_;
  std::vector<SearchEntry> all_;  // up to the cut
  std::vector<Trace> traces_;     // of all_
  Choice kept_;
  bool appends_ = false;
  uint64_t steps_ = 0;
};

}  // namespace

std::vector<SearchEntry> smaller_contradiction(const History& history, TextId key,
                                               std::vector<SearchEntry> entries,
                                               const CheckLimits& limits) {
  return Reducer(history, key, std::move(entries), limits).run();
}

}  // namespace quorate::check
