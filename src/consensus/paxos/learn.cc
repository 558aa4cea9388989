// Phase 2, acceptor and learner: accepting what the leader of the highest ballot proposes, in any
// order; learning what is decided; acknowledgements that wait for the disk.
//
// Two ways lead to a decided slot. Slots in which the leader proposes are decided when it announces
// them and we hold them at its ballot: that they are filled is not enough, the value may be one of
// an earlier ballot that was never chosen. Slots decided before its time are taken from its
// messages in order, whatever ballot its copy has.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"
#include "consensus/same_value.h"

namespace quorate::consensus::paxos {
namespace {

// Stretches told of in one acknowledgement; the rest is told when these are filled.
constexpr size_t kStretchesMax = 16;

bool well_formed(const Accept& accept, const Ballot& ballot, const std::vector<Entry>& entries) {
  if (entries.size() > kAppendEntriesMax || !accept.base) return false;
  if (accept.committed < accept.base.previous() || accept.stop > accept.committed) return false;
  Index behind;
  for (const Entry& entry : entries) {
    if (entry.index <= behind || entry.ballot.round == 0) return false;
    if (entry.index >= accept.base ? entry.ballot != ballot : entry.ballot > ballot) return false;
    if (entry.kind == EntryKind::members && !decode_members(entry.data)) return false;
    behind = entry.index;
  }
  return true;
}

}  // namespace

// False: we have promised a higher ballot.
bool Replica::heard_leader(NodeId from, const Ballot& ballot, Index base) {
  if (ballot < promised_ && !QRT_MUTANT(X01_LOW)) return false;
  if (ballot != promised_ || stage_ != Stage::follower || leader_ != from) follow(ballot, from);
  leader_gone_ = false;
  leader_heard_ = now_;
  lost_campaigns_ = 0;
  if (lease_reads_) promise_ends_ = now_ + election_timeout_;
  election_deadline_ = now_ + patience() + deference();
  if (following_ != ballot || base_ != base) begin_following(base);
  return true;
}

// Counts what we hold at the ballot we have promised now.
void Replica::begin_following(Index base) {
  following_ = promised_;
  base_ = base;
  highest_ = committed_;
  if (base != kNoBase) {
    highest_ = slots_.last();
    while (highest_ > committed_ && slots_.ballot_at(highest_) != following_) {
      highest_ = highest_.previous();
    }
  }
  through_ = committed_;
  durable_through_ = {};
  for (WriteOnItsWay& write : writes_) write.through = {};
  extend_through();
  if (!writing_ && !writes_.empty()) writes_.back().through = through_;
}

void Replica::extend_through() {
  through_ = std::max(through_, committed_);
  while (through_ < highest_ && through_.next() >= base_ &&
         slots_.ballot_at(through_.next()) == following_ && whole(through_.next())) {
    ++through_;
  }
  if (!writing_ && writes_.empty()) durable_through_ = through_;
}

// The trap: an announcement proves a slot only if ours was accepted at the ballot that announces.
void Replica::learn_commit(Index announced) {
  extend_through();
  Index known = std::min(announced, through_);
  if (QRT_MUTANT(X11)) {
    known = committed_;
    while (known < announced && slots_.find(known.next()) != nullptr) ++known;
  }
  if (known > committed_) commit_to(known);
  extend_through();
}

// A decided value: the next one that we do not know. Every copy of one has a ballot no lower than
// that by which it was chosen, so if ours is the higher, it is the same value.
void Replica::learn(Entry entry) {
  const Index index = entry.index;
  CHECK(index == committed_.next(), "decided slots are learned in order");
  const Entry* held = slots_.find(index);
  if (held != nullptr && held->ballot >= entry.ballot) {
    CHECK(same_value(*held, entry), "a decided slot has one value");
    upcoming_write();  // we will say that we know it as decided: the disk has to know it first
  } else if (held == nullptr && slots_.ballot_at(index) >= entry.ballot) {
    entry.ballot = slots_.ballot_at(index);  // lost on our disk, and here it is again
    put(std::move(entry));
  } else {
    put(std::move(entry));
  }
  commit_to(index);
}

// False: nothing behind it can be taken either.
bool Replica::take(Entry& entry, const Accept& accept) {
  const Index index = entry.index;
  if (index <= committed_) {
    if (damaged()) restore(entry);
    return true;
  }
  if (index < accept.base) {
    if (index != committed_.next()) return false;
    learn(std::move(entry));
    return true;
  }
  if (index > accept.stop && committed_ < accept.stop) {
    // Behind a configuration that we do not know as decided. Taking it would hide from a later
    // proposer that the configuration was (see stop_is_void).
    learn_commit(accept.committed);
    if (committed_ < accept.stop) return false;
  }
  if (index > slots_.last() + kSlotGapMax) return false;
  highest_ = std::max(highest_, index);
  if (slots_.ballot_at(index) == entry.ballot) {
    const Entry* held = slots_.find(index);
    CHECK(held == nullptr || same_value(*held, entry), "one proposer proposed one value there");
    if (held != nullptr) return true;
  }
  put(std::move(entry));
  return true;
}

void Replica::on_body(Message& message, const Head& head, const Accept& accept) {
  const bool own = stage_ == Stage::leader && head.promised == promised_;
  if (own || !well_formed(accept, head.promised, message.entries)) {
    ++dropped_;
    return;
  }
  if (!heard_leader(message.from, head.promised, accept.base)) {
    // Our promise in the answer tells it that its time is over.
    return send(message.from, Accepted{}, {});
  }
  for (Entry& entry : message.entries) {
    if (!take(entry, accept)) break;
  }
  learn_commit(accept.committed);
  acknowledge_ = true;
}

void Replica::on_body(Message& message, const Head& head, const Heartbeat& heartbeat) {
  const bool own = stage_ == Stage::leader && head.promised == promised_;
  if (own || heartbeat.committed < heartbeat.base.previous()) {
    ++dropped_;
    return;
  }
  if (!heard_leader(message.from, head.promised, heartbeat.base)) {
    if (heartbeat.wants_reply) send(message.from, HeartbeatReply{}, {});
    return;
  }
  learn_commit(heartbeat.committed);
  if (!heartbeat.wants_reply) return;
  const Duration bound = lease_reads_ ? election_timeout_ : Duration::zero();
  send(message.from, HeartbeatReply{heartbeat.round, durable_through_, bound}, {});
}

std::vector<IndexRange> Replica::accepted_beyond() const {
  std::vector<IndexRange> stretches;
  for (Index index = through_.next(); index <= highest_; ++index) {
    if (index < base_ || slots_.ballot_at(index) != following_ || !whole(index)) continue;
    if (!stretches.empty() && stretches.back().last.next() == index) {
      stretches.back().last = index;
    } else if (stretches.size() == kStretchesMax) {
      break;
    } else {
      stretches.push_back({index, index});
    }
  }
  return stretches;
}

void Replica::send_accepted() {
  acknowledge_ = false;
  if (stage_ != Stage::follower || !leader_ || following_ != promised_) return;
  extend_through();
  const WriteId after = QRT_MUTANT(X03_ACCEPT) ? WriteId{} : newest_write();
  Accepted reply{through_, {}};
  if (highest_ > through_) reply.beyond = accepted_beyond();
  // Lost slots that are being put back are whole once the write is.
  send(leader_, std::move(reply), after);
}

}  // namespace quorate::consensus::paxos
