// What of a replica can ever matter again, for the exhaustive searcher (consensus/fingerprint.h).
//
// Every field of Replica, Progress and Slots stands here, hashed or in this list of what is left
// out:
//   election_timeout_, heartbeat_interval_, pre_vote_, check_quorum_, lease_reads_,
//   append_entries_max_, inflight_messages_max_:
//     the same in all states
//   rng_: searchers hand in one that always draws the same
//   instants are hashed by their distance from the time of the question, so now_ is not
//   last_write_, durable_write_: write ids are hashed by their distance from `durable`, which the
//     runtime knows better
//   voter_places_, outgoing_places_: follow from the members; scratch_: dead between two calls
//   dropped_: a count for people
//   window_bytes, memory_bytes_, undecided_bytes_: sums over what is hashed
#include "consensus/fingerprint.h"

#include <algorithm>

#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {
namespace {

void add_range(Fingerprint& into, const IndexRange& range) {
  into.add(range.first);
  into.add(range.last);
}

void add_ranges(Fingerprint& into, const std::vector<IndexRange>& ranges) {
  into.add(ranges.size());
  for (const IndexRange& range : ranges) add_range(into, range);
}

}  // namespace

std::unique_ptr<ReplicatedLog> Replica::clone() const { return std::make_unique<Replica>(*this); }

void Replica::fingerprint(Fingerprint& into, Time now, WriteId durable) const {
  into.add(self_);
  into.add(incarnation_);
  into.add(promised_);
  into.add(committed_);
  slots_.fingerprint(into);
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
  fingerprint_repair(into, now, durable);
  // Nothing, once the effects of a step were taken.
  add_effects(into, ready_, durable, fingerprint_message);
}

void Replica::fingerprint_writes(Fingerprint& into, Time now, WriteId durable) const {
  into.add(writing_);
  into.add_content(upcoming_);
  into.add(pending(promise_write_, durable));
  into.add(written_state_);
  into.add(snapshot_bytes_);
  into.add(writes_.size());
  for (const WriteOnItsWay& write : writes_) {
    into.add(write.id.value - durable.value);  // wraps for a letter that is late: still unique
    into.add(write.through);
    add_range(into, write.entries);
    into.add(age(now, write.asked, election_timeout_));
  }
  into.add(loading());
  into.add(loaded_);
  into.add(load_through_);
  into.add(loads_.size());
  into.add(static_cast<uint64_t>(fetch_purpose_));
  if (fetch_purpose_ != Purpose::nothing) add_range(into, fetch_range_);
  into.add(fetch_for_);
  into.add(waiting_prepares_.size());
  for (const WaitingPrepare& waiting : waiting_prepares_) {
    into.add(waiting.from);
    into.add(waiting.first);
    into.add(waiting.ballot);
  }
  add_set(into, lending_);
}

// A replica without damage has nothing of this, nor does it remember what it once had.
void Replica::fingerprint_repair(Fingerprint& into, Time now, WriteId durable) const {
  into.add(waiting_fetches_.size());
  for (const WaitingFetch& waiting : waiting_fetches_) {
    into.add(waiting.from);
    into.add(waiting.fetch.state_helps);
    into.add(waiting.fetch.store_lost);
    add_ranges(into, waiting.fetch.wanted);
  }
  into.add(damaged());
  if (!damaged()) return;
  into.add(reported_);
  add_ranges(into, repair_.lost.list());
  add_ranges(into, repair_.filling.list());
  into.add(repair_.members.size());
  for (const Index index : repair_.members) into.add(index);
  into.add(repair_.store_lost);
  into.add(repair_.fills.size());
  for (const Fill& fill : repair_.fills) {
    into.add(pending(fill.write, durable));
    add_ranges(into, fill.slots.list());
    into.add(fill.store);
  }
  into.add(repair_.turn);
  into.add(repair_.asked_all);
  into.add(static_cast<uint64_t>(repair_.ask_delay.count()));
  into.add(distance(now, repair_.ask_at));
}

