#include "node/proposals.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

RefusedWhy refused_why(ChangeRefusal why) {
  switch (why) {
    case ChangeRefusal::member_exists:
      return RefusedWhy::member_exists;
    case ChangeRefusal::urls_exist:
      return RefusedWhy::urls_exist;
    case ChangeRefusal::member_not_found:
      return RefusedWhy::member_not_found;
    case ChangeRefusal::not_learner:
      return RefusedWhy::not_learner;
    case ChangeRefusal::too_many_learners:
      return RefusedWhy::too_many_learners;
    case ChangeRefusal::learner_not_ready:
      return RefusedWhy::learner_not_ready;
    case ChangeRefusal::no_voter_left:
      return RefusedWhy::no_voter_left;
  }
  CHECK(false, "every refusal has a reason");
}

}  // namespace

Proposals::Proposals(NodeId self, uint64_t first_sequence, uint64_t end_sequence, Door& door)
    : self_(self), next_sequence_(first_sequence), end_sequence_(end_sequence), door_(door) {
  CHECK(first_sequence > 0 && first_sequence <= end_sequence, "sequence numbers start at one");
}

void Proposals::refuse_at_once(OutcomeCallback done, RefusedWhy why) {
  ++failed_;
  answers_.emplace_back(std::move(done), RefusedOutcome{why});
}

void Proposals::propose(Bytes command, Time deadline, OutcomeCallback done, bool overloaded) {
  if (stopping_) return refuse_at_once(std::move(done), RefusedWhy::stopping);
  if (command.size() > kCommandBytesMax) {
    return refuse_at_once(std::move(done), RefusedWhy::too_large);
  }
  const bool full = pending_.size() >= kPendingMax ||
                    pending_bytes_ + command.size() > kPendingBytesMax ||
                    next_sequence_ >= end_sequence_;
  if (full || overloaded) {
    return refuse_at_once(std::move(done), RefusedWhy::too_many_requests);
  }
  Pending pending;
  pending.command = std::move(command);
  pending.deadline = deadline;
  pending.done = std::move(done);
  add(std::move(pending));
}

void Proposals::change(const MemberChange& change, Time deadline, OutcomeCallback done) {
  if (stopping_) return refuse_at_once(std::move(done), RefusedWhy::stopping);
  if (waiting_changes_.size() >= kChangesWaitingMax || pending_.size() >= kPendingMax ||
      next_sequence_ >= end_sequence_) {
    return refuse_at_once(std::move(done), RefusedWhy::too_many_requests);
  }
  Pending pending;
  pending.command = encode_member_change(change);
  pending.is_change = true;
  pending.deadline = deadline;
  pending.done = std::move(done);
  add(std::move(pending));
}

void Proposals::add(Pending pending) {
  const uint64_t sequence = next_sequence_++;
  const Time deadline = pending.deadline;
  pending_bytes_ += pending.command.size();
  if (pending.is_change) {
    waiting_changes_.insert(waiting_changes_.end(), sequence);
  } else {
    waiting_.push_back(sequence);
  }
  pending_.add(sequence, std::move(pending));
  if (ordered_deadlines_.empty() || ordered_deadlines_.back().first <= deadline) {
    ordered_deadlines_.emplace_back(deadline, sequence);
  } else {
    unordered_deadlines_.emplace(deadline, sequence);
  }
}

void Proposals::hand_over(Time now, const LeaderView& view) {
  if (view != last_view_) {
    paused_until_ = changes_paused_until_ = Time::min();
    if (QRT_MUTANT(R17)) {
      pending_.for_each([this](uint64_t sequence, Pending& pending) {
        if (pending.stage == Stage::handed_over) wait_again(sequence, pending);
      });
    }
  }
  last_view_ = view;
  if (!view.leader) return;
  if (!waiting_changes_.empty() && now >= changes_paused_until_) hand_over_changes(now, view);
  if (now < paused_until_) return;
  while (!waiting_again_.empty()) {
    const uint64_t sequence = *waiting_again_.begin();
    if (!hand_over_one(sequence, view)) return pause(now, false);
    waiting_again_.erase(waiting_again_.begin());
  }
  size_t left = 0;
  while (left < waiting_.size() && hand_over_one(waiting_[left], view)) ++left;
  const bool all = left == waiting_.size();
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(left));
  if (!all) pause(now, false);
}

