// world/real/listener.h: one listening socket and the connections that arrive on it.
//
// Running out of descriptors does not end it: it looks away for a moment and goes on.
#pragma once

#include <functional>

#include "world/real/address.h"
#include "world/real/event_loop.h"

namespace quorate::world {

class Listener final : public Poller::Handler {
 public:
  // Owns the descriptors it hands out no longer than the call.
  using Accepted = std::function<void(int descriptor, const SocketAddress& from)>;
  using Complain = std::function<void(const std::string& text)>;

  Listener(EventLoop& loop, int descriptor, Accepted accepted, Complain complain);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener() override;
  void start();
  void on_ready(bool readable, bool writable, bool broken) override;

 private:
  void look_away();

  EventLoop& loop_;
  int descriptor_;
  Accepted accepted_;
  Complain complain_;
  TimerId timer_ = 0;
};

}  // namespace quorate::world
