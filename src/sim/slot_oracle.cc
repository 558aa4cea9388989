#include "sim/slot_oracle.h"

#include <algorithm>

#include "consensus/quorum.h"
#include "sim/hash.h"

namespace quorate::sim {
namespace {

std::string place_of(const consensus::Entry& entry) {
  return "slot " + std::to_string(entry.index.value);
}

std::string name_of(const consensus::Ballot& ballot) {
  return std::to_string(ballot.round) + "." + std::to_string(ballot.node.value);
}

}  // namespace

SlotOracle::Acceptance& SlotOracle::at(Slot& slot, const consensus::Ballot& ballot,
                                       uint64_t print) {
  const auto place = std::ranges::lower_bound(slot.acceptances, ballot, {}, &Acceptance::ballot);
  if (place != slot.acceptances.end() && place->ballot == ballot) return *place;
  return *slot.acceptances.insert(place, {ballot, print, {}});
}

std::string SlotOracle::asked(const consensus::Entry& entry) {
  if (entry.index <= decided_) return {};  // a copy of what is decided
  Slot& slot = slots_[entry.index];
  const uint64_t print = hash_decision(entry);
  if (at(slot, entry.ballot, print).print != print) {
    return place_of(entry) + " has two values in ballot " + name_of(entry.ballot);
  }
  if (slot.chosen && entry.ballot > slot.chosen_in && print != slot.chosen_print) {
    return place_of(entry) + " was chosen in ballot " + name_of(slot.chosen_in) + ", but ballot " +
           name_of(entry.ballot) + " proposes another value";
  }
  return {};
}

void SlotOracle::accepted(NodeId node, const consensus::Entry& entry,
                          const consensus::Members* members) {
  if (entry.index <= decided_) return;
  Slot& slot = slots_[entry.index];
  Acceptance& acceptance = at(slot, entry.ballot, hash_decision(entry));
  if (std::ranges::find(acceptance.nodes, node) != acceptance.nodes.end()) return;
  acceptance.nodes.push_back(node);
  if (members == nullptr || !consensus::decides(*members, acceptance.nodes)) return;
  if (slot.chosen && slot.chosen_in <= entry.ballot) return;
  slot.chosen = true;
  slot.chosen_in = entry.ballot;
  slot.chosen_print = acceptance.print;
}

std::string SlotOracle::undecided(const consensus::Entry& entry,
                                  const consensus::Members& members) const {
  const auto slot = slots_.find(entry.index);
  const uint64_t print = hash_decision(entry);
  size_t most = 0;
  if (slot != slots_.end()) {
    for (const Acceptance& acceptance : slot->second.acceptances) {
      if (acceptance.print != print) continue;
      if (consensus::decides(members, acceptance.nodes)) return {};
      most = std::max(most, acceptance.nodes.size());
    }
  }
  return place_of(entry) + " committed while accepted in one ballot by no more than " +
         std::to_string(most) + " members";
}

void SlotOracle::decided(Index index) {
  decided_ = std::max(decided_, index);
  slots_.erase(slots_.begin(), slots_.upper_bound(index));
}

}  // namespace quorate::sim
