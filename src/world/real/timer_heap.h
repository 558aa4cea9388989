// world/real/timer_heap.h: timers in a binary heap, cancelled in constant time.
//
// A cancelled timer's task is destroyed at once; its heap row stays until it surfaces, and the
// heap is rebuilt when more than half of it is such rows, so that memory follows the number of
// live timers. Timers of one instant fire in the order they were set.
#pragma once

#include <cstdint>
#include <vector>

#include "world/executor.h"

namespace quorate::world {

class TimerHeap {
 public:
  TimerId add(Time when, Task task);
  void cancel(TimerId timer);
  // When the next live timer is due; kNever if there is none.
  Time next_due();
  // Takes the first timer due at `now`; false if there is none.
  bool take_due(Time now, Task& task);
  size_t size() const { return live_; }

 private:
  struct Row {
    Time when;
    uint64_t sequence;
    TimerId id;
  };
  struct Slot {
    Task task;
    uint32_t generation = 1;
    bool used = false;
  };
  static bool later(const Row& left, const Row& right);
  bool live(TimerId timer) const;
  void release(TimerId timer);
  void drop_dead_front();
  void rebuild_if_mostly_dead();

  std::vector<Row> rows_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  uint64_t next_sequence_ = 0;
  size_t live_ = 0;
};

}  // namespace quorate::world
