// world/sim/event_queue.h: what will happen in a simulated world, by time.
//
// Events of one instant come in an order drawn at random, since nothing in the real world orders
// them either; whoever needs an order between two events gives them different instants.
#pragma once

#include <cstdint>
#include <vector>

#include "base/rng.h"
#include "world/executor.h"

namespace quorate::world {

class EventQueue {
 public:
  explicit EventQueue(Rng rng) : rng_(rng) {}
  void add(Time when, Task action);
  bool empty() const { return rows_.empty(); }
  Time next_time() const { return rows_.empty() ? kNever : rows_.front().when; }
  // Takes the first event; the queue must not be empty.
  Task take(Time& when, uint64_t& sequence);

 private:
  struct Row {
    Time when;
    uint64_t tie;
    uint64_t sequence;
    uint32_t slot;
  };
  static bool later(const Row& left, const Row& right);

  Rng rng_;
  std::vector<Row> rows_;
  std::vector<Task> slots_;  // so that the heap moves small rows only
  std::vector<uint32_t> free_slots_;
  uint64_t next_sequence_ = 0;
};

}  // namespace quorate::world
