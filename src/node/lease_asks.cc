#include "node/lease_asks.h"

#include <algorithm>

#include "node/limits.h"

namespace quorate::node {

void LeaseAsks::ask(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done) {
  if (stopped_ || pending_.size() + answers_.size() >= kLeaseAsksMax) {
    const auto why = stopped_ ? RefusedWhy::stopping : RefusedWhy::too_many_requests;
    answers_.emplace(Index{}, std::pair(std::move(done), LeaseOutcome(RefusedOutcome{why})));
    return;
  }
  const uint64_t id = next_id_++;
  Pending pending;
  pending.what = {id, lease, wish};
  pending.deadline = deadline;
  pending.done = std::move(done);
  pending_.emplace_hint(pending_.end(), id, std::move(pending));
  waiting_.insert(waiting_.end(), id);
  deadlines_.emplace(deadline, id);
}

void LeaseAsks::wait_again(uint64_t id, Pending& pending) {
  if (pending.again != kNever) again_.erase({pending.again, id});
  pending.again = kNever;
  pending.taker = NodeId{};
  waiting_.insert(id);
}

void LeaseAsks::retry_at(uint64_t id, Pending& pending, Time when) {
  if (pending.again != kNever) again_.erase({pending.again, id});
  pending.again = when;
  again_.emplace(when, id);
}

void LeaseAsks::hand_over(Time now, const LeaderView& view) {
  if (view != last_view_) {
    last_view_ = view;
    paused_until_ = Time::min();
    for (auto& [id, pending] : pending_) {
      pending.silences = 0;
      wait_again(id, pending);
    }
  }
  while (!again_.empty() && again_.begin()->first <= now) {
    const uint64_t id = again_.begin()->second;
    wait_again(id, pending_.at(id));
  }
  if (!view.leader || now < paused_until_) return;
  while (!waiting_.empty()) {
    LeaseAsk frame;
    auto place = waiting_.begin();
    for (; place != waiting_.end() && frame.asks.size() < kLeaseAsksPerFrameMax; ++place) {
      frame.asks.push_back(pending_.at(*place).what);
    }
    if (!view.here && !door_.send_lease_ask(view.leader, frame)) {
      paused_until_ = now + kRetryPause;
      return;
    }
    waiting_.erase(waiting_.begin(), place);
    for (const LeaseAsk::One& one : frame.asks) {
      Pending& pending = pending_.at(one.id);
      pending.taker = view.leader;
      pending.was_asked = true;
      if (view.here) continue;  // what is asked here is answered for sure
      const auto doublings = std::min<uint32_t>(pending.silences++, 16);
      retry_at(one.id, pending, now + kReadSilenceMax * (int64_t{1} << doublings));
    }
    if (view.here) door_.ask_lease_clock(std::move(frame));
  }
}

void LeaseAsks::on_answer(Time now, NodeId from, const LeaseAnswer& answered) {
  for (const LeaseAnswer::One& one : answered.answers) {
    const auto place = pending_.find(one.id);
    // Of a leader that is none any more; it is asked elsewhere.
    if (place == pending_.end() || place->second.taker != from) continue;
    switch (one.state) {
      case LeaseState::alive:
      case LeaseState::gone: {
        const bool look = place->second.what.wish == LeaseWish::look;
        const LeaseLife life{one.state == LeaseState::alive, one.granted_seconds, one.left_seconds};
        answer(place, life, look ? answered.applied : Index{});
        break;
      }
      case LeaseState::later:
        retry_at(one.id, place->second, now + kLeaseLaterPause);
        break;
      case LeaseState::not_leader:
        retry_at(one.id, place->second, now + kRetryPause);
        break;
    }
  }
}

void LeaseAsks::answer(Table::iterator place, const LeaseOutcome& outcome, Index after) {
  const uint64_t id = place->first;
  waiting_.erase(id);
  deadlines_.erase({place->second.deadline, id});
  if (place->second.again != kNever) again_.erase({place->second.again, id});
  answers_.emplace(after, std::pair(std::move(place->second.done), outcome));
  pending_.erase(place);
}

bool LeaseAsks::deliver(Index applied) {
  std::vector<std::pair<LeaseCallback, LeaseOutcome>> ready;
  while (!answers_.empty() && answers_.begin()->first <= applied) {
    ready.push_back(std::move(answers_.begin()->second));
    answers_.erase(answers_.begin());
  }
  for (auto& [done, outcome] : ready) done(outcome);
  return !ready.empty();
}

void LeaseAsks::expire(Time now) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
    const auto place = pending_.find(deadlines_.begin()->second);
    const auto why = place->second.was_asked ? RefusedWhy::timed_out : RefusedWhy::no_leader;
    answer(place, RefusedOutcome{why}, Index{});
  }
}

Time LeaseAsks::deadline() const {
  Time next = deadlines_.empty() ? kNever : deadlines_.begin()->first;
  if (!again_.empty()) next = std::min(next, again_.begin()->first);
  if (!waiting_.empty() && last_view_.leader && paused_until_ > Time::min()) {
    next = std::min(next, paused_until_);
  }
  return next;
}

void LeaseAsks::stop() {
  stopped_ = true;
  while (!pending_.empty()) {
    answer(pending_.begin(), RefusedOutcome{RefusedWhy::stopping}, Index{});
  }
}

}  // namespace quorate::node
