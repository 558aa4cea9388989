// Snapshots and compaction (PML, section 5.5): slots that the state machine covers are dropped, and
// who needs them back gets the state instead.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {

void Replica::need_snapshot(Progress& peer) {
  peer.flow = Flow::snapshot;
  peer.window.clear();
  peer.window_bytes = 0;
  if (peer.streaming) return;
  peer.streaming = true;
  // What follows the snapshot must still be here when it has arrived, or the peer would need
  // the next one, and so on.
  if (!QRT_MUTANT(M20)) peer.pinned = slots_.snapshot_index();
  ready_.snapshots.push_back(peer.id);
}

// To whoever asks us for slots we have only the state of, though we do not lead.
void Replica::lend_snapshot(NodeId to) {
  if (stage_ == Stage::leader) {
    Progress* peer = progress_of(to);
    if (peer != nullptr && peer->flow != Flow::snapshot) need_snapshot(*peer);
    return;
  }
  if (std::ranges::find(lending_, to) != lending_.end()) return;
  if (lending_.size() >= kRepairRequestsMax) return;
  lending_.push_back(to);
  ready_.snapshots.push_back(to);
}

// Slots that have left our memory cost the reading, the sending and the applying of each; at some
// length the state they lead to is less. By the weight of those that are in memory.
bool Replica::snapshot_is_cheaper(const Progress& peer) const {
  const Index oldest = slots_.memory_first();
  if (snapshot_bytes_ == 0 || peer.next >= oldest) return false;
  const uint64_t held = slots_.last().next() - oldest;
  if (held == 0) return false;
  const uint64_t each = slots_.memory_bytes() / held + 1;
  return (oldest - peer.next) * each > snapshot_bytes_ + kSnapshotHeadStartBytes;
}

void Replica::on(const SnapshotSent& event) {
  std::erase(lending_, event.to);
  Progress* peer = stage_ == Stage::leader ? progress_of(event.to) : nullptr;
  if (peer == nullptr) return;
  peer->streaming = false;
  if (!event.ok) peer->pinned = {};
  if (peer->flow != Flow::snapshot) return;
  Index next = peer->through.next();
  if (event.ok) {
    if (!QRT_MUTANT(M20)) peer->pinned = event.index;
    next = std::max(next, std::min(event.index, proposed_).next());
  }
  // It will say what it has when it has installed; until then nothing is sent.
  restart_from(*peer, std::max(next, slots_.first()));
  peer->flow = Flow::unknown;
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
  if (loading()) return;
  const Index index = droppable(event.index);
  if (index <= slots_.snapshot_index() || upcoming_.install) return;
  upcoming_write();
  const Configuration& in_force = configuration_at(index);
  upcoming_.snapshot = SnapshotMeta{index, slots_.ballot_at(index), in_force.encoded};
  slots_.drop_prefix(index);
  covered(index);
  while (configurations_.size() > 1 && configurations_[1].index <= index) {
    configurations_.erase(configurations_.begin());
  }
}

void Replica::on(const SnapshotArrived& event) {
  const SnapshotMeta& meta = event.meta;
  if (stage_ == Stage::leader || loading() || !meta.index || !decode_members(meta.members)) {
    ++dropped_;
    return;
  }
  const bool lacks = repair_.store_lost || reportable() < std::min(committed_, meta.index);
  const bool helps = meta.index > committed_ || QRT_MUTANT(M21) ||
                     (meta.index >= slots_.snapshot_index() && lacks && !comes_already(meta.index));
  if (helps && !upcoming_.install) install(meta);
  if (stage_ == Stage::preparing) ask_promises(false);
  if (event.from == leader_) acknowledge_ = true;
}

// What we lack up to there is on its way to our disk already, from another's state perhaps.
bool Replica::comes_already(Index through) const {
  if (repair_.store_lost) return std::ranges::any_of(repair_.fills, &Fill::store);
  for (const IndexRange& range : repair_.lost.list()) {
    for (Index index = range.first; index <= std::min(range.last, through); ++index) {
      if (!repair_.filling.contains(index)) return false;
    }
  }
  return true;
}

// Only the prefix is replaced: what was accepted behind it stays accepted.
void Replica::install(const SnapshotMeta& meta) {
  const WriteId write = upcoming_write();
  if (damaged()) {
    Fill fill{write, {}, repair_.store_lost};
    for (IndexRange range : repair_.lost.list()) {
      if (range.first > meta.index) break;
      range.last = std::min(range.last, meta.index);
      fill.slots.add(range);
    }
    for (const IndexRange& range : fill.slots.list()) repair_.filling.add(range);
    repair_.fills.push_back(std::move(fill));
    std::erase_if(repair_.members, [&](Index index) { return index <= meta.index; });
  }
  const auto inside = [&](const Entry& entry) { return entry.index <= meta.index; };
  std::erase_if(upcoming_.entries, inside);
  std::erase_if(upcoming_.repairs, inside);
  upcoming_.snapshot = meta;
  upcoming_.install = true;
  upcoming_.keep_behind = true;
  slots_.replace_prefix(meta.index, meta.ballot);
  const bool newer = meta.index > committed_;
  committed_ = std::max(committed_, meta.index);
  std::erase_if(configurations_, [&](const Configuration& it) { return it.index <= meta.index; });
  push_configuration(meta.index, QRT_MUTANT(M22) ? Bytes{} : meta.members);
  std::ranges::sort(configurations_, {}, &Configuration::index);
  found_.erase(found_.begin(), found_.upper_bound(committed_));
  extend_through();
  if (newer) configuration_changed();
  recall_own_life();
}

}  // namespace quorate::consensus::paxos
