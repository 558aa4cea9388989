// sim/event_queue.h: what will happen, in the order in which it will happen.
//
// A binary heap keyed by time; equal times are ordered by a number that hangs on the seed, the
// time and the event, so that every order of simultaneous events is tried by some seed, and then
// by sequence. It is no draw from a stream: an event more or less disturbs no other, and a run
// replayed from its written-down actions is the same run. Time skips from event to event.
#pragma once

#include <cstdint>
#include <vector>

#include "base/types.h"

namespace quorate::sim {

enum class EventKind : uint8_t {
  deliver,           // data: message slot
  wake,              // the replica's deadline
  turn_end,          // take what a batch of steps produced
  disk_done,         // the batch in flight is durable
  apply,             // the state machine applies what is committed
  persist,           // the state machine's own store reaches its disk
  fetched,           // data: fetch slot
  snapshot_crosses,  // data: transfer slot; the last byte is at the receiver, if it gets there
  snapshot_stored,   // data: transfer slot; durable at the receiver
  snapshot_told,     // data: transfer slot; the sender learns how it ended
  disconnect,        // data: peer
  damage_found,      // somebody reads what has rotted
  client,            // the workload acts
  fault,             // the nemesis acts
  restart,
  resume,
  heal,     // data: fault number
  recover,  // data: fault number; network or disk becomes ordinary again
  script,   // data: line of the scenario
  end,      // of the calamity
  check,    // the end phase looks
};

struct Scheduled {
  int64_t time = 0;  // nanoseconds of true time
  uint64_t sequence = 0;
  uint32_t tie = 0;
  EventKind kind = EventKind::client;
  uint8_t node = 0;   // position in the cluster, not an id
  uint64_t life = 0;  // of the node when this was scheduled; 0: any
  uint64_t data = 0;
};

class EventQueue {
 public:
  explicit EventQueue(uint64_t seed) : seed_(seed) {}
  void push(Scheduled event);
  Scheduled pop();
  bool empty() const { return heap_.empty(); }
  size_t size() const { return heap_.size(); }

 private:
  uint64_t seed_;
  uint64_t sequence_ = 0;
  std::vector<Scheduled> heap_;
};

}  // namespace quorate::sim
