// What of a replica can ever matter again, for the exhaustive searcher (consensus/fingerprint.h).
//
// Every field of Replica, Progress and LogTail stands here, hashed or in this list of what is left
// out; fingerprint_test.cc reads the headers and this file to prove it.
//   election_timeout_, heartbeat_interval_, pre_vote_, check_quorum_, lease_reads_,
//   append_entries_max_, inflight_messages_max_:
//     the same in all states
//   rng_: searchers hand in one that always draws the same
//   instants are hashed by their distance from the time of the question, so now_ is not
//   last_write_, durable_write_: write ids are hashed by their distance from `durable`, which the
//     runtime knows better
//   scratch_: dead between two calls
//   reported_: the committed position, except in a damaged log
//   dropped_: a count for people
//   window_bytes, tail_bytes_, uncommitted_bytes_: sums over what is hashed
#include "consensus/fingerprint.h"

#include <algorithm>

#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {

std::unique_ptr<ReplicatedLog> Replica::clone() const { return std::make_unique<Replica>(*this); }

void Replica::fingerprint(Fingerprint& into, Time now, WriteId durable) const {
  into.add(self_);
  into.add(incarnation_);
  into.add(term_);
  into.add(vote_);
  into.add(committed_);
  log_.fingerprint(into);
  into.add(configurations_.size());
  for (const Configuration& known : configurations_) {
    into.add(known.index);
    into.add(known.members);
    into.add(known.encoded.empty());
  }
  into.add(amnesiac_);
  fingerprint_writes(into, now, durable);
  fingerprint_election(into, now);
  if (stage_ == Stage::leader) fingerprint_office(into, now);
  into.add(fetch_turn_);
  into.add(fetch_open_);
  fingerprint_repair(into, now, durable);
  // Nothing, once the effects of a step were taken.
  add_effects(into, ready_, durable, fingerprint_message);
}

void Replica::fingerprint_writes(Fingerprint& into, Time now, WriteId durable) const {
  into.add(writing_);
  into.add_content(upcoming_);
  into.add(pending(promise_write_, durable));
  into.add(written_state_);
  into.add(written_last_);
  into.add(durable_);
  into.add(snapshot_bytes_);
  into.add(writes_.size());
  for (const WriteOnItsWay& write : writes_) {
    into.add(write.id.value - durable.value);  // wraps for a letter that is late: still unique
    into.add(write.last);
    into.add(age(now, write.asked, election_timeout_));
  }
}

// A log without damage has nothing of this, nor does it remember what it once had.
void Replica::fingerprint_repair(Fingerprint& into, Time now, WriteId durable) const {
  into.add(repair_.lending.size());
  for (const NodeId peer : repair_.lending) into.add(peer);
  into.add(repair_.requests.size());
  for (const Repair::Request& waiting : repair_.requests) {
    into.add(waiting.from);
    into.add(waiting.request.state_helps);
    into.add(waiting.request.store_lost);
    for (const WantedRun& run : waiting.request.wanted) {
      into.add(run.first);
      into.add(run.last);
      into.add(run.term);
    }
  }
  into.add(repair_.fetch.has_value());
  into.add(damaged());
  if (!damaged()) return;
  into.add(reported_);
  for (const IndexRanges* ranges : {&repair_.holes, &repair_.filling}) {
    into.add(ranges->list().size());
    for (const IndexRange& range : ranges->list()) {
      into.add(range.first);
      into.add(range.last);
    }
  }
  into.add(repair_.members.size());
  for (const Index index : repair_.members) into.add(index);
  into.add(repair_.store_lost);
  into.add(repair_.fills.size());
  for (const Repair::Fill& fill : repair_.fills) {
    into.add(pending(fill.write, durable));
    into.add(fill.indexes.count());
    into.add(fill.store);
  }
  into.add(repair_.turn);
  into.add(repair_.asked_all);
  into.add(static_cast<uint64_t>(repair_.ask_delay.count()));
  into.add(distance(now, repair_.ask_at));
  into.add(repair_.absent_index);
  into.add(repair_.absent_term);
  for (const NodeId peer : repair_.absent) into.add(peer);
  into.add(repair_.agreed);
  into.add(repair_.agreed_term);
}

