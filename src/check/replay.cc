#include "check/replay.h"

#include <algorithm>
#include <utility>

namespace quorate::check {
namespace {

constexpr uint64_t kStepsForEachOperation = 20;

// Whether a row is as shown was settled when it, or the one in its place, was last changed.
int64_t last_change(const Mismatch& mismatch) {
  if (mismatch.difference != Difference::row || !mismatch.shown || !mismatch.correct) {
    return kRevisionMax;
  }
  const int64_t shown = mismatch.shown->mod;
  const int64_t correct = mismatch.correct->mod;
  if (shown == kNotRecorded || correct == kNotRecorded) return kRevisionMax;
  return std::max(shown, correct);
}

}  // namespace

Replay::Replay(const History& history, const KeyTable& keys, const Revisions& revisions,
               const CheckLimits& limits)
    : history_(history),
      keys_(keys),
      revisions_(revisions),
      store_(history, keys),
      applier_(history, keys, store_),
      gap_makers_(history, keys, revisions, store_),
      makers_(slot(revisions.last()) + 1),
      failures_max_(limits.findings_max),
      steps_max_(std::max(limits.replay_steps_max,
                          kStepsForEachOperation * history.operations().size())) {}

Decision Replay::run() {
  int64_t revision = revisions_.first();
  while (revision <= revisions_.last()) {
    if (steps() > steps_max_) {
      settled_ = choices_.empty() ? revision - 1 : choices_.front().revision - 1;
      return failures_.empty() ? Decision::undecided : Decision::no;
    }
    if (play(revision)) {
      ++revision;
      continue;
    }
    if (!deepest_ || latest_.revision > deepest_->revision) deepest_ = latest_;
    const int64_t first_choice = choices_.front().revision;
    if (go_back(revision)) continue;
    settled_ = first_choice - 1;
    failures_.push_back(*deepest_);
    tried_all_ways_ = true;
    return Decision::no;
  }
  settled_ = revisions_.last();
  return failures_.empty() ? Decision::yes : Decision::no;
}

bool Replay::play(int64_t revision) {
  if (revision != revisions_.first()) {
    const uint32_t writer = revisions_.writer(revision);
    if (writer == kNobody) {
      if (!play_gap(revision)) return false;
    } else {
      if (!play_operation(revision, writer, Changing::allowed)) return false;
      makers_[slot(revision)] = {.operation = writer};
    }
  }
  const uint32_t made_by = makers_[slot(revision)].operation;
  const std::span<const uint32_t> readers = revisions_.readers(revision);
  for (const uint32_t reader : readers) {
    if (reader != made_by && !play_operation(revision, reader, Changing::forbidden)) return false;
  }
  return choices_.empty() || play_watched(revision);
}

// An event that does not fit, or is missing, speaks against an earlier choice. If there was none,
// it speaks against the watch, which is judged on its own.
bool Replay::play_watched(int64_t revision) {
  for (const Glimpse& glimpse : revisions_.watched(revision)) {
    if (shows(glimpse, store_, revision)) continue;
    latest_ = {.revision = revision, .watch_reply = glimpse.watch_reply, .rank = glimpse.rank};
    if (caused_by_choice()) return false;
  }
  if (!gap_makers_.watches_deny()) return true;
  for (const Rank rank : store_.changed_behind(revision - 1)) {
    const uint32_t reply = gap_makers_.denied_by(rank, revision);
    if (reply == kNobody) continue;
    latest_ = {.revision = revision, .watch_reply = reply, .silent = true, .rank = rank};
    if (caused_by_choice()) return false;
  }
  return true;
}

bool Replay::play_operation(int64_t revision, uint32_t number, Changing changing) {
  ++steps_;
  const Applied applied = applier_.apply(history_.operations()[number], revision, changing);
  if (!applied.mismatch) return true;
  Failure failure{.revision = revision, .operation = number, .mismatch = *applied.mismatch};
  if (failure.mismatch.key != kNoText) failure.rank = keys_.rank(failure.mismatch.key);
  failure.blame_until = last_change(failure.mismatch);
  return fail_with(failure);
}

// A failure that no choice can have caused is recorded, and the replay goes on.
bool Replay::fail_with(const Failure& failure) {
  latest_ = failure;
  if (caused_by_choice()) return false;
  if (failures_.size() < failures_max_ &&
      recorded_.emplace(latest_.revision, latest_.operation).second) {
    failures_.push_back(latest_);
  }
  return true;
}

bool Replay::play_gap(int64_t revision) {
  const bool again = !choices_.empty() && choices_.back().revision == revision;
  if (!again) {
    GapMakers::Candidates found = gap_makers_.candidates(revision);
    if (found.good.empty() && choices_.empty()) found.good = std::move(found.denied);
    Choice choice{.revision = revision,
                  .candidates = std::move(found.good),
                  .next = 0,
                  .footprint = std::move(found.footprint)};
    if (choice.candidates.empty()) {
      if (!fail_with({.revision = revision})) return false;
      show_glimpses(revision);
      return true;
    }
    if (choice.candidates.size() == 1) {
      // Rivals may be used up by an earlier choice.
      if (!choices_.empty()) choices_.back().footprint.add(choice.footprint);
      take(choice.candidates.front(), revision);
      return true;
    }
    choices_.push_back(std::move(choice));
  }
  Choice& choice = choices_.back();
  take(choice.candidates[choice.next++], revision);
  return true;
}

void Replay::take(const Maker& maker, int64_t revision) {
  gap_makers_.make(maker, revision);
  if (maker.operation != kNobody) gap_makers_.set_used(maker.operation, true);
  makers_[slot(revision)] = maker;
  // With nothing seen of the revision, an earlier guess may have left this maker over.
  makers_[slot(revision)].guessed =
      !choices_.empty() && revisions_.gaps().at(revision).seen.empty();
}

// Nobody can have made the revision; what was seen of it is taken as it is, so that one
// contradiction does not become many.
void Replay::show_glimpses(int64_t revision) {
  for (const Glimpse& glimpse : revisions_.gaps().at(revision).seen) {
    const Version* last = store_.last(glimpse.rank);
    if (last != nullptr && last->mod == revision) continue;
    if (glimpse.erased) {
      if (store_.now(glimpse.rank) != nullptr) store_.erase(glimpse.rank, revision);
      continue;
    }
    const TextId value = glimpse.item.value == kNoText ? 0 : glimpse.item.value;
    const int64_t lease = glimpse.item.lease == kNotRecorded ? 0 : glimpse.item.lease;
    store_.put(glimpse.rank, value, lease, revision);
  }
}

bool Replay::caused_by_choice() const {
  return std::any_of(choices_.begin(), choices_.end(),
                     [this](const Choice& choice) { return could_have_caused(choice); });
}

bool Replay::could_have_caused(const Choice& choice) const {
  if (choice.revision > latest_.blame_until) return false;
  return latest_.rank == kNoRank || gap_makers_.conditional() ||
         choice.footprint.holds(latest_.rank);
}

bool Replay::go_back(int64_t& revision) {
  bool any = false;  // a choice that ran out of candidates may have lacked one used before it
  while (!choices_.empty()) {
    Choice& choice = choices_.back();
    if ((any || could_have_caused(choice)) && choice.next < choice.candidates.size()) {
      for (int64_t each = choice.revision; each <= latest_.revision; ++each) {
        Maker& maker = makers_[slot(each)];
        if (maker.operation != kNobody) gap_makers_.set_used(maker.operation, false);
        maker = {};
      }
      store_.undo_behind(choice.revision - 1);
      prefer(choice, latest_.rank);
      revision = choice.revision;
      return true;
    }
    any = any || could_have_caused(choice);
    choices_.pop_back();
  }
  return false;
}

// What changes the key in question is tried before what only differs in who is left over.
void Replay::prefer(Choice& choice, Rank rank) const {
  if (rank == kNoRank) return;
  std::stable_partition(choice.candidates.begin() + static_cast<ptrdiff_t>(choice.next),
                        choice.candidates.end(),
                        [&](const Maker& maker) { return gap_makers_.may_change(maker, rank); });
}

}  // namespace quorate::check
