// world/executor.h: time and deferred work, as one thread of a node sees them.
//
// Everything a node does runs as tasks of one executor, one at a time. The real one is an epoll
// loop (world/real/event_loop.h), the simulated one a queue ordered by simulated time
// (world/sim/). Work that blocks on a disk runs beside it, in order, on a disk lane.
#pragma once

#include <functional>

#include "base/types.h"

namespace quorate::world {

using Task = std::move_only_function<void()>;
using TimerId = uint64_t;  // never 0

// Lanes run their jobs strictly in order and independently of each other. `log` carries the
// write-ahead log's writes and syncs; `background` carries snapshots, file copies and the like.
enum class DiskLane : uint8_t { log, background };

class Executor {
 public:
  virtual ~Executor() = default;
  virtual Time now() const = 0;                  // monotonic, does not jump with the wall clock
  virtual int64_t wall_nanoseconds() const = 0;  // since 1970; for people, never for safety
  virtual void post(Task task) = 0;  // run soon, after the current task; any thread may call
  virtual TimerId at(Time when, Task task) = 0;
  virtual void cancel(TimerId timer) = 0;  // a timer that has fired or is unknown is ignored
  // Runs `work` on the lane, then `done` back here. After a crash neither may run.
  virtual void run_blocking(DiskLane lane, Task work, Task done) = 0;
  // Called at the end of every turn (a batch of ready tasks), in the order of registration:
  // the place where what one turn gathered is written, sent and answered together.
  virtual void at_turn_end(std::function<void()> hook) = 0;
};

}  // namespace quorate::world
