// Snapshots and compaction (paper, section 7): the prefix that the state machine covers is
// dropped, and who needs it back gets the state instead.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {

void Replica::need_snapshot(Progress& peer) {
  peer.flow = Flow::snapshot;
  peer.window.clear();
  peer.window_bytes = 0;
  if (peer.streaming) return;
  peer.streaming = true;
  // What follows the snapshot must still be here when it has arrived, or the peer would need
  // the next one, and so on.
  if (!QRT_MUTANT(M20)) peer.pinned = log_.snapshot_index();
  ready_.snapshots.push_back(peer.id);
}

// Entries that have left our memory cost the reading, the sending and the applying of each; at
// some length the state they lead to is less. By the weight of those that are in memory.
bool Replica::snapshot_is_cheaper(const Progress& peer) const {
  const Index oldest = log_.tail_first();
  if (snapshot_bytes_ == 0 || peer.flow != Flow::replicating || peer.next >= oldest) return false;
  const uint64_t held = log_.last().next() - oldest;
  if (held == 0) return false;
  const uint64_t each = log_.tail_bytes() / held + 1;
  return (oldest - peer.next) * each > snapshot_bytes_ + kSnapshotHeadStartBytes;
}

void Replica::on(const SnapshotSent& event) {
  std::erase(repair_.lending, event.to);
  Progress* peer = stage_ == Stage::leader ? progress_of(event.to) : nullptr;
  if (peer == nullptr) return;
  peer->streaming = false;
  if (!event.ok) peer->pinned = {};
  if (peer->flow != Flow::snapshot) return;
  Index next = peer->match.next();
  if (event.ok) {
    if (!QRT_MUTANT(M20)) peer->pinned = event.index;
    next = std::max(next, std::min(event.index, log_.last()).next());
  }
  probe_from(*peer, std::max(next, log_.first()));
  // Its acknowledgement will come when it has installed; if not, a heartbeat finds out.
  peer->awaiting_probe = true;
  peer->resend_delay = std::max(peer->resend_delay, election_timeout_);
  peer->resend_at = now_ + peer->resend_delay;
}

Index Replica::droppable(Index wanted) const {
  Index limit = std::min(wanted, committed_);
  if (!upcoming_.entries.empty()) {
    limit = std::min(limit, upcoming_.entries.front().index.previous());
  }
  // The configuration in force there must be known, and somebody must hold what is given back.
  if (!knows_members()) limit = std::min(limit, repair_.members.front().previous());
  if (repair_.store_lost) limit = {};
  if (stage_ != Stage::leader) return limit;
  for (const Progress& peer : peers_) {
    const bool alive = peer.streaming || now_ - std::min(peer.heard, now_) < election_timeout_;
    if (peer.id != self_ && peer.pinned && alive) limit = std::min(limit, peer.pinned);
  }
  return limit;
}

void Replica::on(const SnapshotTaken& event) {
  snapshot_bytes_ = event.store_bytes;
  const Index index = droppable(event.index);
  if (index <= log_.snapshot_index() || upcoming_.install) return;
  upcoming_write();
  const Configuration& in_force = configuration_at(index);
  upcoming_.snapshot = SnapshotMeta{index, log_.ballot_at(index), in_force.encoded};
  log_.drop_prefix(index);
  drop_damage(index);
  while (configurations_.size() > 1 && configurations_[1].index <= index) {
    configurations_.erase(configurations_.begin());
  }
}

void Replica::on(const SnapshotArrived& event) {
  const SnapshotMeta& meta = event.meta;
  if (stage_ == Stage::leader || !meta.index || !decode_members(meta.members)) {
    ++dropped_;
    return;
  }
  // Everything in a snapshot is committed; we may learn of a term from it, never of a leader.
  if (meta.ballot.round > term_) become_follower(meta.ballot.round, {});
  const bool held = log_.matches(meta.index, meta.ballot);
  if (held && covers_damage(meta.index)) {
    install_prefix(meta);
  } else if (meta.index > committed_ || QRT_MUTANT(M21)) {
    if (held && !QRT_MUTANT(M21)) {
      commit_to(meta.index);  // we hold all of it already: no need to replace anything
    } else {
      install(meta);
    }
  }
  if (event.from != leader_) return;
  acknowledge_ = true;
  acknowledged_ = std::max(acknowledged_, committed_);
}

void Replica::install(const SnapshotMeta& meta) {
  upcoming_write();
  cover_damage(meta.index);
  truncate_damage(meta.index.next());
  upcoming_.repairs.clear();
  upcoming_.entries.clear();
  if (log_.last() > committed_ && written_last_ > committed_) {
    upcoming_.truncate_from = committed_.next();
  }
  upcoming_.snapshot = meta;
  upcoming_.install = true;
  log_.reset(meta.index, meta.ballot);
  // Until this write is durable we hold no more than what was committed before.
  durable_ = std::min(durable_, committed_);
  for (WriteOnItsWay& write : writes_) write.last = std::min(write.last, committed_);
  written_last_ = meta.index;
  committed_ = meta.index;
  const Bytes before = configurations_.back().encoded;
  configurations_.clear();
  push_configuration(meta.index, QRT_MUTANT(M22) ? before : meta.members);
  configuration_changed();
  recall_own_life();
}

// The state in place of entries that damage took; what follows it in the log is good.
void Replica::install_prefix(const SnapshotMeta& meta) {
  upcoming_write();
  cover_damage(meta.index);
  std::erase_if(upcoming_.repairs, [&](const Entry& entry) { return entry.index <= meta.index; });
  std::erase_if(upcoming_.entries, [&](const Entry& entry) { return entry.index <= meta.index; });
  upcoming_.snapshot = meta;
  upcoming_.install = true;
  log_.drop_prefix(meta.index);
  committed_ = std::max(committed_, meta.index);
  const auto covered = [&](const Configuration& known) { return known.index <= meta.index; };
  std::erase_if(configurations_, covered);
  insert_configuration(meta.index, meta.members);
  recall_own_life();
}

}  // namespace quorate::consensus::raft
