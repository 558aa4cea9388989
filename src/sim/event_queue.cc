#include "sim/event_queue.h"

#include <algorithm>

#include "base/check.h"
#include "sim/hash.h"

namespace quorate::sim {
namespace {

bool later(const Scheduled& left, const Scheduled& right) {
  if (left.time != right.time) return left.time > right.time;
  if (left.tie != right.tie) return left.tie > right.tie;
  return left.sequence > right.sequence;
}

}  // namespace

void EventQueue::push(Scheduled event) {
  const uint64_t what = static_cast<uint64_t>(event.kind) << 8U | event.node;
  event.tie =
      static_cast<uint32_t>(mix(mix(seed_, static_cast<uint64_t>(event.time)), what) >> 32U);
  event.sequence = ++sequence_;
  heap_.push_back(event);
  std::ranges::push_heap(heap_, later);
}

Scheduled EventQueue::pop() {
  CHECK(!heap_.empty(), "only a queue with events can give one");
  std::ranges::pop_heap(heap_, later);
  const Scheduled event = heap_.back();
  heap_.pop_back();
  return event;
}

}  // namespace quorate::sim
