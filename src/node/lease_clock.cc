#include "node/lease_clock.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

// The longest lease and any reading of a clock together may be more than can be counted.
Time after(Time now, int64_t seconds, Duration extension) {
  const int64_t room =
      std::max<int64_t>((kNever - std::max(now, Time{}) - extension).count() - 1, 0);
  if (seconds > room / kNanosecondsPerSecond) return kNever - Duration{1};
  return now + Duration{seconds * kNanosecondsPerSecond} + extension;
}

int64_t whole_seconds(Duration left) {
  return std::max<int64_t>(left.count(), 0) / kNanosecondsPerSecond;
}

}  // namespace

void LeaseClock::set_table(machine::LeaseTable* table) {
  reset();
  table_ = table;
  if (table_ != nullptr) table_->set_listener(this);
}

void LeaseClock::reset() {
  entries_.clear();
  order_.clear();
  checkpoints_.clear();
  armed_ = running_ = taking_over_ = false;
  taken_to_.reset();
  next_portion_ = Time::min();
  revokes_under_way_ = 0;
}

void LeaseClock::follow(const LeaderView& view, bool established, Index committed, Index applied) {
  applied_ = applied;
  const bool leads = view.here && established && table_ != nullptr;
  if (!leads || (armed_ && round_ != view.round)) {
    if (armed_) reset();
    if (!leads) return;
  }
  if (!armed_) {
    armed_ = true;
    round_ = view.round;
    begins_at_ = committed;
  }
  if (running_ || applied < begins_at_) return;
  running_ = true;
  taking_over_ = true;
  took_office_ = door_.lease_now();
}

LeaseClock::Table::iterator LeaseClock::add(int64_t lease, const machine::LeaseTerm& term,
                                            Duration extension) {
  const Time now = door_.lease_now();
  const int64_t left = term.left_seconds != 0 ? term.left_seconds : term.granted_seconds;
  Entry entry;
  entry.life = term.life;
  entry.ends = entry.listed = after(now, left, extension);
  order_.emplace(entry.listed, lease);
  const auto place = entries_.insert_or_assign(lease, entry).first;
  plan_checkpoint(now, lease, place->second);
  return place;
}

void LeaseClock::plan_checkpoint(Time now, int64_t lease, Entry& entry) {
  if (entry.checkpoint != kNever) checkpoints_.erase({entry.checkpoint, lease});
  // What ends before its next checkpoint needs none.
  const bool wanted = entry.ends - now > kLeaseCheckpointInterval;
  entry.checkpoint = wanted ? now + kLeaseCheckpointInterval : kNever;
  if (wanted) checkpoints_.emplace(entry.checkpoint, lease);
}

void LeaseClock::on_lease_granted(int64_t lease, const machine::LeaseTerm& term) {
  if (running_) add(lease, term, Duration{});
}

void LeaseClock::on_lease_ended(int64_t lease) {
  const auto place = entries_.find(lease);
  if (place == entries_.end()) return;
  const Entry& entry = place->second;
  if (entry.ending) {
    --revokes_under_way_;
  } else {
    order_.erase({entry.listed, lease});
  }
  if (entry.checkpoint != kNever) checkpoints_.erase({entry.checkpoint, lease});
  entries_.erase(place);
}

