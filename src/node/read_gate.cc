#include "node/read_gate.h"

#include <algorithm>
#include <iterator>

#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {

void ReadGate::refuse(Waiter& waiter, RefusedWhy why) {
  --waiting_;
  ++failed_;
  refused_.emplace_back(std::move(waiter.done), why);
}

void ReadGate::read(Time deadline, BarrierCallback done) {
  if (stopped_) {
    refused_.emplace_back(std::move(done), *stopped_);
    return;
  }
  if (waiting_ >= kReadsWaitingMax) {
    refused_.emplace_back(std::move(done), RefusedWhy::too_many_requests);
    return;
  }
  ++waiting_;
  gathering_.earliest = std::min(gathering_.earliest, deadline);
  gathering_.waiters.push_back({deadline, std::move(done)});
}

void ReadGate::on_peer_asks(NodeId peer, ReadId theirs) {
  if (stopped_ || gathering_.peers.size() >= kReadsWaitingMax) {
    door_.answer_peer(peer, theirs, std::nullopt);
    return;
  }
  gathering_.peers.push_back({peer, theirs});
}

void ReadGate::refuse_peers(Batch& batch) {
  for (const PeerWaiter& waiter : batch.peers) {
    door_.answer_peer(waiter.peer, waiter.theirs, std::nullopt);
  }
  batch.peers.clear();
}

void ReadGate::open_rounds(Time now, const LeaderView& view) {
  const bool changed = view != last_view_;
  last_view_ = view;
  if (changed) paused_until_ = Time::min();
  // A round asked of a leader that is none any more is asked anew, of a silent one once more.
  for (auto place = rounds_.begin(); place != rounds_.end();) {
    if (place->view == view) {
      if (now >= place->ask_again) ask_again(now, *place);
      ++place;
      continue;
    }
    gather_again(std::move(place->batch));
    place = rounds_.erase(place);
  }
  if (!view.here) refuse_peers(gathering_);
  while (!gathering_.empty() && open_one(now, view)) {
  }
}

// The answer to an earlier ask still counts: on a slow link it is merely late. Each silence is
// twice as long as the one before, so that there are few asks whatever the link.
void ReadGate::ask_again(Time now, Round& round) {
  const ReadId id{next_id_++};
  if (!door_.ask_leader(round.view.leader, id)) {
    round.ask_again = now + kRetryPause;
    return;
  }
  round.ids.push_back(id);
  ++asked_again_;
  round.ask_again =
      now + kReadSilenceMax * (int64_t{1} << std::min<size_t>(round.ids.size() - 1, 16));
}

bool ReadGate::open_one(Time now, const LeaderView& view) {
  if (!view.leader || now < paused_until_ || rounds_.size() >= kReadRoundsMax) return false;
  const ReadId id{next_id_++};
  gathering_.asked = true;
  if (view.here) {
    door_.barrier_here(id);
  } else if (!door_.ask_leader(view.leader, id)) {
    paused_until_ = now + kRetryPause;
    return false;
  }
  rounds_.push_back(
      {{id}, view, view.here ? kNever : now + kReadSilenceMax, std::exchange(gathering_, Batch{})});
  return true;
}

void ReadGate::gather_again(Batch batch) {
  batch.earliest = std::min(batch.earliest, gathering_.earliest);
  batch.asked = batch.asked || gathering_.asked;
  std::ranges::move(gathering_.waiters, std::back_inserter(batch.waiters));
  std::ranges::move(gathering_.peers, std::back_inserter(batch.peers));
  gathering_ = std::move(batch);
}

std::vector<ReadGate::Round>::iterator ReadGate::find_round(ReadId id) {
  return std::ranges::find_if(rounds_, [id](const Round& round) {
    return std::ranges::find(round.ids, id) != round.ids.end();
  });
}

std::optional<ReadGate::Round> ReadGate::take_round(ReadId id) {
  const auto place = find_round(id);
  if (place == rounds_.end()) return std::nullopt;  // given up and asked anew since
  std::optional<Round> round = std::move(*place);
  rounds_.erase(place);
  return round;
}

void ReadGate::land(Batch batch, Index index) {
  for (const PeerWaiter& waiter : batch.peers) {
    door_.answer_peer(waiter.peer, waiter.theirs, index);
  }
  batch.peers.clear();
  if (!batch.waiters.empty()) landed_.emplace(index, std::move(batch));
}

void ReadGate::on_ready(ReadId id, Index index) {
  if (auto round = take_round(id)) land(std::move(round->batch), index);
}

void ReadGate::on_refused(Time now, ReadId id) {
  auto round = take_round(id);
  if (!round) return;
  refuse_peers(round->batch);
  gather_again(std::move(round->batch));
  paused_until_ = now + kRetryPause;
}

void ReadGate::on_leader_answer(Time now, NodeId from, ReadId id, std::optional<Index> index) {
  const auto place = find_round(id);
  if (place == rounds_.end() || place->view.here || place->view.leader != from) return;
  if (index) return on_ready(id, *index);
  on_refused(now, id);
}

bool ReadGate::release(Index applied) {
  bool any = !refused_.empty();
  // Callbacks may read again: those wait for a round of their own.
  std::vector<std::pair<BarrierCallback, RefusedWhy>> refused;
  refused.swap(refused_);
  for (auto& [done, why] : refused) done(why);
  while (!landed_.empty() && (landed_.begin()->first <= applied || QRT_MUTANT(L03_NODE))) {
    Batch batch = std::move(landed_.begin()->second);
    landed_.erase(landed_.begin());
    waiting_ -= batch.waiters.size();
    for (Waiter& waiter : batch.waiters) waiter.done(std::nullopt);
    any = true;
  }
  return any;
}

void ReadGate::expire_batch(Batch& batch, Time now) {
  if (batch.earliest > now) return;
  batch.earliest = kNever;
  std::vector<Waiter> left;
  for (Waiter& waiter : batch.waiters) {
    if (waiter.deadline <= now) {
      refuse(waiter, batch.asked ? RefusedWhy::timed_out : RefusedWhy::no_leader);
      continue;
    }
    batch.earliest = std::min(batch.earliest, waiter.deadline);
    left.push_back(std::move(waiter));
  }
  batch.waiters = std::move(left);
}

void ReadGate::expire(Time now) {
  expire_batch(gathering_, now);
  for (Round& round : rounds_) expire_batch(round.batch, now);
  for (auto& [index, batch] : landed_) expire_batch(batch, now);
}

Time ReadGate::deadline() const {
  Time next = gathering_.earliest;
  for (const Round& round : rounds_) {
    next = std::min({next, round.batch.earliest, round.ask_again});
  }
  for (const auto& [index, batch] : landed_) next = std::min(next, batch.earliest);
  if (!gathering_.empty() && last_view_.leader && paused_until_ > Time::min() &&
      rounds_.size() < kReadRoundsMax) {
    next = std::min(next, paused_until_);
  }
  return next;
}

void ReadGate::stop(RefusedWhy why) {
  stopped_ = why;
  const auto refuse_all = [&](Batch& batch) {
    refuse_peers(batch);
    for (Waiter& waiter : batch.waiters) refuse(waiter, why);
    batch.waiters.clear();
  };
  refuse_all(gathering_);
  gathering_ = Batch{};
  for (Round& round : rounds_) refuse_all(round.batch);
  rounds_.clear();
  for (auto& [index, batch] : landed_) refuse_all(batch);
  landed_.clear();
}

}  // namespace quorate::node