bool Proposals::hand_over_one(uint64_t sequence, const LeaderView& view) {
  const ProposalId id{self_, sequence};
  Pending& pending = *pending_.find(sequence);
  if (view.here) {
    door_.propose_here(id, pending.command);
  } else if (!door_.forward(view.leader, Forward{view.round, id, pending.command})) {
    return false;
  }
  pending.stage = Stage::handed_over;
  pending.round = view.round;
  pending.taker = view.leader;
  return true;
}

void Proposals::hand_over_changes(Time now, const LeaderView& view) {
  const std::set<uint64_t> waiting = std::exchange(waiting_changes_, {});
  for (const uint64_t sequence : waiting) {
    const ProposalId id{self_, sequence};
    Pending& pending = *pending_.find(sequence);
    pending.stage = Stage::handed_over;
    pending.round = view.round;
    pending.taker = view.leader;
    if (view.here) {
      if (const auto why = door_.change_here(id, pending.command)) {
        note_refusal(now, sequence, *why);
      }
    } else if (!door_.forward(view.leader, Forward{view.round, id, pending.command, true})) {
      note_refusal(now, sequence, ForwardRefusal::later);
    }
  }
}

void Proposals::pause(Time now, bool is_change) {
  (is_change ? changes_paused_until_ : paused_until_) = now + kRetryPause;
}

Proposals::Pending* Proposals::find_own(ProposalId id) {
  if (id.node != self_) return nullptr;
  return pending_.find(id.sequence);
}

void Proposals::wait_again(uint64_t sequence, Pending& pending) {
  pending.stage = Stage::waiting;
  pending.taker = NodeId{};
  (pending.is_change ? waiting_changes_ : waiting_again_).insert(sequence);
}

void Proposals::on_refused(Time now, ProposalId id, consensus::Refusal why) {
  Pending* pending = find_own(id);
  if (pending == nullptr || pending->stage != Stage::handed_over || pending->taker != self_) return;
  const bool busy = why == consensus::Refusal::busy;
  note_refusal(now, id.sequence, busy ? ForwardRefusal::busy : ForwardRefusal::later);
}

void Proposals::on_forward_refused(Time now, NodeId from, const ForwardRefused& refused) {
  Pending* pending = find_own(refused.id);
  // A late answer to an earlier life says nothing about this one.
  if (pending == nullptr || pending->stage != Stage::handed_over) return;
  const bool this_life = pending->taker == from && pending->round == refused.round;
  if (!this_life && !QRT_MUTANT(R17_LATE)) return;
  note_refusal(now, refused.id.sequence, refused.why);
}

void Proposals::note_refusal(Time now, uint64_t sequence, ForwardRefusal why) {
  Pending& pending = *pending_.find(sequence);
  if (const auto reason = change_refusal(why); reason && pending.is_change) {
    return answer(sequence, pending, RefusedOutcome{refused_why(*reason)});
  }
  if (why == ForwardRefusal::too_large) {
    return answer(sequence, pending, RefusedOutcome{RefusedWhy::too_large});
  }
  // For a change it means that another one is under way: its turn comes.
  if (why == ForwardRefusal::busy && !pending.is_change) {
    return answer(sequence, pending, RefusedOutcome{RefusedWhy::too_many_requests});
  }
  pending.was_busy = why == ForwardRefusal::busy;
  wait_again(sequence, pending);
  pause(now, pending.is_change);
}

void Proposals::on_round_applied(uint64_t round) {
  if (round <= applied_round_) return;
  applied_round_ = round;
  pending_.for_each([this, round](uint64_t sequence, Pending& pending) {
    if (pending.stage != Stage::handed_over || pending.is_doubtful) return;
    if (pending.round >= round) return;
    pending.was_lost = true;
    wait_again(sequence, pending);
  });
}

void Proposals::on_entries_skipped() {
  pending_.for_each([](uint64_t, Pending& pending) {
    if (pending.stage == Stage::handed_over) pending.is_doubtful = true;
  });
}

bool Proposals::waits_for(ProposalId id) const {
  return id.node == self_ && pending_.contains(id.sequence);
}

void Proposals::on_applied(ProposalId id, Index index, machine::Reply reply) {
  Pending* pending = find_own(id);
  if (pending == nullptr) return;
  CHECK(pending->stage == Stage::handed_over, "a proposal that never left was applied");
  if (!pending->is_change) return answer(id.sequence, *pending, Applied{index, std::move(reply)});
  pending->stage = Stage::certain;
  pending->applied = index;
  ++certain_;
}

