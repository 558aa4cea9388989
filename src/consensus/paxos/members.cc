// Who takes part. A configuration is an entry like any other, and in force for the slots behind it
// once it is decided (PMMC, section 4.4; a window of one, so that its slot is a stop): the leader
// proposes nothing behind it before, and each slot is decided by a quorum of the one configuration
// that the slots before it name. Since no slot is ever decided by two configurations, the way to
// any other set of members is one step and needs no joint configuration. Members that lost their
// data are re-admitted as a new life (docs/decisions/0004).
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {

void Replica::push_configuration(Index index, const Bytes& encoded) {
  Members members;
  if (!encoded.empty()) {
    std::optional<Members> decoded = decode_members(encoded);
    CHECK(decoded, "configurations that were accepted are well-formed");
    members = std::move(*decoded);
  }
  configurations_.push_back({index, std::move(members), encoded});
}

void Replica::propose_members(Propose& event) {
  std::optional<Members> target = decode_members(event.data);
  CHECK(target && !target->voters.empty() && !target->joint(),
        "the runtime proposes a well-formed configuration that is no transition");
  if (!established_ && !QRT_MUTANT(M01)) return refuse(event.id, Refusal::not_ready);
  if (change_pending()) return refuse(event.id, Refusal::busy);
  // Lives change by re-admission alone: whoever computed the target may not have seen the last.
  for (auto* list : {&target->voters, &target->learners}) {
    for (Member& member : *list) {
      const Member* known = members().find(member.id);
      if (known != nullptr) member.incarnation = known->incarnation;
    }
  }
  propose(EntryKind::members, event.id, encode_members(*target));
  if (!QRT_MUTANT(X08_PIPELINE)) stop_ = proposed_;
}

void Replica::configuration_changed() {
  if (stage_ == Stage::preparing) ask_promises(false);  // there may be others to ask now
  if (stage_ != Stage::leader) return;
  // What is decided before the one we proposed was taken from others while we prepared.
  const bool ours = configurations_.back().index >= base_;
  if (!QRT_MUTANT(X08)) track_members();
  // A quorum of before is not one of now: only rounds from here on prove a lease.
  reads_.restart_lease();
  if (!ours || (stop_ && stop_ > committed_)) return;
  stop_ = {};
  widen();
}

// Who leads without being a voter (see deference) has done its part.
void Replica::leave_office_when_established() {
  if (stage_ != Stage::leader || !established_ || members().is_voter(self_)) return;
  heartbeat_all();  // so that the others know what is decided
  hand_over(best_heir());
}

const Replica::Configuration& Replica::configuration_at(Index index) const {
  for (auto found = configurations_.rbegin(); found != configurations_.rend(); ++found) {
    if (found->index <= index) return *found;
  }
  return configurations_.front();
}

Progress* Replica::progress_of(NodeId id) {
  const auto found = std::ranges::lower_bound(peers_, id, {}, &Progress::id);
  return found != peers_.end() && found->id == id ? &*found : nullptr;
}

// Follows the configuration in force: who is sent entries, and where in peers_ the voters are.
void Replica::track_members() {
  const Members& current = members();
  std::vector<Progress> tracked;
  std::vector<NodeId> everyone = current.everyone();
  if (!std::ranges::binary_search(everyone, self_)) {
    everyone.insert(std::ranges::upper_bound(everyone, self_), self_);
  }
  for (const NodeId id : everyone) {
    Progress* known = progress_of(id);
    Progress peer = known == nullptr ? Progress{} : std::move(*known);
    if (known == nullptr) {
      peer.id = id;
      peer.next = Index{1};
      peer.heard = now_;  // it gets the time that everyone gets to be heard
      const Promiser* told = promiser(id);
      if (told != nullptr && told->complete) {
        peer.known = true;
        peer.incarnation = told->incarnation;
        peer.through = std::min(told->committed, committed_);
        restart_from(peer, peer.through.next());
      }
    }
    const Member* member = current.find(id);
    peer.admitted = member == nullptr ? 0 : member->incarnation;
    if (id == self_) {
      peer.through = std::max(peer.through, durable_through_);
      peer.known = true;
      peer.incarnation = peer.admitted;
      peer.round = UINT64_MAX;
      peer.promises = true;
      peer.heard = Time::max();
    }
    tracked.push_back(std::move(peer));
  }
  peers_ = std::move(tracked);
  find_places();
}

// Where in peers_ those stand whose word decides.
void Replica::find_places() {
  const auto among = [](const std::vector<Member>& list, NodeId id) {
    return std::ranges::find(list, id, &Member::id) != list.end();
  };
  voter_places_.clear();
  outgoing_places_.clear();
  for (size_t place = 0; place < peers_.size(); ++place) {
    const NodeId id = peers_[place].id;
    const bool learner = among(members().learners, id) && QRT_MUTANT(R16_LEARNER);
    if (among(members().voters, id) || learner) voter_places_.push_back(place);
    if (among(members().outgoing, id)) outgoing_places_.push_back(place);
  }
}

// Takes the common part of every reply. False: nobody we lead, or a life that is over.
bool Replica::note_reply(NodeId from, const Head& head, Progress*& peer) {
  if (stage_ != Stage::leader || from == self_) return false;
  peer = progress_of(from);
  if (peer == nullptr) return false;
  const bool admitted = peer->admitted == 0 || peer->admitted == head.incarnation;
  if (!head.amnesiac && !admitted) {
    ++dropped_;
    return false;
  }
  const bool counted = peer->counts();
  if (!peer->known || peer->incarnation != head.incarnation) begin_life(*peer, head);
  peer->amnesiac = head.amnesiac && !QRT_MUTANT(AMNESIA);
  peer->heard = now_;
  if (!counted && peer->counts()) {
    advance_commit();
    peer = progress_of(from);  // the commit may have changed who is tracked
  }
  return stage_ == Stage::leader && peer != nullptr;
}

void Replica::begin_life(Progress& peer, const Head& head) {
  if (peer.known) {
    // What its earlier life had accepted is gone.
    if (!QRT_MUTANT(AMNESIA_MATCH)) {
      peer.through = {};
      peer.beyond = {};
    }
    peer.round = 0;
    peer.pinned = {};
    peer.committed_sent = {};
    if (peer.flow != Flow::snapshot) {
      restart_from(peer, peer.through.next());
      peer.flow = Flow::unknown;
    }
  }
  peer.known = true;
  peer.incarnation = head.incarnation;
  peer.life_round = reads_.begin_round();
}

// Admits the new life of a member that lost its data: the same configuration but for its
// incarnation, decided by a quorum that does not count it.
void Replica::readmit(const Progress& peer) {
  if (!peer.amnesiac || peer.round < peer.life_round) return;
  if (!established_ || !may_propose() || peer.admitted == peer.incarnation) return;
  Members renewed = members();
  for (auto* list : {&renewed.voters, &renewed.outgoing, &renewed.learners}) {
    for (Member& member : *list) {
      if (member.id == peer.id) member.incarnation = peer.incarnation;
    }
  }
  if (renewed == members()) return;
  propose(EntryKind::members, {}, encode_members(renewed));
  stop_ = proposed_;
}

// Compares our life with the one that the members have admitted for certain. Who finds itself in
// that entry holds everything before it too, so it speaks as an acceptor of nothing it has
// forgotten.
void Replica::recall_own_life() {
  if (!knows_members()) return;
  const Index certain = std::min(committed_, durable_through_);
  const Configuration& in_force = configuration_at(certain);
  const Member* own = in_force.index <= certain ? in_force.members.find(self_) : nullptr;
  if (own == nullptr || own->incarnation == 0) return;
  const bool was = std::exchange(amnesiac_, own->incarnation != incarnation_);
  if (!was || amnesiac_) return;
  if (stage_ == Stage::follower) draw_timeout();
  // Else a restart would not know that the admission is certain and forget that it may vote.
  if (written_state_.committed < in_force.index) upcoming_write();
}

}  // namespace quorate::consensus::paxos
