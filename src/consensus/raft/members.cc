// Who takes part: configurations take effect when appended and are taken back when truncated
// (thesis, section 4.1), and members that lost their data are re-admitted as a new life
// (docs/decisions/0004).
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {

void Replica::push_configuration(Index index, Bytes encoded) {
  Members members;
  if (!encoded.empty()) {
    std::optional<Members> decoded = decode_members(encoded);
    CHECK(decoded, "configurations in the log are well-formed");
    members = std::move(*decoded);
  }
  configurations_.push_back({index, std::move(members), std::move(encoded)});
  voter_ = this->members().is_voter(self_);
}

// The way to the wished configuration begins here; the rest follows by itself, see
// leave_joint_when_certain().
void Replica::propose_members(Propose& event) {
  std::optional<Members> target = decode_members(event.data);
  CHECK(target && !target->voters.empty() && !target->joint(),
        "the runtime proposes a well-formed configuration that is no transition");
  // Without an entry of our own term committed, two leaders could each change the members by one
  // and lose the common majority (Ongaro's note to raft-dev, 2015).
  if (!established_ && !QRT_MUTANT(M01)) return refuse(event.id, Refusal::not_ready);
  const bool pending = change_pending() || members().joint();
  if (pending && !QRT_MUTANT(M15)) return refuse(event.id, Refusal::busy);
  // Lives change by re-admission alone: whoever computed the target may not have seen the last.
  for (auto* list : {&target->voters, &target->learners}) {
    for (Member& member : *list) {
      const Member* known = members().find(member.id);
      if (known != nullptr) member.incarnation = known->incarnation;
    }
  }
  Members next = QRT_MUTANT(JOINT_SKIPPED) ? *target : next_configuration(members(), *target);
  append_own(EntryKind::members, event.id, encode_members(next));
}

// From the joint configuration to its new half, as soon as the joint one is certain (thesis,
// section 4.3). A new leader finds it in its log and finishes what another began.
void Replica::leave_joint_when_certain() {
  if (stage_ != Stage::leader || !established_ || !members().joint()) return;
  if (change_pending() && !QRT_MUTANT(JOINT_HASTY)) return;
  Members next = members();
  next.outgoing.clear();
  append_own(EntryKind::members, {}, encode_members(next));
}

// A leader that has left the configuration goes once that is certain (thesis, section 4.2.2), and
// tells the best of the others, so that nobody has to wait for a timeout.
void Replica::leave_office_when_removed() {
  if (stage_ != Stage::leader || voter_ || change_pending()) return;
  if (const NodeId heir = best_heir()) {
    reads_.void_lease();
    send(heir, TimeoutNow{}, {});
  }
  become_follower(term_, {});
}

void Replica::configuration_changed() {
  const bool was_voter = std::exchange(voter_, members().is_voter(self_));
  if (voter_ && !was_voter) draw_timeout();
  if (stage_ != Stage::leader) return;
  track_members();
  // A majority of before is not one of now: only rounds from here on prove a lease.
  reads_.restart_lease();
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
      peer.next = log_.last().next();
      peer.heard = now_;  // it gets the time that everyone gets to be heard
    }
    const Member* member = current.find(id);
    peer.admitted = member == nullptr ? 0 : member->incarnation;
    if (id == self_) {
      peer.match = std::max(peer.match, std::min(durable_, intact()));
      peer.known = true;
      peer.incarnation = peer.admitted;
      peer.round = UINT64_MAX;
      peer.promises = true;
      peer.heard = Time::max();
    }
    tracked.push_back(std::move(peer));
  }
  peers_ = std::move(tracked);
  find_places(QRT_MUTANT(M11) && configurations_.size() > 1
                  ? configurations_[configurations_.size() - 2].members
                  : current);
}

// Where in peers_ those stand whose word decides.
void Replica::find_places(const Members& current) {
  const auto among = [](const std::vector<Member>& list, NodeId id) {
    return std::ranges::find(list, id, &Member::id) != list.end();
  };
  voter_places_.clear();
  outgoing_places_.clear();
  for (size_t place = 0; place < peers_.size(); ++place) {
    const NodeId id = peers_[place].id;
    const bool ourselves = id == self_ && QRT_MUTANT(M04);
    const bool learner = among(current.learners, id) && QRT_MUTANT(R16_LEARNER);
    if (among(current.voters, id) || ourselves || learner) voter_places_.push_back(place);
    if (among(current.outgoing, id) && !QRT_MUTANT(JOINT_NEW)) outgoing_places_.push_back(place);
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
    // What its earlier life had stored is gone.
    if (!QRT_MUTANT(AMNESIA_MATCH)) peer.match = {};
    peer.round = 0;
    peer.pinned = {};
    peer.committed_sent = {};
    if (peer.flow != Flow::snapshot) probe_from(peer, log_.last().next());
  }
  peer.known = true;
  peer.incarnation = head.incarnation;
  peer.life_round = reads_.begin_round();
}

// Admits the new life of a member that lost its data: the same configuration but for its
// incarnation, decided by a majority that does not count it.
void Replica::readmit(const Progress& peer) {
  if (!peer.amnesiac || peer.round < peer.life_round) return;
  if (!established_ || change_pending() || peer.admitted == peer.incarnation) return;
  Members renewed = members();
  for (auto* list : {&renewed.voters, &renewed.outgoing, &renewed.learners}) {
    for (Member& member : *list) {
      if (member.id == peer.id) member.incarnation = peer.incarnation;
    }
  }
  if (renewed == members()) return;
  append_own(EntryKind::members, {}, encode_members(renewed));
}

// Compares our life with the one that the members have admitted for certain.
void Replica::recall_own_life() {
  if (!knows_members()) return;
  const Index certain = std::min(committed_, durable_);
  const Configuration& admitted = configuration_at(certain);
  const Member* own = admitted.index <= certain ? admitted.members.find(self_) : nullptr;
  if (own == nullptr || own->incarnation == 0) return;
  const bool was = std::exchange(amnesiac_, own->incarnation != incarnation_);
  if (!was || amnesiac_) return;
  if (stage_ == Stage::follower) draw_timeout();
  // Else a restart would not know that the admission is certain and forget that it may vote.
  if (written_state_.committed < admitted.index) upcoming_write();
}

}  // namespace quorate::consensus::raft
