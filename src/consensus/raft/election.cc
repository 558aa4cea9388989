// Elections: randomized timeouts (paper, section 5.2), pre-vote and loyalty to a living leader
// (thesis, sections 9.6 and 6.4), transfer of leadership (thesis, section 3.10).
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/quorum.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {

void Replica::draw_timeout() {
  const auto spread = static_cast<uint64_t>(election_timeout_.count());
  const bool keep = QRT_MUTANT(N16) && drawn_timeout_ != Duration::zero();
  if (!keep)
    drawn_timeout_ = election_timeout_ + Duration{static_cast<int64_t>(rng_.below(spread))};
  if (QRT_MUTANT(R13)) drawn_timeout_ = election_timeout_;
  if (damaged() && !keep) drawn_timeout_ += election_timeout_;  // better somebody whole leads
  election_deadline_ = now_ + drawn_timeout_;
}

// A member may campaign as a voter of the configuration in force, or of the one before while the
// change is not certain: it may be the only one that holds all that was committed (thesis,
// section 4.2.2).
bool Replica::may_campaign() const {
  if (amnesiac_ || stage_ == Stage::leader || disk_hangs()) return false;
  if (!knows_members() || repair_.store_lost) return false;
  if (voter_) return !QRT_MUTANT(M05) || !members().is_learner(self_);
  if (!change_pending() || configurations_.size() < 2 || QRT_MUTANT(M06)) return false;
  return configurations_[configurations_.size() - 2].members.is_voter(self_);
}

// Whoever waits for its disk as long as others wait for a leader is none, and makes none.
bool Replica::disk_hangs() const {
  return !writes_.empty() && now_ - writes_.front().asked >= election_timeout_;
}

// Neither in the configuration in force nor in the last one known to be certain.
bool Replica::stranger(NodeId id) const {
  if (!knows_members()) return false;  // the configuration that names it may be what we lost
  return !members().contains(id) && !configuration_at(committed_).members.contains(id);
}

bool Replica::still_bound_by_promise() const {
  if (QRT_MUTANT(LEASE_GONE) && leader_gone_) return false;
  return lease_reads_ && now_ < promise_ends_;
}

// A leader that has spoken is doubted after [0.6 T, T) of silence, so that a frozen one is replaced
// within T (docs/decisions/0012). Nobody's answer is under way meanwhile, as it is during a
// campaign, so this may be shorter than the time that draw_timeout() gives. With leases everybody
// is bound for T anyway.
Duration Replica::patience() const {
  return lease_reads_ ? drawn_timeout_ : drawn_timeout_ * 2 / 5 + election_timeout_ / 5;
}

Duration Replica::loyalty() const {
  return lease_reads_ ? election_timeout_ : election_timeout_ * 3 / 5;
}

// Who hears a living leader helps nobody to depose it.
bool Replica::loyal(bool before_vote) const {
  if (stage_ == Stage::leader) return check_quorum_;
  if (!leader_ || leader_gone_ || QRT_MUTANT(N08)) return false;
  if (now_ - leader_heard_ >= loyalty()) return false;
  // A real vote may only be ignored where leaders give up by themselves when they lose touch;
  // otherwise a leader heard by some but hearing nobody would be kept for ever.
  return before_vote || check_quorum_;
}

// Paper, section 5.4.1.
bool Replica::up_to_date(const VoteRequest& request) const {
  const uint64_t our_term = log_.last_ballot().round;
  if (QRT_MUTANT(R05)) return request.last >= log_.last();
  if (QRT_MUTANT(R05_COMMITTED)) return request.last >= committed_;
  if (QRT_MUTANT(D17) && damaged()) return request.last >= intact();
  if (request.last_term != our_term) return request.last_term > our_term;
  return request.last >= log_.last();
}

void Replica::start_election() {
  draw_timeout();
  if (still_bound_by_promise()) return;
  // In term 1 nobody has ever led. Asking first keeps a founder that is alone from promising
  // anything before a majority has founded (docs/decisions/0004). A broken connection is only a
  // hint, so it too justifies no more than a question.
  const bool ask_first = pre_vote_ || term_ <= 1 || leader_gone_;
  leader_ = {};
  if (!ask_first) return campaign(false);
  if (QRT_MUTANT(R12)) become_follower(term_ + 1, {});
  stage_ = Stage::asking;
  ask_for_votes(true, false);
  count_vote(self_);
}

void Replica::campaign(bool transfer) {
  CHECK(may_campaign(), "only voters in possession of their memory campaign");
  stage_ = Stage::candidate;
  leader_ = {};
  acknowledge_ = false;
  acknowledged_ = {};
  ++term_;
  vote_ = self_;
  if (!QRT_MUTANT(R06_OWN)) promise_changed();
  draw_timeout();
  ask_for_votes(false, transfer);
  if (QRT_MUTANT(R06_OWN)) return count_vote(self_);
  // Our own vote counts once it is durable, like any other.
  send(self_, VoteReply{false, true, campaign_}, upcoming_write());
}

void Replica::ask_for_votes(bool before_vote, bool transfer) {
  if (!QRT_MUTANT(R16_STALE)) votes_.clear();
  if (before_vote) ++campaign_;  // real votes are told apart by their term
  VoteRequest request;
  request.before_vote = before_vote;
  request.transfer = transfer;
  request.asked_term = before_vote ? term_ + 1 : term_;
  request.campaign = campaign_;
  request.last = log_.last();
  request.last_term = log_.last_ballot().round;
  // The log we boast of must be durable when the votes come in.
  const WriteId after = before_vote ? WriteId{} : upcoming_write();
  for (const NodeId id : members().everyone()) {
    if (id != self_ && members().is_voter(id)) send(id, request, after);
  }
}

void Replica::on_body(Message& message, const Head&, const VoteRequest& request) {
  if (request.asked_term < term_) {
    // An answer with our term, so that the sender catches up instead of asking for ever.
    if (QRT_MUTANT(R09)) return;
    send(message.from, VoteReply{request.before_vote, false, request.campaign}, {});
    return;
  }
  // What we promised in an earlier life is forgotten: no vote until re-admitted.
  if (amnesiac_ && !QRT_MUTANT(AMNESIA)) return;
  if (!request.transfer) {
    if (loyal(request.before_vote)) return;
    if (still_bound_by_promise()) return;
    // One that was removed may not know it and calls elections without end.
    const bool led = leader_ && !leader_gone_ && now_ - leader_heard_ < election_timeout_;
    const bool removed = stranger(message.from) && !QRT_MUTANT(M07);
    if (removed && (stage_ == Stage::leader || led)) return;
  }
  bool granted = false;
  if (request.before_vote) {
    granted = request.asked_term > term_ && up_to_date(request);
  } else {
    if (request.asked_term > term_) become_follower(request.asked_term, {});
    granted = (vote_ == message.from || (!vote_ && !leader_)) && up_to_date(request);
    if (granted && vote_ != message.from) {
      vote_ = message.from;
      promise_changed();
    }
    if (granted && !QRT_MUTANT(R05_PATIENCE)) draw_timeout();
  }
  send(message.from, VoteReply{request.before_vote, granted, request.campaign}, {});
}

void Replica::on_body(Message& message, const Head& head, const VoteReply& reply) {
  const bool heeded = !QRT_MUTANT(R11) || !reply.before_vote;
  if (head.term > term_ && heeded) return become_follower(head.term, {});
  const Stage expected = reply.before_vote ? Stage::asking : Stage::candidate;
  if (stage_ != expected || !reply.granted) return;
  const bool fits = reply.before_vote ? reply.campaign == campaign_ : head.term == term_;
  if (!fits && !QRT_MUTANT(R16)) return;
  const Member* member = members().find(message.from);
  const bool admitted =
      member == nullptr || member->incarnation == 0 || member->incarnation == head.incarnation;
  if ((head.amnesiac && !QRT_MUTANT(AMNESIA)) || !admitted) return;
  count_vote(message.from);
}

void Replica::count_vote(NodeId voter) {
  if (QRT_MUTANT(N09) || std::ranges::find(votes_, voter) == votes_.end()) votes_.push_back(voter);
  const bool by_count = QRT_MUTANT(N09) && votes_.size() > members().voters.size() / 2;
  if (!decides(members(), votes_) && !by_count) return;
  if (stage_ == Stage::asking) {
    // Much may have changed since the question: our part, or our disk.
    if (may_campaign()) return campaign(false);
    stage_ = Stage::follower;
    return;
  }
  become_leader();
}

void Replica::become_follower(uint64_t term, NodeId leader) {
  CHECK(term >= term_, "terms only grow");
  const bool in_office = stage_ == Stage::leader;
  const bool waiting = stage_ == Stage::follower;
  stage_ = Stage::follower;
  leader_ = leader;
  leader_gone_ = false;
  acknowledge_ = false;
  acknowledged_ = {};
  if (term > term_) {
    term_ = term;
    vote_ = {};
    promise_changed();
  }
  if (in_office) lose_office();
  if (!waiting) draw_timeout();
}

void Replica::lose_office() {
  refuse_reads();
  if (!QRT_MUTANT(R03_MATCH)) peers_.clear();
  voter_places_.clear();
  outgoing_places_.clear();
  established_ = false;
  transfer_to_ = {};
  reads_.enter_office();
  heartbeat_due_ = false;
  commit_notice_at_ = kNever;
  fetch_.reset();
  fetched_.clear();
}

void Replica::become_leader() {
  CHECK(stage_ == Stage::candidate && vote_ == self_, "a leader was elected in this term");
  stage_ = Stage::leader;
  leader_ = self_;
  if (!QRT_MUTANT(R03_MATCH)) peers_.clear();
  established_ = false;
  transfer_to_ = {};
  reads_.enter_office();
  office_start_ = log_.last().next();
  uncommitted_bytes_ = 0;
  for (Index index = committed_.next(); index <= log_.last(); ++index) {
    const Entry* entry = log_.find(index);
    if (entry != nullptr) uncommitted_bytes_ += entry->data.size();
  }
  track_members();
  in_office_since_ = now_;
  heartbeat_at_ = now_ + heartbeat_interval_;
  heartbeat_due_ = true;
  commit_notice_at_ = kNever;
  // Entries of earlier terms are committed only together with one of ours (paper, section 5.4.2).
  append_own(EntryKind::noop, {}, {});
}

void Replica::check_quorum() {
  if (!check_quorum_ || now_ - in_office_since_ < election_timeout_) return;
  const uint64_t heard = quorum_value([](const Progress& peer) {
    return static_cast<uint64_t>(peer.heard.time_since_epoch().count());
  });
  Time newest{Duration{static_cast<int64_t>(std::min<uint64_t>(heard, INT64_MAX))}};
  for (const Progress& peer : peers_) {
    if (QRT_MUTANT(N04) && peer.id != self_) newest = std::max(newest, peer.heard);
  }
  if (now_ - std::min(newest, now_) < election_timeout_) return;
  if (QRT_MUTANT(N02)) return;
  become_follower(term_, {});
}

// A voter that stays one, and whose word counts.
bool Replica::suits_as_heir(const Progress& peer) const {
  return peer.id != self_ && peer.counts() &&
         std::ranges::find(members().voters, peer.id, &Member::id) != members().voters.end();
}

NodeId Replica::best_heir() const {
  const Progress* best = nullptr;
  for (const Progress& peer : peers_) {
    if (!suits_as_heir(peer) || (best != nullptr && peer.match <= best->match)) continue;
    best = &peer;
  }
  return best == nullptr ? NodeId{} : best->id;
}

// A leader that cannot write keeps its followers from electing one that can. It goes if a
// majority without it has stored what its own disk has not taken for so long.
void Replica::give_way_if_disk_hangs() {
  if (!disk_hangs() || QRT_MUTANT(P05)) return;
  const uint64_t without_us = quorum_value([](const Progress& peer) {
    return peer.heard == Time::max() ? 0 : peer.match.value;  // only we ourselves are always heard
  });
  if (without_us <= durable_.value) return;
  const NodeId heir = best_heir();
  if (heir) {
    reads_.void_lease();
    send(heir, TimeoutNow{}, {});
  }
  become_follower(term_, {});
}

void Replica::on(const TransferLead& event) {
  if (stage_ != Stage::leader || transfer_to_) return;
  NodeId to = event.to;
  if (to) {
    const Progress* wanted = progress_of(to);
    if (wanted == nullptr || !suits_as_heir(*wanted)) return;
  } else {
    to = best_heir();
  }
  if (!to) return;
  transfer_to_ = to;
  transfer_asked_ = false;
  transfer_deadline_ = now_ + election_timeout_;
  transfer_when_ready();
}

void Replica::transfer_when_ready() {
  if (!transfer_to_ || transfer_asked_) return;
  const Progress* peer = progress_of(transfer_to_);
  if (peer == nullptr || peer->match < log_.last()) return;
  transfer_asked_ = true;
  if (!QRT_MUTANT(R15)) reads_.void_lease();
  send(transfer_to_, TimeoutNow{}, {});
}

void Replica::on_body(Message& message, const Head& head, const TimeoutNow&) {
  const bool meant = head.term == term_ && stage_ == Stage::follower && message.from == leader_;
  if (!meant && !QRT_MUTANT(R15_LATE)) return;
  if (may_campaign()) campaign(true);
}

}  // namespace quorate::consensus::raft