LeaseAnswer::One LeaseClock::decide(const LeaseAsk::One& ask) {
  CHECK(running_, "only a leader that has applied what came before it knows about leases");
  LeaseAnswer::One answer{ask.id, LeaseState::gone, 0, 0};
  const auto term = table_->find(ask.lease);
  if (!term) return answer;
  auto place = entries_.find(ask.lease);
  if (place == entries_.end()) place = add(ask.lease, *term, extension_);  // not taken over yet
  Entry& entry = place->second;
  const Time now = door_.lease_now();
  answer.granted_seconds = term->granted_seconds;
  answer.state = LeaseState::alive;
  if (ask.wish == LeaseWish::look) {
    answer.left_seconds = whole_seconds(entry.ends - now);
    return answer;
  }
  answer.state = LeaseState::later;
  // What has run out is revoked and not brought back: others may have been told that it is over.
  if (entry.ending || entry.ends <= now) return answer;
  // A checkpoint must not outlive the renewal, or the next leader would take the lease away too
  // early: it is taken back in the log first.
  if (entry.checkpointed_at > applied_) return answer;
  if (term->left_seconds != 0) {
    const auto index = door_.propose_own(table_->checkpoint_command({{ask.lease, entry.life, 0}}));
    if (index) entry.checkpointed_at = *index;
    return answer;
  }
  // Later than before, so where it is listed stays right.
  entry.ends = std::max(entry.ends, after(now, term->granted_seconds, Duration{}));
  plan_checkpoint(now, ask.lease, entry);
  answer.state = LeaseState::alive;
  answer.left_seconds = term->granted_seconds;
  return answer;
}

void LeaseClock::take_over() {
  const std::vector<int64_t> leases = table_->leases_after(taken_to_, kLeasesTakenPerPortion);
  for (const int64_t lease : leases) {
    if (!entries_.contains(lease)) add(lease, *table_->find(lease), extension_);
  }
  taking_over_ = leases.size() == kLeasesTakenPerPortion;
  if (!leases.empty()) taken_to_ = leases.back();
}

void LeaseClock::revoke_due(Time now) {
  size_t moves = 0;
  size_t revokes = 0;
  while (!order_.empty() && order_.begin()->first <= now) {
    const int64_t lease = order_.begin()->second;
    Entry& entry = entries_.at(lease);
    if (entry.ends > entry.listed) {  // renewed since it was listed
      if (++moves > kLeasesMovedPerPortion) return;
      order_.erase(order_.begin());
      entry.listed = entry.ends;
      order_.emplace(entry.listed, lease);
      continue;
    }
    if (revokes >= kLeaseRevokesPerPortion || revokes_under_way_ >= kLeaseRevokesUnderWayMax) {
      return;
    }
    if (!door_.propose_own(table_->revoke_command(lease, entry.life))) return;
    order_.erase(order_.begin());
    entry.ending = true;
    ++revokes_under_way_;
    ++revokes;
    ++revoked_;
  }
}

void LeaseClock::checkpoint_due(Time now) {
  std::vector<machine::LeaseMark> marks;
  while (!checkpoints_.empty() && checkpoints_.begin()->first <= now &&
         marks.size() < kLeaseCheckpointsPerPortion) {
    const int64_t lease = checkpoints_.begin()->second;
    Entry& entry = entries_.at(lease);
    // Rounded up: what a checkpoint leaves must never be less than what there is.
    marks.push_back({lease, entry.life, whole_seconds(entry.ends - now) + 1});
    plan_checkpoint(now, lease, entry);
  }
  if (marks.empty()) return;
  const auto index = door_.propose_own(table_->checkpoint_command(marks));
  if (!index) return;  // the next ones come soon enough
  for (const machine::LeaseMark& mark : marks) entries_.at(mark.lease).checkpointed_at = *index;
}

void LeaseClock::tick() {
  if (!running_) return;
  if (taking_over_) take_over();
  const Time now = door_.lease_now();
  if (now < next_portion_) return;
  next_portion_ = now + kLeasePortionInterval;
  revoke_due(now);
  checkpoint_due(now);
}

Time LeaseClock::deadline() const {
  if (!running_) return kNever;
  // At once. Not the beginning of time: whoever sets a timer subtracts from it.
  if (taking_over_) return took_office_;
  Time next = kNever;
  if (!order_.empty()) next = order_.begin()->first;
  if (!checkpoints_.empty()) next = std::min(next, checkpoints_.begin()->first);
  return next == kNever ? kNever : std::max(next, next_portion_);
}

}  // namespace quorate::node
