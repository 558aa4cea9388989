#include "explore/history.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::explore {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }
std::string named(NodeId node) { return "node " + number(node.value); }
std::string named(Index index) { return "index " + number(index.value); }

std::string quorum_lacks(Index index, uint64_t print, const consensus::Members& members,
                         const std::vector<const LogImage*>& disks) {
  const auto lacks = [&](const std::vector<consensus::Member>& half) -> std::string {
    size_t holders = 0;
    for (const consensus::Member& member : half) {
      const LogImage& disk = *disks[member.id.value - 1];
      const bool covered = index < disk.snapshot().index;
      holders += covered || disk.print_at(index) == print ? 1 : 0;
    }
    if (half.empty() || holders * 2 > half.size()) return {};
    return named(index) + " is committed while durable on " + number(holders) + " of " +
           number(half.size()) + " voters";
  };
  const std::string broken = lacks(members.voters);
  return broken.empty() ? lacks(members.outgoing) : broken;
}

// Nothing, or what is missing on the disks for any of the configurations to have decided.
std::string nobody_could_decide(Index known, Index index, const LogImage& log,
                                const InForce& in_force,
                                const std::vector<const LogImage*>& disks) {
  const auto lacks = [&](Index place, const consensus::Members& members) {
    return quorum_lacks(place, log.print_at(place), members, disks);
  };
  if (log.in_slots()) {  // each is decided for itself
    for (Index slot = known.next(); slot <= index; ++slot) {
      std::string lacking = lacks(slot, in_force.before);
      if (!lacking.empty() && !lacks(slot, in_force.at_index).empty()) return lacking;
    }
    return {};
  }
  std::string broken = lacks(index, in_force.before);
  if (broken.empty() || lacks(index, in_force.at_index).empty()) return {};
  // By the new members, once the old ones have decided what let them in.
  const bool in_turn = in_force.after != in_force.before && known < index &&
                       lacks(known.next(), in_force.before).empty() &&
                       lacks(index, in_force.after).empty();
  return in_turn ? std::string() : broken;
}

}  // namespace

History History::founded(const LogImage& founder) {
  History history;
  const Slot* first = founder.find(Index{1});
  CHECK(first != nullptr, "a founded log has a first entry");
  history.chosen_.push_back({first->chain, first->entry.ballot.round, 0});
  history.committed_.push_back({first->entry.ballot.round, Index{1}});
  return history;
}

std::string History::leading(NodeId node, uint64_t round, const LogImage& log) {
  for (const Lead& known : leaders_) {
    if (known.round != round) continue;
    if (known.node == node) return {};
    if (log.in_slots()) continue;  // another ballot of the same round
    return named(node) + " is the second leader of term " + number(round) + ", after " +
           named(known.node);
  }
  leaders_.push_back({round, node});
  Index required;
  for (const Furthest& known : committed_) {
    if (known.round < round) required = std::max(required, known.index);
  }
  if (required <= log.snapshot().index) return {};
  if (log.chain_at(required) == chain_of(required)) return {};
  return named(node) + " leads term " + number(round) + " without the committed entry at " +
         named(required) + " (leader completeness)";
}

std::string History::choose(const Slot& slot, bool in_slots) {
  const consensus::Entry& entry = slot.entry;
  if (!in_slots && !chosen_.empty() && entry.ballot.round < chosen_.back().round) {
    return "terms go back along the committed log at " + named(entry.index);
  }
  const uint64_t sequence = entry.id.sequence;
  if (sequence != 0 && std::ranges::find(chosen_, sequence, &Chosen::sequence) != chosen_.end()) {
    return "proposal " + number(sequence) + " is committed twice";
  }
  chosen_.push_back({slot.chain, entry.ballot.round, sequence});
  return {};
}

