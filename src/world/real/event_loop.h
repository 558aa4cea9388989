// world/real/event_loop.h: the one thread of a node: epoll, timers, posted tasks, disk lanes.
//
// A turn: collect ready descriptors, due timers and posted tasks, run them, then run the
// turn-end hooks. Nothing here blocks; blocking work runs on one thread per disk lane.
#pragma once

#include <memory>

#include "world/executor.h"
#include "world/poller.h"

namespace quorate::world {

class EventLoop : public Executor, public Poller {
 public:
  virtual void run() = 0;   // until stop()
  virtual void stop() = 0;  // any thread, also a signal handler
  // Turns begun so far. A hook that has run in this turn can tell that it must be run again.
  virtual uint64_t turns() const = 0;
};

std::unique_ptr<EventLoop> make_event_loop();

}  // namespace quorate::world
