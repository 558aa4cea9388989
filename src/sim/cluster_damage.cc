// What disks lose while nobody looks, as far as the cluster must stand it: every entry stays
// whole on enough members (the fault atlas), so that a cluster that does not come back is wrong.
#include <algorithm>

#include "sim/cluster.h"

namespace quorate::sim {

// Whether the member could give this entry back, or the state it led to. In slots it must also know
// that this is the value: of one that it accepted earlier, and does not know as decided, nobody can
// tell that what was accepted later and is lost was the same.
bool Cluster::whole_at(const SimNode& node, Index index, const LogImage::Slot& lost) const {
  if (index <= node.durable.snapshot().index) return node.durable_machine.applied >= index;
  const LogImage::Slot* slot = node.durable.find(index);
  if (slot == nullptr || slot->print != lost.print || slot->damaged) return false;
  const bool slots = shape() == consensus::LogShape::slots;
  return !slots || index <= node.durable.hard_state().committed ||
         slot->entry.ballot >= lost.entry.ballot;
}

// In slots those who have lost an acceptance there may have decided it, whatever the others hold:
// values differ by ballot, and nothing but the ballots is left. With this member they must be no
// quorum.
bool Cluster::losers_may_have_decided(const SimNode& node, Index index) const {
  if (shape() != consensus::LogShape::slots) return false;
  const auto losers = std::ranges::count_if(nodes_, [&](const SimNode& other) {
    const LogImage::Slot* slot = other.durable.find(index);
    return other.position == node.position || (slot != nullptr && slot->damaged);
  });
  const size_t voters = oracles_.chosen_members().voters.size();
  return static_cast<size_t>(losers) * 2 > (voters == 0 ? nodes_.size() : voters);
}

// Nobody may have been told of it, and the others can go on without this member.
bool Cluster::only_here(const SimNode& node, Index index, uint64_t print) const {
  if (index <= oracles_.chosen() || (nodes_.size() - 1) * 2 <= nodes_.size()) return false;
  if (losers_may_have_decided(node, index)) return false;
  return std::ranges::none_of(nodes_, [&](const SimNode& other) {
    if (other.position == node.position) return false;
    const auto holds = [&](const LogImage& log) {
      const LogImage::Slot* slot = log.find(index);
      return slot != nullptr && slot->print == print;
    };
    return holds(other.durable) || holds(other.logical);
  });
}

// A lost memory and a lost entry together can be more than the others can make good.
bool Cluster::memory_lost() const {
  return std::ranges::any_of(nodes_, [](const SimNode& node) {
    return node.amnesiac || node.ghost ||
           node.durable_machine.applied < node.durable.snapshot().index;
  });
}

bool Cluster::damage_anywhere() const {
  return std::ranges::any_of(nodes_,
                             [](const SimNode& node) { return !node.durable.damaged().empty(); });
}

bool Cluster::may_rot(uint64_t position, Index index) const {
  const SimNode& node = nodes_[position];
  const LogImage::Slot* slot = node.durable.find(index);
  if (slot == nullptr || slot->damaged || memory_lost()) return false;
  const auto copies = static_cast<uint64_t>(std::ranges::count_if(nodes_, [&](const auto& other) {
    return other.position != position && whole_at(other, index, *slot);
  }));
  return copies >= swarm_.rot_copies || only_here(node, index, slot->print);
}

bool Cluster::rot(uint64_t position, Index first, Index last) {
  SimNode& node = nodes_[position];
  bool some = false;
  for (Index index = first; index <= last; ++index) some = some || may_rot(position, index);
  if (!some) return false;
  record([&] {
    return "rot " + named(position) + " " + std::to_string(first.value) + " " +
           std::to_string(last.value);
  });
  for (Index index = first; index <= last; ++index) {
    if (!may_rot(position, index)) continue;
    if (tracing_) say(named(position) + " ROT at " + std::to_string(index.value));
    const LogImage::Slot* known = node.logical.find(index);
    if (known != nullptr && known->same_as(*node.durable.find(index))) {
      node.logical.damage(index);
    }
    node.durable.damage(index);
    ++rots_;
    hash_.add(index.value);
  }
  // Somebody reads it sooner or later, if the member does not fall over it at its next start.
  if (node.alive) {
    schedule_for(node, EventKind::damage_found,
                 between(node.rng_disk, 0, 8 * swarm_.election_timeout));
  }
  return true;
}

// Once for each time that the replica has been told: it may be busy with it already.
void Cluster::fall_over_damage(SimNode& node) {
  if (std::exchange(node.damage_seen, true)) return;
  schedule_for(node, EventKind::damage_found, swarm_.disk_max);
}

void Cluster::on_damage_found(SimNode& node) {
  node.damage_seen = false;
  consensus::Damaged found;
  for (const IndexRange& range : node.logical.damaged()) {
    for (Index index = range.first; index <= range.last; ++index) {
      const LogImage::Slot* slot = node.durable.find(index);
      if (slot == nullptr || !slot->damaged) continue;
      if (slot->same_as(*node.logical.find(index))) found.ranges.push_back({index, index});
    }
  }
  if (!found.ranges.empty()) step(node, std::move(found));
}

// The state machine covers what the log has lost: no need to get it back.
void Cluster::give_damage_back(SimNode& node) {
  const consensus::Status status = node.replica->status();
  if (status.damaged == 0 || node.durable_machine.applied < status.damaged_first) return;
  step(node, consensus::SnapshotTaken{std::min(node.durable_machine.applied, node.committed)});
}

bool Cluster::may_lose_store(uint64_t position) const {
  const Index needed = nodes_[position].durable.snapshot().index;
  if (memory_lost() || damage_anywhere()) return false;
  return std::ranges::any_of(nodes_, [&](const SimNode& other) {
    return other.position != position && other.durable_machine.applied >= needed;
  });
}

void Cluster::lose_store(uint64_t position) {
  SimNode& node = nodes_[position];
  record([&] { return "lose_store " + named(position); });
  if (node.alive) die(node);
  if (tracing_) say(named(position) + " LOST ITS STORE");
  ++stores_lost_;
  hash_.add(stores_lost_);
  node.durable_machine = {};
  node.durable_machine.members = node.bootstrap;
  node.machine = node.durable_machine;
}

}  // namespace quorate::sim
