// Who proposes. Paxos is safe with any number of proposers and makes progress with one (PMS,
// section 2.4), so everything here is about liveness: who asks for promises, when, and who is
// spared. A proposer asks first whether it would be promised a ballot, nobody who hears a living
// leader helps to depose it, and who loses a duel waits for a random time before the next (PMMC,
// section 3). Unlike in Raft the state of the proposer's slots does not matter: phase 1 brings it
// whatever it lacks, so whoever reaches a quorum can lead.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"
#include "consensus/quorum.h"

namespace quorate::consensus::paxos {
namespace {

// Lost duels after which the wait grows no more.
constexpr size_t kBackOffDoublingsMax = 3;

}  // namespace

void Replica::draw_timeout() {
  const auto spread = static_cast<uint64_t>(election_timeout_.count());
  drawn_timeout_ = election_timeout_ + Duration{static_cast<int64_t>(rng_.below(spread))};
  if (damaged()) drawn_timeout_ += election_timeout_;  // better somebody whole leads
  election_deadline_ = now_ + drawn_timeout_ + deference();
}

// Anybody may propose; a proposer need not be an acceptor. So when no voter takes the lead, who is
// none does, decides what is open and hands over: the new voters may not know yet that they are
// any, and those who do know may have been replaced by them.
Duration Replica::deference() const {
  return members().is_voter(self_) ? Duration::zero() : 2 * election_timeout_;
}

bool Replica::may_campaign() const {
  if (amnesiac_ || stage_ == Stage::leader || loading() || disk_hangs()) return false;
  return knows_members() && !members().voters.empty() && !repair_.store_lost;
}

// Whoever waits for its disk as long as others wait for a leader is none, and makes none.
bool Replica::disk_hangs() const {
  return !writes_.empty() && now_ - writes_.front().asked >= election_timeout_;
}

bool Replica::stranger(NodeId id) const { return knows_members() && !members().contains(id); }

bool Replica::still_bound_by_promise() const {
  if (QRT_MUTANT(X09) || (QRT_MUTANT(LEASE_GONE) && leader_gone_)) return false;
  return lease_reads_ && now_ < promise_ends_;
}

// A leader that has spoken is doubted after [0.6 T, T) of silence (docs/decisions/0012). With
// leases everybody is bound for T anyway.
Duration Replica::patience() const {
  return lease_reads_ ? drawn_timeout_ : drawn_timeout_ * 2 / 5 + election_timeout_ / 5;
}

Duration Replica::loyalty() const {
  return lease_reads_ ? election_timeout_ : election_timeout_ * 3 / 5;
}

// A promise itself may only be refused for loyalty where leaders give up by themselves when they
// lose touch; otherwise a leader heard by some but hearing nobody would be kept for ever.
bool Replica::loyal(bool only_asked) const {
  if (stage_ == Stage::leader) return check_quorum_;
  if (!leader_ || leader_gone_ || QRT_MUTANT(N08)) return false;
  if (now_ - leader_heard_ >= loyalty()) return false;
  return only_asked || check_quorum_;
}

bool Replica::ignores(NodeId proposer, bool only_asked) const {
  if (loyal(only_asked) || still_bound_by_promise()) return true;
  // One that was removed may not know it and calls elections without end.
  const bool led = leader_ && !leader_gone_ && now_ - leader_heard_ < election_timeout_;
  return stranger(proposer) && (stage_ == Stage::leader || led) && !QRT_MUTANT(M07);
}

// Whether this member's word counts: it has its memory, and its life is the admitted one.
bool Replica::admitted(NodeId from, const Head& head) const {
  if (head.amnesiac && !QRT_MUTANT(AMNESIA)) return false;
  const Member* member = members().find(from);
  return member == nullptr || member->incarnation == 0 || member->incarnation == head.incarnation;
}

void Replica::start_election() {
  draw_timeout();
  if (still_bound_by_promise()) return;
  // In round 1 nobody has ever led. Asking first keeps a founder that is alone from promising
  // anything before a majority has founded (docs/decisions/0004). A broken connection is only a
  // hint, so it too justifies no more than a question.
  const bool ask_first = pre_vote_ || promised_.round <= 1 || leader_gone_;
  leader_ = {};
  if (!ask_first) return campaign(false);
  stage_ = Stage::asking;
  ++campaign_;
  favours_.clear();
  for (const NodeId id : members().everyone()) {
    if (id != self_ && members().is_voter(id)) send(id, Ask{campaign_}, {});
  }
  count_favour(self_);
}

void Replica::on_body(Message& message, const Head&, const Ask& ask) {
  // What we promised in an earlier life is forgotten: no word until re-admitted.
  if (amnesiac_ && !QRT_MUTANT(AMNESIA)) return;
  send(message.from, AskReply{!ignores(message.from, true), ask.campaign}, {});
}

void Replica::on_body(Message& message, const Head& head, const AskReply& reply) {
  if (stage_ != Stage::asking || !reply.granted || reply.campaign != campaign_) return;
  if (admitted(message.from, head)) count_favour(message.from);
}

void Replica::count_favour(NodeId voter) {
  if (std::ranges::find(favours_, voter) == favours_.end()) favours_.push_back(voter);
  if (!decides(members(), favours_)) return;
  // Much may have changed since the question: our part, or our disk.
  if (may_campaign()) return campaign(false);
  stage_ = Stage::follower;
}

// The duel is lost for now. Waiting for a random time, longer each time, lets one of us finish.
void Replica::back_off() {
  stage_ = Stage::follower;
  leader_ = {};
  draw_timeout();
  if (QRT_MUTANT(X06)) {
    election_deadline_ = now_;
    return;
  }
  const size_t doublings = std::min(lost_campaigns_, kBackOffDoublingsMax);
  ++lost_campaigns_;
  const Duration wait = election_timeout_ / 8 * (int64_t{1} << doublings);
  const Duration drawn{static_cast<int64_t>(rng_.below(static_cast<uint64_t>(wait.count())))};
  const Time soon = now_ + heartbeat_interval_ + drawn + deference();
  election_deadline_ = std::min(election_deadline_, soon);
}

// Promises the ballot, if it is higher than any before.
void Replica::follow(const Ballot& ballot, NodeId leader) {
  const bool in_office = stage_ == Stage::leader;
  const bool waiting = stage_ == Stage::follower;
  stage_ = Stage::follower;
  leader_ = leader;
  leader_gone_ = false;
  acknowledge_ = false;
  if (in_office) lose_office();
  if (ballot > promised_ || QRT_MUTANT(X01_LOW)) promise(ballot);
  if (!waiting) draw_timeout();
}

// Somebody we need has promised another ballot, or we have lost touch.
void Replica::step_down() {
  const bool in_office = stage_ == Stage::leader;
  if (in_office) lose_office();
  back_off();
}

void Replica::lose_office() {
  refuse_reads();
  while (!waiting_proposals_.empty()) {
    refuse(waiting_proposals_.front().id, Refusal::not_leader);
    waiting_proposals_.pop_front();
  }
  peers_.clear();
  voter_places_.clear();
  outgoing_places_.clear();
  promisers_.clear();
  found_.clear();
  widening_ = false;
  stop_ = {};
  office_start_ = {};
  established_ = false;
  transfer_to_ = {};
  reads_.enter_office();
  heartbeat_due_ = false;
  commit_notice_at_ = kNever;
  fetched_.clear();
}

void Replica::check_quorum() {
  if (!check_quorum_ || now_ - in_office_since_ < election_timeout_) return;
  const uint64_t heard = quorum_value([](const Progress& peer) {
    return static_cast<uint64_t>(peer.heard.time_since_epoch().count());
  });
  const Time newest{Duration{static_cast<int64_t>(std::min<uint64_t>(heard, INT64_MAX))}};
  if (now_ - std::min(newest, now_) < election_timeout_ || QRT_MUTANT(N02)) return;
  lose_office();
  stage_ = Stage::follower;
  leader_ = {};
  draw_timeout();
}

// A voter that stays one, and whose word counts.
bool Replica::suits_as_heir(const Progress& peer) const {
  return peer.id != self_ && peer.counts() &&
         std::ranges::find(members().voters, peer.id, &Member::id) != members().voters.end();
}

NodeId Replica::best_heir() const {
  const Progress* best = nullptr;
  for (const Progress& peer : peers_) {
    if (!suits_as_heir(peer) || (best != nullptr && peer.through <= best->through)) continue;
    best = &peer;
  }
  return best == nullptr ? NodeId{} : best->id;
}

// Leaves office and tells another, so that nobody has to wait for a timeout.
void Replica::hand_over(NodeId heir) {
  if (heir) {
    reads_.void_lease();
    send(heir, TimeoutNow{}, {});
  }
  lose_office();
  stage_ = Stage::follower;
  leader_ = {};
  draw_timeout();
}

// A leader that cannot write keeps its followers from electing one that can. It goes if a
// majority without it has stored what its own disk has not taken for so long.
void Replica::give_way_if_disk_hangs() {
  if (!disk_hangs() || QRT_MUTANT(P05)) return;
  const uint64_t without_us = quorum_value([](const Progress& peer) {
    return peer.heard == Time::max() ? 0 : peer.through.value;  // only we are always heard
  });
  if (without_us > durable_through_.value) hand_over(best_heir());
}

// What our disk has lost of the decided slots nobody gives back. Somebody behind us may have
// accepted it and cannot know that it is decided: we announce what we propose, and this was
// proposed before our time. Whoever does not know it as decided finds it when it prepares.
void Replica::give_way_if_lost_slots_are_needed() {
  if (!repair_.asked_all || repair_.lost.empty()) return;
  const Index lost = repair_.lost.first();
  if (lost > committed_) return;
  for (const Progress& peer : peers_) {
    const bool alive = now_ - std::min(peer.heard, now_) < election_timeout_;
    const bool needs = peer.through < lost && peer.flow != Flow::snapshot;
    if (suits_as_heir(peer) && alive && needs) return hand_over(peer.id);
  }
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
  if (peer == nullptr || peer->through < proposed_) return;
  transfer_asked_ = true;
  if (!QRT_MUTANT(R15)) reads_.void_lease();
  send(transfer_to_, TimeoutNow{}, {});
}

void Replica::on_body(Message& message, const Head& head, const TimeoutNow&) {
  const bool meant =
      head.promised == promised_ && stage_ == Stage::follower && message.from == leader_;
  if (meant && may_campaign()) campaign(true);
}

}  // namespace quorate::consensus::paxos
