#include "world/sim/event_queue.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/check.h"

namespace quorate::world {

bool EventQueue::later(const Row& left, const Row& right) {
  return std::tie(left.when, left.tie, left.sequence) >
         std::tie(right.when, right.tie, right.sequence);
}

void EventQueue::add(Time when, Task action) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot] = std::move(action);
  rows_.push_back({when, rng_.next(), next_sequence_++, slot});
  std::push_heap(rows_.begin(), rows_.end(), later);
}

Task EventQueue::take(Time& when, uint64_t& sequence) {
  CHECK(!rows_.empty(), "an event is taken only when there is one");
  std::pop_heap(rows_.begin(), rows_.end(), later);
  const Row row = rows_.back();
  rows_.pop_back();
  when = row.when;
  sequence = row.sequence;
  free_slots_.push_back(row.slot);
  return std::exchange(slots_[row.slot], nullptr);
}

}  // namespace quorate::world
