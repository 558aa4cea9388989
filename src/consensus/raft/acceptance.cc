// The follower's side of replication: the log-matching check and repair (paper, section 5.3),
// and acknowledgements that wait for the disk.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {
namespace {

// Positions follow each other, terms never shrink and none is of the future.
bool well_formed(const Append& append, uint64_t term, const std::vector<Entry>& entries) {
  if (entries.size() > kAppendEntriesMax || append.previous_term > term) return false;
  Index index = append.previous;
  Ballot ballot{append.previous_term, {}};
  for (const Entry& entry : entries) {
    if (entry.index != index.next() || entry.ballot < ballot) return false;
    if (entry.ballot.round > term || entry.ballot.node) return false;
    if (entry.kind == EntryKind::members && !decode_members(entry.data)) return false;
    index = entry.index;
    ballot = entry.ballot;
  }
  return true;
}

}  // namespace

void Replica::heard_leader(NodeId from, uint64_t term) {
  if (term > term_ || stage_ != Stage::follower || leader_ != from) become_follower(term, from);
  leader_gone_ = false;
  leader_heard_ = now_;
  if (lease_reads_) promise_ends_ = now_ + election_timeout_;
  election_deadline_ = now_ + patience();
}

void Replica::on_body(Message& message, const Head& head, const Append& append) {
  if (head.term < term_) {
    // Our term in the answer makes a leader of the past step down; without one, a member with a
    // higher term but a shorter log could neither follow nor win.
    if (QRT_MUTANT(R10)) return;
    if (QRT_MUTANT(N12_APPEND)) return accept(message, append);
    return refuse_append(message.from, append);
  }
  if (stage_ == Stage::leader && head.term == term_) {
    ++dropped_;
    return;
  }
  if (!well_formed(append, head.term, message.entries)) {
    ++dropped_;
    return;
  }
  heard_leader(message.from, head.term);
  accept(message, append);
}

void Replica::refuse_append(NodeId to, const Append& append) {
  AppendReply reply;
  reply.index = append.previous;
  reply.hint = log_.newest_with_round_at_most(append.previous, append.previous_term);
  reply.hint = std::max(reply.hint, committed_);
  reply.hint_term = log_.ballot_at(reply.hint).round;
  send(to, reply, {});
}

void Replica::accept(Message& message, const Append& append) {
  const Index previous = append.previous;
  if (previous > log_.last()) return refuse_append(message.from, append);
  if (log_.knows(previous) && log_.ballot_at(previous).round != append.previous_term) {
    CHECK(previous > committed_, "the leader holds every committed entry (leader completeness)");
    return refuse_append(message.from, append);
  }
  if (QRT_MUTANT(R19_EDGE) && previous && previous == log_.snapshot_index()) {
    return refuse_append(message.from, append);
  }
  const Index end = previous + message.entries.size();
  for (Entry& entry : message.entries) {
    if (entry.index <= log_.snapshot_index() && !QRT_MUTANT(R19)) continue;
    if (log_.matches(entry.index, entry.ballot)) {
      // Else somebody lied about a term, and which of the two is committed nobody knows.
      const Entry* held = QRT_MUTANT(R18) ? nullptr : log_.find(entry.index);
      CHECK(held == nullptr || *held == entry, "one leader wrote one entry there in its term");
      if (damaged()) fill_hole(entry);
      continue;
    }
    if (entry.index <= log_.last()) {
      CHECK(entry.index > committed_, "a committed entry is never replaced");
      truncate_from(entry.index);
    }
    put(entry);
    if (entry.kind == EntryKind::members) {
      push_configuration(entry.index, entry.data);
      log_.append(std::move(entry));
      configuration_changed();
    } else {
      log_.append(std::move(entry));
    }
  }
  // What a snapshot represents was committed, so the leader holds it too.
  Index equal = std::max(end, log_.snapshot_index());
  if (QRT_MUTANT(R02_END)) equal = log_.last();
  acknowledge_ = true;
  acknowledged_ = std::max(acknowledged_, equal);
  if (damaged()) {
    repair_.agreed = repair_.agreed_term == term_ ? std::max(repair_.agreed, equal) : equal;
    repair_.agreed_term = term_;
  }
  const Index committed = std::min(append.committed, QRT_MUTANT(R08_APPEND) ? log_.last() : equal);
  if (committed > committed_) commit_to(committed);
}

void Replica::truncate_from(Index index) {
  log_.truncate_from(index);
  truncate_damage(index);
  std::erase_if(upcoming_.entries, [&](const Entry& entry) { return entry.index >= index; });
  if (index <= written_last_) {
    upcoming_write();
    upcoming_.truncate_from = std::min(index, upcoming_.truncate_from.value_or(index));
    written_last_ = index.previous();
  }
  // A write on its way may carry what was just taken back: its completion says nothing about
  // the entries that now stand there.
  if (!QRT_MUTANT(R03)) durable_ = std::min(durable_, index.previous());
  for (WriteOnItsWay& write : writes_) {
    if (!QRT_MUTANT(R20)) write.last = std::min(write.last, index.previous());
  }
  // The configuration in force is the newest that is left.
  bool changed = false;
  while (configurations_.size() > 1 && configurations_.back().index >= index && !QRT_MUTANT(M08)) {
    configurations_.pop_back();
    changed = true;
  }
  if (changed) configuration_changed();
}

// The write that must be durable before we may say that we hold `index`.
WriteId Replica::write_covering(Index index) {
  if (index <= durable_) return {};
  for (const WriteOnItsWay& write : writes_) {
    if (write.last >= index) return write.id;
  }
  return last_write_;
}

void Replica::send_acknowledgement() {
  acknowledge_ = false;
  const Index index = std::exchange(acknowledged_, {});
  if (stage_ != Stage::follower || !leader_) return;
  AppendReply reply;
  reply.accepted = true;
  reply.index = std::min(index, log_.last());
  // What is not whole here cannot be counted on.
  if (!QRT_MUTANT(D16_ACK)) reply.index = std::min(reply.index, intact());
  const WriteId after = QRT_MUTANT(R02) ? WriteId{} : write_covering(reply.index);
  send(leader_, reply, after);
}

void Replica::on_body(Message& message, const Head& head, const Heartbeat& heartbeat) {
  if (head.term < term_) {
    if (heartbeat.wants_reply && !QRT_MUTANT(R10))
      send(message.from, HeartbeatReply{0, log_.last(), {}}, {});
    return;
  }
  if (stage_ == Stage::leader && head.term == term_) {
    ++dropped_;
    return;
  }
  heard_leader(message.from, head.term);
  // Who holds the same entry at that position holds everything before it as well (log matching).
  const Ballot ballot{heartbeat.committed_term, {}};
  const bool held = log_.matches(heartbeat.committed, ballot) ||
                    (QRT_MUTANT(R08) && log_.knows(heartbeat.committed));
  if (held && heartbeat.committed > committed_) commit_to(heartbeat.committed);
  if (heartbeat.wants_reply) {
    const Duration promise = lease_reads_ ? election_timeout_ : Duration::zero();
    send(message.from, HeartbeatReply{heartbeat.round, log_.last(), promise}, {});
  }
}

void Replica::on_body(Message&, const Head&, const Stored& letter) { on_stored(letter); }

}  // namespace quorate::consensus::raft