void Proposals::on_members_settled() {
  if (certain_ == 0) return;
  pending_.for_each([this](uint64_t sequence, Pending& pending) {
    if (pending.stage == Stage::certain) answer(sequence, pending, Applied{pending.applied, {}});
  });
}

void Proposals::on_removed() {
  pending_.for_each([this](uint64_t sequence, Pending& pending) {
    if (!pending.is_change) return;
    const auto change = decode_member_change(pending.command);
    if (change && removes(*change, self_)) answer(sequence, pending, Applied{});
  });
}

void Proposals::stop_waiting(uint64_t sequence) {
  waiting_again_.erase(sequence);
  waiting_changes_.erase(sequence);
  const auto place = std::ranges::lower_bound(waiting_, sequence);
  if (place != waiting_.end() && *place == sequence) waiting_.erase(place);
}

void Proposals::answer(uint64_t sequence, Pending& pending, Outcome outcome) {
  if (!std::holds_alternative<Applied>(outcome)) ++failed_;
  if (pending.stage == Stage::certain) --certain_;
  if (pending.stage == Stage::waiting) stop_waiting(sequence);
  if (!unordered_deadlines_.empty()) unordered_deadlines_.erase({pending.deadline, sequence});
  pending_bytes_ -= pending.command.size();
  answers_.emplace_back(std::move(pending.done), std::move(outcome));
  pending_.erase(sequence);
  while (!ordered_deadlines_.empty() && !pending_.contains(ordered_deadlines_.front().second)) {
    ordered_deadlines_.pop_front();
  }
}

void Proposals::expire(Time now) {
  std::vector<uint64_t> over;
  for (const auto& [deadline, sequence] : ordered_deadlines_) {
    if (deadline > now) break;
    over.push_back(sequence);
  }
  for (const auto& [deadline, sequence] : unordered_deadlines_) {
    if (deadline > now) break;
    over.push_back(sequence);
  }
  for (const uint64_t sequence : over) {
    Pending* pending = pending_.find(sequence);
    if (pending == nullptr) continue;
    Outcome outcome = Unknown{};
    if (pending->stage == Stage::certain) {
      outcome = Applied{pending->applied, {}};
    } else if (pending->stage == Stage::handed_over && !QRT_MUTANT(C01)) {
      outcome = Unknown{};
    } else if (pending->was_busy) {
      outcome = RefusedOutcome{RefusedWhy::too_many_requests};
    } else {
      outcome =
          RefusedOutcome{pending->was_lost ? RefusedWhy::leader_changed : RefusedWhy::no_leader};
    }
    answer(sequence, *pending, std::move(outcome));
  }
}

Time Proposals::deadline() const {
  Time next = kNever;
  if (!ordered_deadlines_.empty()) next = ordered_deadlines_.front().first;
  if (!unordered_deadlines_.empty()) next = std::min(next, unordered_deadlines_.begin()->first);
  const bool waits = !waiting_.empty() || !waiting_again_.empty();
  if (waits && last_view_.leader && paused_until_ > Time::min()) {
    next = std::min(next, paused_until_);
  }
  if (!waiting_changes_.empty() && last_view_.leader && changes_paused_until_ > Time::min()) {
    next = std::min(next, changes_paused_until_);
  }
  return next;
}

void Proposals::stop() {
  stopping_ = true;
  pending_.for_each([this](uint64_t sequence, Pending& pending) {
    if (pending.stage != Stage::waiting) return;
    answer(sequence, pending, RefusedOutcome{RefusedWhy::stopping});
  });
}

void Proposals::abandon() {
  stop();
  on_members_settled();
  if (QRT_MUTANT(R21)) return;
  pending_.for_each(
      [this](uint64_t sequence, Pending& pending) { answer(sequence, pending, Unknown{}); });
}

bool Proposals::deliver() {
  if (answers_.empty()) return false;
  // A callback may propose again; its answer belongs to the next delivery.
  std::vector<std::pair<OutcomeCallback, Outcome>> answers;
  answers.swap(answers_);
  for (auto& [done, outcome] : answers) done(std::move(outcome));
  return true;
}

}  // namespace quorate::node