void Replica::fingerprint_election(Fingerprint& into, Time now) const {
  into.add(static_cast<uint64_t>(stage_));
  into.add(seen_round_);
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
  into.add(lost_campaigns_);
  into.add(distance(now, promise_ends_));
  if (stage_ == Stage::asking) add_set(into, favours_);
  into.add(following_);
  into.add(base_);
  into.add(through_);
  into.add(highest_);
  into.add(durable_through_);
  into.add(acknowledge_);
  if (stage_ != Stage::preparing && stage_ != Stage::leader) return;
  add_set(into, refused_);
  FingerprintSet promisers;
  for (const Promiser& one : promisers_) {
    Fingerprint element = into.fresh();
    element.add(one.id);
    element.add(one.incarnation);
    element.add(one.next);
    element.add(one.committed);
    element.add(one.complete);
    element.add(one.lost.size());
    for (const LostSlot& lost : one.lost) {
      element.add(lost.index);
      element.add(lost.ballot);
    }
    promisers.add(element);
  }
  promisers.add_to(into);
  into.add(found_.size());
  for (const auto& [index, entry] : found_) into.add(entry);
}

// Only a leader reads these: who enters office begins them anew. `round_` goes on from one office
// to the next, but a reply counts only at the ballot it was given for.
void Replica::fingerprint_office(Fingerprint& into, Time now) const {
  FingerprintSet peers;
  for (const Progress& one : peers_) {
    Fingerprint peer = into.fresh();
    fingerprint_peer(peer, now, one);
    peers.add(peer);
  }
  peers.add_to(into);
  into.add(widening_);
  into.add(proposed_);
  into.add(stop_);
  into.add(office_start_);
  into.add(check_quorum_ ? age(now, in_office_since_, election_timeout_) : 0);
  into.add(established_);
  into.add(waiting_proposals_.size());
  for (const Propose& waiting : waiting_proposals_) {
    into.add(waiting.id);
    into.add(waiting.data.view());
  }
  into.add(distance(now, heartbeat_at_));
  into.add(heartbeat_due_);
  into.add(distance(now, commit_notice_at_));
  into.add(transfer_to_);
  if (transfer_to_) {
    into.add(transfer_asked_);
    into.add(distance(now, transfer_deadline_));
  }
  reads_.fingerprint(into, now, election_timeout_);
  into.add(fetched_.size());
  for (const Entry& entry : fetched_) into.add(entry);
}

void Replica::fingerprint_peer(Fingerprint& it, Time now, const Progress& peer) const {
  it.add(peer.id);
  it.add(peer.through);
  add_ranges(it, peer.beyond.list());
  it.add(peer.next);
  it.add(static_cast<uint64_t>(peer.flow));
  it.add(peer.window.size());
  for (const Sent& sent : peer.window) {
    it.add(sent.last);
    it.add(sent.bytes);
  }
  // When nothing is waited for, what is sent next sets the time anew.
  it.add(peer.window.empty() ? 0 : distance(now, peer.resend_at));
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
  const std::optional<Head> head = decode_head(message.head);
  into.add(head.has_value());
  if (!head) return into.add(message.head.view());
  into.add(head->body.index());
  // The ballot names a member, which may be renamed; the rest of a head names none. A letter names
  // a write, which counts by its distance.
  into.add(head->promised);
  Head rest = *head;
  rest.promised = {};
  if (const Stored* letter = std::get_if<Stored>(&head->body)) {
    into.add(letter->write.value - durable.value);
    return;
  }
  if (const Promise* promise = std::get_if<Promise>(&head->body)) {
    for (const LostSlot& lost : promise->lost) into.add(lost.ballot);
    Promise without = *promise;
    for (LostSlot& lost : without.lost) lost.ballot.node = {};
    rest.body = std::move(without);
  }
  into.add(encode_head(rest).view());
}

}  // namespace quorate::consensus::paxos
