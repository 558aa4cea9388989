// node/sequence_table.h: a table by numbers that only grow, most of which go in about the order
// in which they came.
//
// A ring of slots for the newest numbers: a look-up is one access, nothing is allocated for an
// entry, and neighbours in time are neighbours in memory. What stays while more numbers have come
// and gone than the ring has slots moves to a map, so the room is in proportion to the entries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace quorate::node {

template <class Value>
class SequenceTable {
 public:
  size_t size() const { return left_behind_.size() + in_ring_; }
  bool empty() const { return size() == 0; }

  // Pointers hold until the next add() or erase().
  Value* find(uint64_t sequence) {
    if (sequence >= first_ && sequence < end_) {
      std::optional<Value>& slot = slot_of(sequence);
      return slot ? &*slot : nullptr;
    }
    const auto place = left_behind_.find(sequence);
    return place == left_behind_.end() ? nullptr : &place->second;
  }
  bool contains(uint64_t sequence) const {
    return const_cast<SequenceTable*>(this)->find(sequence) != nullptr;
  }

  void add(uint64_t sequence, Value value) {
    CHECK(sequence >= end_, "sequences only grow");
    if (slots_.empty()) slots_.resize(kSlotsFirst);
    while (in_ring_ > 0 && sequence - first_ >= slots_.size()) make_room();
    if (in_ring_ == 0) first_ = sequence;
    end_ = sequence + 1;
    slot_of(sequence).emplace(std::move(value));
    ++in_ring_;
  }

  void erase(uint64_t sequence) {
    if (sequence < first_ || sequence >= end_) {
      left_behind_.erase(sequence);
      return;
    }
    std::optional<Value>& slot = slot_of(sequence);
    if (!slot) return;
    slot.reset();
    --in_ring_;
    step_to_first();
  }

  // In order; `visit(sequence, value)` may erase the entry it sees, and no other.
  template <class Visit>
  void for_each(Visit visit) {
    for (auto place = left_behind_.begin(); place != left_behind_.end();) {
      const auto current = place++;
      visit(current->first, current->second);
    }
    for (uint64_t sequence = first_; sequence < end_; ++sequence) {
      if (std::optional<Value>& slot = slot_of(sequence)) visit(sequence, *slot);
    }
  }

 private:
  static constexpr size_t kSlotsFirst = 64;  // of a member that nobody proposes at

  std::optional<Value>& slot_of(uint64_t sequence) {
    return slots_[static_cast<size_t>(sequence) & (slots_.size() - 1)];
  }
  // Empty slots at the front belong to nobody; the end never moves back.
  void step_to_first() {
    while (first_ < end_ && !slot_of(first_)) ++first_;
  }
  void make_room() {
    if (in_ring_ < slots_.size() / 2) {
      left_behind_.emplace_hint(left_behind_.end(), first_, std::move(*slot_of(first_)));
      return erase(first_);
    }
    std::vector<std::optional<Value>> before(slots_.size() * 2);
    before.swap(slots_);
    for (uint64_t each = first_; each < end_; ++each) {
      slot_of(each) = std::move(before[static_cast<size_t>(each) & (before.size() - 1)]);
    }
  }

  // Invariant: entries in [first_, end_) are in the ring, older ones in the map; the first slot
  // is taken unless the ring is empty.
  std::vector<std::optional<Value>> slots_;  // a power of two of them
  uint64_t first_ = 0;
  uint64_t end_ = 0;
  size_t in_ring_ = 0;
  std::map<uint64_t, Value> left_behind_;
};

}  // namespace quorate::node
