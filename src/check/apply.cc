#include "check/apply.h"

#include <algorithm>
#include <string>
#include <utility>

#include "check/describe.h"

namespace quorate::check {
namespace {

template <class Value>
bool relates(Value left, Relation relation, Value right) {
  switch (relation) {
    case Relation::equal:
      return left == right;
    case Relation::not_equal:
      return left != right;
    case Relation::less:
      return left < right;
    case Relation::greater:
      return left > right;
  }
  return false;
}

bool same(int64_t shown, int64_t correct) { return shown == kNotRecorded || shown == correct; }

int64_t number_of(const Version& version, Target target) {
  switch (target) {
    case Target::version:
      return version.version;
    case Target::create:
      return version.create;
    case Target::mod:
      return version.mod;
    case Target::lease:
      return version.lease;
    case Target::value:
      break;
  }
  return 0;
}

}  // namespace

bool agrees(const Item& item, const Version& version) {
  return (item.value == kNoText || item.value == version.value) &&
         same(item.create, version.create) && same(item.mod, version.mod) &&
         same(item.version, version.version) && same(item.lease, version.lease);
}

Applied Applier::apply(const Operation& operation, int64_t revision, Changing changing) {
  result_ = {};
  revision_ = revision;
  judged_ = operation.outcome == Outcome::ok;
  forbidden_ = changing == Changing::forbidden;
  bool holding = true;
  for (const Comparison& each : history_.conditions(operation)) {
    const bool this_one = holds(each);
    if (judged_ && operation.succeeded && !this_one) {
      const Version* version = store_.now(keys_.rank(each.key));
      differ({.difference = Difference::condition,
              .key = each.key,
              .correct = version == nullptr
                             ? std::nullopt
                             : std::optional(item_of(keys_.rank(each.key), *version))});
    }
    holding = holding && this_one;
  }
  if (judged_ && holding && !operation.succeeded) differ({.difference = Difference::condition});
  const bool first_branch = judged_ ? operation.succeeded : holding;
  for (const Step& step : history_.steps(first_branch ? operation.then : operation.otherwise)) {
    apply_step(step);
  }
  return result_;
}

// An absent key compares as zeros, except that it has no value to compare with.
bool Applier::holds(const Comparison& condition) const {
  const Version* version = store_.now(keys_.rank(condition.key));
  if (condition.target != Target::value) {
    const int64_t number = version == nullptr ? 0 : number_of(*version, condition.target);
    return relates(number, condition.relation, condition.number);
  }
  if (version == nullptr) return false;
  if (condition.relation == Relation::equal) return version->value == condition.value;
  return relates(history_.text(version->value), condition.relation, history_.text(condition.value));
}

void Applier::apply_step(const Step& step) {
  switch (step.verb) {
    case Verb::get:
      return read(step);
    case Verb::put:
    case Verb::append:
      return put(step);
    case Verb::erase:
      return erase(step);
    case Verb::revoke:
      for (const Rank rank : store_.keys_of(step.lease)) erase_rank(rank);
      return;
    case Verb::grant:
    case Verb::keep_alive:
    case Verb::time_to_live:
    case Verb::compact:
      return;
  }
}

void Applier::differ(Mismatch mismatch) {
  if (result_.mismatch) return;
  if (mismatch.revision == 0) mismatch.revision = revision_;
  result_.mismatch = mismatch;
}

Item Applier::item_of(Rank rank, const Version& version) const {
  return {.key = keys_.key(rank),
          .value = version.value,
          .create = version.create,
          .mod = version.mod,
          .version = version.version,
          .lease = version.lease};
}

bool Applier::may_change() {
  if (forbidden_) differ({.difference = Difference::changed});
  return !forbidden_;
}

void Applier::compare_row(const Item& item, Rank rank, const Version& version, int64_t revision) {
  if (agrees(item, version)) return;
  differ({.difference = Difference::row,
          .key = item.key,
          .shown = item,
          .correct = item_of(rank, version),
          .revision = revision});
}

void Applier::compare_rows(const Step& step, int64_t revision) {
  const std::span<const Item> items = history_.items(step);
  size_t place = 0;
  for (const Item& item : items) {
    const Rank rank = keys_.rank(item.key);
    while (place < present_.size() && present_[place] < rank) {
      const Rank skipped = present_[place++];
      differ({.difference = Difference::missing,
              .key = keys_.key(skipped),
              .correct = item_of(skipped, *store_.at(skipped, revision)),
              .revision = revision});
    }
    if (place == present_.size() || present_[place] != rank) {
      differ(
          {.difference = Difference::extra, .key = item.key, .shown = item, .revision = revision});
      continue;
    }
    compare_row(item, rank, *store_.at(rank, revision), revision);
    ++place;
  }
  if (place < present_.size()) {
    const Rank rank = present_[place];
    differ({.difference = Difference::missing,
            .key = keys_.key(rank),
            .correct = item_of(rank, *store_.at(rank, revision)),
            .revision = revision});
  }
}

void Applier::read(const Step& step) {
  if (!judged_ || !step.answered) return;
  const int64_t revision = step.revision > 0 ? step.revision : revision_;
  if (revision > revision_) {
    return differ({.difference = Difference::future,
                   .key = step.key,
                   .shown_number = revision,
                   .correct_number = revision_});
  }
  const RankRange range = keys_.range(step.key, step.end);
  present_.clear();
  for (Rank rank = range.first; rank < range.end; ++rank) {
    if (store_.at(rank, revision) != nullptr) present_.push_back(rank);
  }
  const auto total = static_cast<int64_t>(present_.size());
  if (!step.count_only) {
    const bool cut = step.limit > 0 && total > step.limit;
    if (cut) present_.resize(static_cast<size_t>(step.limit));
    compare_rows(step, revision);
  }
  const bool false_more = step.more && (step.limit <= 0 || total <= step.limit);
  if (false_more || (step.count != kNotRecorded && step.count != total)) {
    differ({.difference = Difference::count,
            .key = step.end == 0 ? step.key : kNoText,
            .shown_number = false_more ? step.limit + 1 : step.count,
            .correct_number = total,
            .revision = revision});
  }
}

void Applier::put(const Step& step) {
  const Rank rank = keys_.rank(step.key);
  const Version* before = store_.now(rank);
  if (judged_ && step.answered && step.previous) {
    present_.clear();
    if (before != nullptr) present_.push_back(rank);
    compare_rows(step, revision_);
  }
  if (before == nullptr && (step.ignore_value || step.ignore_lease)) {
    return differ({.difference = Difference::nothing_kept, .key = step.key});
  }
  if (!may_change()) return;
  const TextId value = step.ignore_value ? before->value : step.value;
  const int64_t lease = step.ignore_lease ? before->lease : step.lease;
  store_.put(rank, value, lease, revision_);
  result_.changed = true;
}

void Applier::erase_rank(Rank rank) {
  if (!may_change()) return;
  store_.erase(rank, revision_);
  result_.changed = true;
}

void Applier::erase(const Step& step) {
  const RankRange range = keys_.range(step.key, step.end);
  present_.clear();
  for (Rank rank = range.first; rank < range.end; ++rank) {
    if (store_.now(rank) != nullptr) present_.push_back(rank);
  }
  const auto total = static_cast<int64_t>(present_.size());
  if (judged_ && step.answered) {
    if (step.previous) compare_rows(step, revision_);
    if (step.count != kNotRecorded && step.count != total) {
      differ({.difference = Difference::count,
              .key = step.end == 0 ? step.key : kNoText,
              .shown_number = step.count,
              .correct_number = total});
    }
  }
  for (const Rank rank : present_) erase_rank(rank);
}

std::string explain(const History& history, const Mismatch& mismatch) {
  const std::string revision = std::to_string(mismatch.revision);
  switch (mismatch.difference) {
    case Difference::row:
      return "It shows " + show_item(history, *mismatch.shown) + ", but at revision " + revision +
             " a correct store holds " + show_item(history, *mismatch.correct) + ".";
    case Difference::missing:
      return "It does not show " + show_item(history, *mismatch.correct) +
             ", which a correct store holds at revision " + revision + ".";
    case Difference::extra:
      return "It shows " + show_item(history, *mismatch.shown) +
             ", but a correct store does not hold that key at revision " + revision + ".";
    case Difference::count:
      return "It counts " + std::to_string(mismatch.shown_number) + ", but a correct store has " +
             counted(static_cast<uint64_t>(mismatch.correct_number), "key") +
             " in that range at revision " + revision + ".";
    case Difference::condition:
      if (mismatch.key == kNoText) {
        return "It was refused, but all its conditions hold before revision " + revision + ".";
      }
      return "It succeeded, but before revision " + revision + " key " +
             show_text(history, mismatch.key) + " was " +
             (mismatch.correct ? show_item(history, *mismatch.correct) : "absent") + ".";
    case Difference::changed:
      return "It changes something, but at revision " + revision +
             " another write took effect, or none did.";
    case Difference::future:
      return "It answers for revision " + std::to_string(mismatch.shown_number) +
             ", but the store stood at " + std::to_string(mismatch.correct_number) + ".";
    case Difference::nothing_kept:
      return "It keeps the value or lease of " + show_text(history, mismatch.key) +
             ", which is absent before revision " + revision + ".";
  }
  return {};
}

}  // namespace quorate::check
