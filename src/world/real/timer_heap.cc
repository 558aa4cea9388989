#include "world/real/timer_heap.h"

#include <algorithm>
#include <utility>

namespace quorate::world {
namespace {

// Below this many rows a rebuild saves nothing worth its pass.
constexpr size_t kRebuildRowsMin = 64;

// A TimerId is the slot (plus one, so that it is never 0) and the generation of its use.
uint32_t slot_of(TimerId timer) { return static_cast<uint32_t>(timer & 0xffffffffU) - 1; }
uint32_t generation_of(TimerId timer) { return static_cast<uint32_t>(timer >> 32U); }
TimerId make_id(uint32_t slot, uint32_t generation) {
  return (TimerId{generation} << 32U) | (TimerId{slot} + 1);
}

}  // namespace

bool TimerHeap::later(const Row& left, const Row& right) {
  return left.when != right.when ? left.when > right.when : left.sequence > right.sequence;
}

bool TimerHeap::live(TimerId timer) const {
  const uint32_t slot = slot_of(timer);
  return slot < slots_.size() && slots_[slot].used &&
         slots_[slot].generation == generation_of(timer);
}

TimerId TimerHeap::add(Time when, Task task) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  slots_[slot].task = std::move(task);
  slots_[slot].used = true;
  const TimerId id = make_id(slot, slots_[slot].generation);
  rows_.push_back({when, next_sequence_++, id});
  std::push_heap(rows_.begin(), rows_.end(), later);
  ++live_;
  return id;
}

void TimerHeap::release(TimerId timer) {
  const uint32_t slot = slot_of(timer);
  slots_[slot].used = false;
  ++slots_[slot].generation;
  free_slots_.push_back(slot);
  --live_;
}

void TimerHeap::cancel(TimerId timer) {
  if (!live(timer)) return;
  // Destroyed last: what the task captured may call back here.
  const Task dropped = std::exchange(slots_[slot_of(timer)].task, nullptr);
  release(timer);
  rebuild_if_mostly_dead();
}

void TimerHeap::rebuild_if_mostly_dead() {
  if (rows_.size() < kRebuildRowsMin || rows_.size() < 2 * live_) return;
  std::erase_if(rows_, [this](const Row& row) { return !live(row.id); });
  std::make_heap(rows_.begin(), rows_.end(), later);
}

void TimerHeap::drop_dead_front() {
  while (!rows_.empty() && !live(rows_.front().id)) {
    std::pop_heap(rows_.begin(), rows_.end(), later);
    rows_.pop_back();
  }
}

Time TimerHeap::next_due() {
  drop_dead_front();
  return rows_.empty() ? kNever : rows_.front().when;
}

bool TimerHeap::take_due(Time now, Task& task) {
  if (next_due() > now || rows_.empty()) return false;
  const TimerId id = rows_.front().id;
  std::pop_heap(rows_.begin(), rows_.end(), later);
  rows_.pop_back();
  task = std::exchange(slots_[slot_of(id)].task, nullptr);
  release(id);
  return true;
}

}  // namespace quorate::world
