// world/real/dialer.h: when and where to try to reach one peer.
//
// Addresses are tried in turn, each with every socket address its name stands for; after a
// whole round without success the dialer waits, longer each time. Names are looked up on the
// background lane, and again only after what they stood for did not answer.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/rng.h"
#include "world/real/address.h"
#include "world/real/event_loop.h"

namespace quorate::world {

class Dialer {
 public:
  // `name`: the address as it was given, which `address` is one meaning of.
  using Connect = std::function<void(const SocketAddress& address, const std::string& name)>;
  using Complain = std::function<void(const std::string& text)>;

  Dialer(EventLoop& loop, Rng rng, Connect connect, Complain complain);
  Dialer(const Dialer&) = delete;
  Dialer& operator=(const Dialer&) = delete;
  ~Dialer();

  // Replaces what was known; an attempt under way goes on.
  void set_addresses(std::vector<std::string> addresses);
  // Tries soon, unless a trial is pending or under way. Every connect() is answered by one of
  // succeeded() and failed(); after succeeded(), failed() says that the connection is lost.
  void start();
  void succeeded();
  void failed();
  // For good: nothing is called after this.
  void stop();

 private:
  enum class State : uint8_t { idle, waiting, resolving, connecting, connected };
  void wait(Duration delay);
  void dial_next();
  void look_up(const std::string& address);
  void resolved(const std::string& address, Result<std::vector<SocketAddress>> found);
  Duration next_back_off();

  EventLoop& loop_;
  Rng rng_;
  Connect connect_;
  Complain complain_;
  State state_ = State::idle;
  std::vector<std::string> addresses_;
  std::map<std::string, std::vector<SocketAddress>> known_;
  size_t address_ = 0;  // position of the address being tried
  size_t target_ = 0;   // position within what it stands for
  Duration back_off_{};
  Time connected_at_;
  TimerId timer_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace quorate::world
