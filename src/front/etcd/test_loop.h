// front/etcd/test_loop.h: for tests: a real event loop in a thread of its own.
//
// With QUORATE_TEST_CLIENT_THREADS=N in the environment there are N more, for clients: the same
// tests then run with connections on threads of their own.
#pragma once

#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "front/grpc/ferry.h"
#include "world/real/event_loop.h"

namespace quorate::front::etcd {

class LoopThread {
 public:
  LoopThread() : loop_(world::make_event_loop()) {
    const char* wanted = std::getenv("QUORATE_TEST_CLIENT_THREADS");
    const int count = wanted == nullptr ? 0 : std::atoi(wanted);
    for (int made = 0; made < count; ++made) client_loops_.push_back(world::make_event_loop());
  }
  ~LoopThread() { stop(); }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  world::EventLoop& operator*() { return *loop_; }
  world::EventLoop* operator->() { return loop_.get(); }

  void start() {
    thread_ = std::thread([this] { loop_->run(); });
    for (const auto& loop : client_loops_) {
      client_threads_.emplace_back([&loop = *loop] { loop.run(); });
    }
  }
  std::vector<grpc::ClientLoop> client_loops() const {
    std::vector<grpc::ClientLoop> made;
    for (const auto& loop : client_loops_) made.push_back({loop.get(), loop.get()});
    return made;
  }
  void stop() {
    if (!thread_.joinable()) return;
    loop_->stop();
    thread_.join();
    for (const auto& loop : client_loops_) loop->post([&loop = *loop] { loop.stop(); });
    for (std::thread& thread : client_threads_) thread.join();
    client_threads_.clear();
  }
  // All of `task` is one turn of the loop; returns when it was done.
  void run(const std::function<void()>& task) {
    std::promise<void> done;
    loop_->post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  std::unique_ptr<world::EventLoop> loop_;
  std::thread thread_;
  std::vector<std::unique_ptr<world::EventLoop>> client_loops_;
  std::vector<std::thread> client_threads_;
};

}  // namespace quorate::front::etcd
