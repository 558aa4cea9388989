// front/grpc/listener.h: one listening socket. When the process has no descriptor left, the
// connection is taken with a spare one and closed at once, so that the loop does not spin.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "world/poller.h"

namespace quorate::front::grpc {

class Listener final : public world::Poller::Handler {
 public:
  using Accepted = std::function<void(int descriptor)>;
  // host:port, [IPv6]:port or :port (every interface); the port may be 0.
  static Result<std::unique_ptr<Listener>> open(world::Poller& poller, const std::string& address,
                                                Accepted accepted);
  ~Listener() override;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  uint16_t port() const { return port_; }
  void on_ready(bool readable, bool writable, bool broken) override;

 private:
  Listener(world::Poller& poller, int descriptor, uint16_t port, Accepted accepted);
  bool shed_one();

  world::Poller& poller_;
  int descriptor_;
  int spare_;
  uint16_t port_;
  Accepted accepted_;
};

struct HostPort {
  std::string host;  // empty: every interface
  std::string port;
};
Result<HostPort> split_address(const std::string& address);

}  // namespace quorate::front::grpc
