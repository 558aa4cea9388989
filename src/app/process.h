// app/process.h: what a serving process asks of its operating system.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "world/poller.h"

namespace quorate::app {

// Few malloc arenas (resident memory counts), no SIGPIPE, as many descriptors as allowed.
// Must run before any thread exists; it also blocks SIGTERM and SIGINT for signal_watch().
void prepare_process();

class SignalWatch {
 public:
  virtual ~SignalWatch() = default;
};

// Calls `on_stop` on the first SIGTERM or SIGINT. A second one ends the process at once.
Result<std::unique_ptr<SignalWatch>> watch_stop_signals(world::Poller& poller,
                                                        std::function<void()> on_stop);

// Ends the process with kExitOk when it is still there after `milliseconds`: what is durable is
// in the log, so a slow close of the store may be cut short.
void end_process_after(int milliseconds);

}  // namespace quorate::app
