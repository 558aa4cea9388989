// The disk of each node, its state machine, and the snapshots between them.
#include <algorithm>

#include "sim/cluster.h"

namespace quorate::sim {
namespace {

constexpr uint64_t kFetchEntriesMax = 64;  // small, so that catching up takes several rounds

}  // namespace

// Group commit: everything that waits shares the next batch; one batch is in flight.
void Cluster::start_disk(SimNode& node) {
  if (node.in_flight != 0 || node.pending.empty()) return;
  node.in_flight = node.pending.size();
  const int64_t latency = between(node.rng_disk, swarm_.disk_min, swarm_.disk_max);
  schedule_for(node, EventKind::disk_done, latency * node.disk_factor);
}

void Cluster::make_durable(SimNode& node, const consensus::Write& write) {
  const bool install = write.snapshot && write.install;
  const uint64_t chain = install ? oracles_.chosen_chain(write.snapshot->index) : 0;
  const std::string broken = node.durable.apply(write, chain);
  if (!broken.empty()) violated(node, "on disk: " + broken);
  for (const consensus::Entry& entry : write.entries) oracles_.entry_durable(node.id, entry);
  if (!install) return;
  ++installs_;
  const Index index = write.snapshot->index;
  const auto arrived = std::ranges::find_if(
      node.received, [&](const Machine& snapshot) { return snapshot.applied == index; });
  if (arrived == node.received.end()) {
    violated(node, "installs a snapshot that never arrived");
    return;
  }
  if (arrived->members != write.snapshot->members) {
    violated(node, "installs a snapshot with another configuration than arrived");
  }
  // A machine that is further already (its own store may run ahead of a lost log tail) stays.
  if (node.machine.applied < index) node.machine = *arrived;
  if (node.durable_machine.applied < index) node.durable_machine = *arrived;
  std::erase_if(node.received, [&](const Machine& snapshot) { return snapshot.applied <= index; });
  if (node.installing <= index) node.installing = {};
}

// A disk that dies does so before the batch is durable, or after it and before anyone knows.
void Cluster::on_disk_done(SimNode& node) {
  if (node.disk_stalled) {
    node.disk_waits = true;
    return;
  }
  const bool dying = burns_down(node.disk_fuse);
  if (dying && node.rng_disk.below(2) == 0) {
    die(node);
    return;
  }
  for (; node.in_flight != 0; --node.in_flight) {
    make_durable(node, node.pending.front());
    node.pending.pop_front();
  }
  hash_.add(node.durable.last_write().value);
  see(HappeningKind::durable, node.position, node.durable.last_write().value);
  if (node.amnesiac) check_admission(node);
  if (dying) {
    die(node);
    return;
  }
  if (failed()) return;
  start_disk(node);
  release_held(node);
  apply(node);
}

void Cluster::release_held(SimNode& node) {
  std::deque<consensus::Message> waiting;
  waiting.swap(node.held);
  for (consensus::Message& message : waiting) {
    if (message.after <= node.durable.last_write()) {
      send(node, std::move(message));
    } else {
      node.held.push_back(std::move(message));
    }
  }
}

// What was not acknowledged by the disk may be there or not: a prefix of it, in order, survives.
void Cluster::lose_unsynced(SimNode& node) {
  const uint64_t kept = node.rng_disk.below(node.pending.size() + 1);
  for (uint64_t count = 0; count < kept; ++count) {
    make_durable(node, node.pending.front());
    node.pending.pop_front();
  }
  if (node.amnesiac) check_admission(node);
}

// docs/decisions/0004: an ordinary member again once it holds its re-admission, durable, and
// knows it to be committed. From then on its own log counts. Should it forget that knowledge in a
// crash, it starts as an amnesiac once more.
void Cluster::check_admission(SimNode& node) {
  const auto admitted = [&](const Bytes& encoded) {
    const auto members = consensus::decode_members(encoded);
    if (!members) return false;
    const consensus::Member* self = members->find(node.id);
    return self != nullptr && self->incarnation == node.incarnation;
  };
  const Index remembered = node.durable.hard_state().committed;
  const Index known = std::max(node.alive ? node.committed : Index{}, remembered);
  Index found;
  const consensus::SnapshotMeta& snapshot = node.durable.snapshot();
  if (snapshot.index && admitted(snapshot.members)) found = snapshot.index;
  const Index last = std::min(node.durable.last(), known);
  for (Index index = node.durable.first(); index <= last && !found; ++index) {
    const LogImage::Slot* slot = node.durable.find(index);
    if (slot == nullptr) break;  // a hole: what is behind is not durably known
    if (slot->entry.kind == consensus::EntryKind::members && admitted(slot->entry.data)) {
      found = index;
    }
  }
  if (!found) return;
  if (tracing_ && node.ghost) say("n" + std::to_string(node.id.value) + " is a member again");
  node.ghost.reset();
  if (found <= remembered || found == snapshot.index) node.amnesiac = false;
}

// ---- The state machine.

const consensus::Entry* Cluster::entry_to_apply(const SimNode& node, Index index) const {
  const consensus::Entry* entry = node.replica->find(index);
  if (entry != nullptr) return entry;
  const LogImage::Slot* slot = node.durable.find(index);
  return slot == nullptr || slot->damaged ? nullptr : &slot->entry;
}

void Cluster::applied_one(SimNode& node, const consensus::Entry& entry) {
  Machine& machine = node.machine;
  const uint64_t chain = mix(machine.chain, hash_entry(shape(), entry));
  oracles_.applied(node.id, machine.applied, entry, chain);
  machine.applied = entry.index;
  machine.ballot = {entry.ballot.round, {}};  // a state machine is told the round alone
  machine.chain = chain;
  if (entry.kind == consensus::EntryKind::members) machine.members = entry.data;
  if (!entry.id || entry.id.sequence > proposals_.size()) return;
  const Proposal& proposal = proposals_[entry.id.sequence - 1];
  if (proposal.node == node.position && proposal.life == node.life) {
    oracles_.acknowledged(node.id, entry.id, entry.index);
  }
}

void Cluster::apply(SimNode& node) {
  if (failed() || node.installing || node.apply_stalled) return;
  while (node.machine.applied < node.committed && !failed()) {
    const Index next = node.machine.applied.next();
    const consensus::Entry* entry = entry_to_apply(node, next);
    if (entry == nullptr) {
      const LogImage::Slot* slot = node.durable.find(next);
      if (slot != nullptr && slot->damaged) {
        fall_over_damage(node);
        return;
      }
      // It may still be on its way to the disk; if not, it is nowhere.
      if (node.pending.empty()) {
        violated(node, "index " + std::to_string(next.value) +
                           " is committed but neither in memory nor on disk");
      }
      return;
    }
    applied_one(node, *entry);
  }
  serve_reads(node);
}

void Cluster::serve_reads(SimNode& node) {
  std::erase_if(node.waiting_reads, [&](const WaitingRead& waiting) {
    if (waiting.index > node.machine.applied) return false;
    oracles_.read_served(waiting.index);
    ++reads_served_;
    return true;
  });
}

// The machine's store reaches its disk now and then, at its own pace.
void Cluster::on_persist(SimNode& node) {
  schedule_for(node, EventKind::persist, between(node.rng_disk, 1, 2 * swarm_.persist_interval));
  persist(node, swarm_.snapshot_keep, swarm_.snapshot_threshold);
}

void Cluster::persist(SimNode& node, uint64_t keep, uint64_t threshold) {
  // An install that is not in place yet has not replaced what it stands for.
  node.durable_machine = node.machine;
  give_damage_back(node);
  if (!node.alive || failed()) return;
  const uint64_t covered = std::min(node.durable_machine.applied, node.committed).value;
  if (covered <= keep) return;
  const Index index{covered - keep};
  if (index.value < node.logical.snapshot().index.value + threshold) return;
  step(node, consensus::SnapshotTaken{index});
}

void Cluster::on_fetched(SimNode& node, uint64_t slot) {
  const consensus::IndexRange range = fetches_[slot];
  node.fetch_open = false;
  consensus::Fetched answer;
  const uint64_t count_max = 1 + node.rng_disk.below(kFetchEntriesMax);
  for (Index index = range.first; index <= range.last; ++index) {
    const LogImage::Slot* found = node.durable.find(index);
    if (found == nullptr || answer.entries.size() == count_max) break;
    if (found->damaged) {
      fall_over_damage(node);
      break;
    }
    answer.entries.push_back(found->entry);
  }
  hash_.add(answer.entries.size());
  step(node, std::move(answer));
}

// ---- Snapshots between nodes.

void Cluster::send_snapshot(SimNode& node, NodeId to) {
  const uint64_t target = to.value - 1;
  if (target >= size() || target == node.position) {
    violated(node, "streams a snapshot to nobody");
    return;
  }
  if (tracing_) {
    say("n" + std::to_string(node.id.value) + " streams snapshot " +
        std::to_string(node.machine.applied.value) + " to n" + std::to_string(to.value));
  }
  transfers_.push_back({node.position, node.life, target, false, node.machine});
  Rng& rng = link_rng(node.position, target);
  const int64_t crossings = between(rng, 1, 20);
  const int64_t duration = crossings * draw_latency(rng);
  schedule(EventKind::snapshot_crosses, duration, transfers_.size() - 1);
}

void Cluster::on_snapshot_crosses(uint64_t slot) {
  const Transfer& transfer = transfers_[slot];
  SimNode& target = nodes_[transfer.to];
  Rng& rng = link_rng(transfer.from, transfer.to);
  int64_t stored = 0;
  if (target.alive && open_link(transfer.from, transfer.to) && transfer.snapshot.applied &&
      !rng.chance_per_million(4 * quality_.loss)) {
    stored = between(target.rng_disk, 1, 4 * swarm_.disk_max) * target.disk_factor;
    schedule_for(target, EventKind::snapshot_stored, stored, slot);
  }
  // Should the receiver die or stall meanwhile, the sender hears of a failure.
  queue_.push({.time = now_ + stored + draw_latency(rng),
               .kind = EventKind::snapshot_told,
               .node = static_cast<uint8_t>(transfer.from),
               .life = transfer.from_life,
               .data = slot});
}

void Cluster::on_snapshot_stored(uint64_t slot) {
  Transfer& transfer = transfers_[slot];
  SimNode& target = nodes_[transfer.to];
  transfer.arrived = true;
  const Machine snapshot = transfer.snapshot;
  const NodeId from = nodes_[transfer.from].id;
  target.received.push_back(snapshot);
  step(target,
       consensus::SnapshotArrived{from, {snapshot.applied, snapshot.ballot, snapshot.members}});
}

void Cluster::on_snapshot_told(uint64_t slot) {
  const Transfer transfer = transfers_[slot];
  step(nodes_[transfer.from], consensus::SnapshotSent{nodes_[transfer.to].id,
                                                      transfer.snapshot.applied, transfer.arrived});
}

}  // namespace quorate::sim
