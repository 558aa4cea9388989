// app/client_threads.h: the threads on which connections of clients are served, if any are wanted.
#pragma once

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "front/grpc/ferry.h"
#include "world/real/event_loop.h"

namespace quorate::app {

class ClientThreads {
 public:
  explicit ClientThreads(size_t count);
  ~ClientThreads() { stop(); }
  ClientThreads(const ClientThreads&) = delete;
  ClientThreads& operator=(const ClientThreads&) = delete;

  std::vector<front::grpc::ClientLoop> loops() const;
  void start();
  // What was handed to them before is done and sent first, as far as clients take it.
  void stop();

 private:
  std::vector<std::unique_ptr<world::EventLoop>> loops_;
  std::vector<std::thread> threads_;
};

}  // namespace quorate::app
