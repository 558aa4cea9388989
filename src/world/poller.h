// world/poller.h: readiness of file descriptors, for rooms that own sockets (front/, world/real).
#pragma once

#include <cstdint>

#include "base/result.h"

namespace quorate::world {

class Poller {
 public:
  class Handler {
   public:
    virtual ~Handler() = default;
    virtual void on_ready(bool readable, bool writable, bool broken) = 0;
  };
  virtual ~Poller() = default;
  // Level-triggered. The handler must outlive its registration; forget() during a callback is
  // allowed and guarantees that no further callback comes, even one already collected.
  virtual Result<void> watch(int descriptor, bool read, bool write, Handler& handler) = 0;
  virtual void change(int descriptor, bool read, bool write) = 0;
  virtual void forget(int descriptor) = 0;
};

}  // namespace quorate::world
