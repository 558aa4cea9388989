#include "app/client_threads.h"

#include <csignal>

namespace quorate::app {

ClientThreads::ClientThreads(size_t count) {
  for (size_t made = 0; made < count; ++made) loops_.push_back(world::make_event_loop());
}

std::vector<front::grpc::ClientLoop> ClientThreads::loops() const {
  std::vector<front::grpc::ClientLoop> made;
  for (const auto& loop : loops_) made.push_back({loop.get(), loop.get()});
  return made;
}

void ClientThreads::start() {
  for (const auto& loop : loops_) {
    threads_.emplace_back([&loop = *loop] {
      // Signals belong to the node's thread.
      sigset_t all;
      sigfillset(&all);
      pthread_sigmask(SIG_BLOCK, &all, nullptr);
      loop.run();
    });
  }
}

void ClientThreads::stop() {
  for (const auto& loop : loops_) loop->post([&loop = *loop] { loop.stop(); });
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace quorate::app