std::string History::committed(NodeId node, Index index, uint64_t round, const LogImage& log,
                               const InForce& in_force, const std::vector<const LogImage*>& disks) {
  if (index > log.last()) {
    return named(node) + " says that " + named(index) + " is committed, but its log ends at " +
           named(log.last());
  }
  const Index known = std::min(index, chosen());
  if (known >= log.snapshot().index && log.chain_at(known) != chain_of(known)) {
    return named(node) + " commits another log than the others up to " + named(known) +
           " (state machine safety)";
  }
  if (index <= chosen()) return {};
  std::string broken;
  if (!disks.empty()) broken = nobody_could_decide(known, index, log, in_force, disks);
  if (!broken.empty()) return named(node) + ": " + broken;
  for (Index next = known.next(); next <= index; ++next) {
    const Slot* slot = log.find(next);
    if (slot == nullptr) return named(next) + " was given back before it was committed";
    broken = choose(*slot, log.in_slots());
    if (!broken.empty()) return named(node) + ": " + broken;
  }
  const auto found = std::ranges::find(committed_, round, &Furthest::round);
  if (found != committed_.end()) {
    found->index = index;
  } else {
    committed_.push_back({round, index});
  }
  return {};
}

void History::read_asked(NodeId node, ReadId id) { reads_.push_back({id, node, chosen()}); }

std::string History::read_answered(NodeId node, ReadId id, Index index) {
  const auto found = std::ranges::find(reads_, id, &OpenRead::id);
  if (found == reads_.end()) return named(node) + " answers a read that nobody waits for";
  const Index floor = found->floor;
  reads_.erase(found);
  if (index >= floor) return {};
  return named(node) + " answers a read at " + named(index) + ", though " + named(floor) +
         " was committed before it was asked (linearizability)";
}

void History::read_refused(ReadId id) {
  std::erase_if(reads_, [&](const OpenRead& read) { return read.id == id; });
}

void History::crashed(NodeId node) {
  std::erase_if(reads_, [&](const OpenRead& read) { return read.node == node; });
}

void History::fingerprint(consensus::Fingerprint& into) const {
  into.add(chosen_.size());
  for (const Chosen& chosen : chosen_) into.add(chosen.chain);
  into.add(leaders_.size());
  consensus::FingerprintSet leaders;
  for (const Lead& lead : leaders_) {
    consensus::Fingerprint it = into.fresh();
    it.add(lead.round);
    it.add(lead.node);
    leaders.add(it);
  }
  leaders.add_to(into);
  consensus::FingerprintSet furthest;
  for (const Furthest& known : committed_) {
    consensus::Fingerprint it = into.fresh();
    it.add(known.round);
    it.add(known.index);
    furthest.add(it);
  }
  furthest.add_to(into);
  consensus::FingerprintSet reads;
  for (const OpenRead& read : reads_) {
    consensus::Fingerprint it = into.fresh();
    it.add(read.id.value);
    it.add(read.node);
    it.add(read.floor);
    reads.add(it);
  }
  reads.add_to(into);
}

namespace {

// "Paxos Made Simple", P2: a ballot proposes one value for a slot.
std::string slots_match(NodeId one, const LogImage& log, NodeId other, const LogImage& other_log) {
  for (Index index = std::min(log.last(), other_log.last()); index; index = index.previous()) {
    const Slot* slot = log.find(index);
    const Slot* there = other_log.find(index);
    if (slot == nullptr || there == nullptr || slot->entry.ballot != there->entry.ballot) continue;
    if (consensus::same_decision(log.shape(), slot->entry, there->entry)) continue;
    return named(one) + " and " + named(other) + " have accepted different values at " +
           named(index) + " in one ballot of round " + number(slot->entry.ballot.round);
  }
  return {};
}

}  // namespace

std::string logs_match(NodeId one, const LogImage& log, NodeId other, const LogImage& other_log) {
  if (log.in_slots()) return slots_match(one, log, other, other_log);
  for (Index index = std::min(log.last(), other_log.last());; index = index.previous()) {
    const Slot* slot = log.find(index);
    const Slot* there = other_log.find(index);
    if (slot == nullptr || there == nullptr) return {};
    if (slot->entry.ballot != there->entry.ballot) continue;
    if (slot->chain == there->chain) return {};
    return "the logs of " + named(one) + " and " + named(other) + " differ up to " + named(index) +
           ", where both hold an entry of term " + number(slot->entry.ballot.round) +
           " (log matching)";
  }
}

}  // namespace quorate::explore