void Replica::fingerprint_election(Fingerprint& into, Time now) const {
  into.add(static_cast<uint64_t>(stage_));
  into.add(leader_);
  // Nobody asks how long ago a leader was heard that is not known any more.
  const bool listens = leader_ && leader_ != self_;
  into.add(listens ? age(now, leader_heard_, election_timeout_) : 0);
  into.add(leader_gone_);
  // Whether a deadline is armed was decided at the last step, which may be long ago.
  into.add(may_campaign());
  into.add(stage_ == Stage::leader ? 0 : distance(now, election_deadline_));
  into.add(static_cast<uint64_t>(drawn_timeout_.count()));
  into.add(campaign_);
  into.add(voter_);
  into.add(distance(now, promise_ends_));
  if (stage_ == Stage::asking || stage_ == Stage::candidate) add_set(into, votes_);
  into.add(acknowledge_);
  into.add(acknowledged_);
}

// Only a leader reads these: who enters office begins them anew. `round_` goes on from one office
// to the next, but a reply counts only in the term it was given in.
void Replica::fingerprint_office(Fingerprint& into, Time now) const {
  FingerprintSet peers;
  for (size_t place = 0; place < peers_.size(); ++place) {
    Fingerprint peer = into.fresh();
    fingerprint_peer(peer, now, place);
    peers.add(peer);
  }
  peers.add_to(into);
  into.add(office_start_);
  into.add(check_quorum_ ? age(now, in_office_since_, election_timeout_) : 0);
  into.add(established_);
  into.add(distance(now, heartbeat_at_));
  into.add(heartbeat_due_);
  into.add(distance(now, commit_notice_at_));
  into.add(transfer_to_);
  if (transfer_to_) {
    into.add(transfer_asked_);
    into.add(distance(now, transfer_deadline_));
  }
  reads_.fingerprint(into, now, election_timeout_);
  into.add(fetch_.has_value());
  if (fetch_) {
    into.add(fetch_->first);
    into.add(fetch_->last);
  }
  into.add(fetched_.size());
  for (const Entry& entry : fetched_) into.add(entry);
}

void Replica::fingerprint_peer(Fingerprint& it, Time now, size_t place) const {
  const Progress& peer = peers_[place];
  it.add(peer.id);
  it.add(std::ranges::find(voter_places_, place) != voter_places_.end());
  it.add(std::ranges::find(outgoing_places_, place) != outgoing_places_.end());
  it.add(peer.match);
  it.add(peer.next);
  it.add(static_cast<uint64_t>(peer.flow));
  it.add(peer.awaiting_probe);
  it.add(peer.window.size());
  for (const Sent& sent : peer.window) {
    it.add(sent.last);
    it.add(sent.bytes);
  }
  // When nothing is waited for, what is sent next sets the time anew.
  const bool waiting = peer.flow == Flow::probing ? peer.awaiting_probe : !peer.window.empty();
  it.add(waiting ? distance(now, peer.resend_at) : 0);
  it.add(static_cast<uint64_t>(peer.resend_delay.count()));
  it.add(peer.committed_sent);
  it.add(peer.awaits_commit);
  it.add(peer.streaming);
  it.add(peer.pinned);
  it.add(age(now, peer.heard, election_timeout_));
  it.add(peer.known);
  it.add(peer.amnesiac);
  it.add(peer.incarnation);
  it.add(peer.admitted);
  // Lives are told apart only where a member can have lost its data.
  const bool lives = peer.amnesiac || peer.incarnation != 0 || peer.admitted != 0;
  const bool unproven = lives && peer.round < peer.life_round;
  it.add(unproven ? peer.life_round : 0);
  // Rounds answered before the oldest one that is open make no difference.
  const uint64_t settled = reads_.settled();
  it.add(unproven ? peer.round : std::max(peer.round, settled));
  it.add(peer.promises);
}

void fingerprint_message(const Message& message, WriteId durable, Fingerprint& into) {
  into.add(message.from);
  into.add(message.to);
  into.add(pending(message.after, durable));
  into.add(message.entries.size());
  for (const Entry& entry : message.entries) into.add(entry);
  // No head names a member. Only a letter names a write: it counts by its distance.
  const std::optional<Head> head = decode_head(message.head);
  const Stored* letter = head ? std::get_if<Stored>(&head->body) : nullptr;
  into.add(letter != nullptr);
  if (letter == nullptr) return into.add(message.head.view());
  into.add(head->term);
  into.add(letter->write.value - durable.value);
}

}  // namespace quorate::consensus::raft
