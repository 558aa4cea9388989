#include "world/real/listener.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace quorate::world {
namespace {

// Connections taken in one turn, so that a flood of them leaves time for the rest.
constexpr int kAcceptsPerTurnMax = 16;
// Without free descriptors a level-triggered listener would spin; meanwhile some may be closed.
constexpr Duration kDescriptorsBackOff = std::chrono::milliseconds(100);

}  // namespace

Listener::Listener(EventLoop& loop, int descriptor, Accepted accepted, Complain complain)
    : loop_(loop),
      descriptor_(descriptor),
      accepted_(std::move(accepted)),
      complain_(std::move(complain)) {}

Listener::~Listener() {
  loop_.cancel(timer_);
  loop_.forget(descriptor_);
  ::close(descriptor_);
}

void Listener::start() {
  const Result<void> watched = loop_.watch(descriptor_, true, false, *this);
  CHECK(watched.has_value(), "a listening socket can be watched");
}

void Listener::look_away() {
  loop_.change(descriptor_, false, false);
  timer_ = loop_.at(loop_.now() + kDescriptorsBackOff, [this] {
    timer_ = 0;
    loop_.change(descriptor_, true, false);
  });
}

void Listener::on_ready(bool /*readable*/, bool /*writable*/, bool /*broken*/) {
  for (int round = 0; round < kAcceptsPerTurnMax; ++round) {
    SocketAddress from;
    from.size = sizeof from.storage;
    auto* generic = reinterpret_cast<sockaddr*>(&from.storage);
    const int descriptor =
        ::accept4(descriptor_, generic, &from.size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      accepted_(descriptor, from);
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      complain_(std::string("cannot accept a connection of a peer: ") + std::strerror(errno) +
                "; raise the limit on open files (ulimit -n)");
      return look_away();
    }
    // Everything else concerns the one connection that did not come to be.
    if (errno == EAGAIN || errno == EWOULDBLOCK) return;
  }
}

}  // namespace quorate::world
