// front/grpc/ferry.h: connections of clients on a thread of their own (docs/decisions/0037).
//
// The client's thread has a loop and a whole server on it: sockets, TLS, HTTP, JSON. Its methods
// only pass complete messages on (far_end.h) to the node's loop, where the handlers run against
// calls which look to them like any other (near_end.h). Both sides hand over one batch per turn.
// Towards the node a bounded number of bytes is on the way: a client's thread that has handed over
// more waits, reads no socket, and so makes its clients wait. Towards the clients the bounds of the
// handlers hold as ever, since what has crossed counts as unsent until the client has taken it.
#pragma once

#include <memory>
#include <vector>

#include "front/grpc/server.h"

namespace quorate::front::grpc {

// A thread's loop. It runs only after the ferry was made, and has ended before the ferry goes.
struct ClientLoop {
  world::Executor* executor = nullptr;
  world::Poller* poller = nullptr;
};

// Connections of one client's thread.
class Ferry {
 public:
  virtual ~Ferry() = default;
  // ---- On the node's thread.
  virtual void take_over(int descriptor, std::unique_ptr<world::SecureChannel> channel,
                         const Door& door) = 0;
  virtual void drain() = 0;
  // All calls are over for their handlers. The node's loop takes no turn any more.
  virtual void close_calls() = 0;
  // From now on the client's thread waits for nobody, so that it can end.
  virtual void let_go() = 0;
};

// A ferry for each loop. Without loops it is nothing, and the server keeps its clients; else what
// that accepts goes to them in turn.
class Ferries {
 public:
  // `server` runs on the node's loop, `node`, and has all its methods by now. It lives as long as
  // this and accepts no more when this goes. Its maxima are divided among the ferries.
  Ferries(Server& server, world::Executor& node, const std::vector<ClientLoop>& loops);
  void drain();
  void close_calls();
  void let_go();

 private:
  std::vector<std::unique_ptr<Ferry>> ferries_;
  size_t next_ = 0;
};

}  // namespace quorate::front::grpc
