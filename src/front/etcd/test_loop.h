// front/etcd/test_loop.h: for tests: a real event loop in a thread of its own.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <thread>

#include "world/real/event_loop.h"

namespace quorate::front::etcd {

class LoopThread {
 public:
  LoopThread() : loop_(world::make_event_loop()) {}
  ~LoopThread() { stop(); }
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  world::EventLoop& operator*() { return *loop_; }
  world::EventLoop* operator->() { return loop_.get(); }

  void start() {
    thread_ = std::thread([this] { loop_->run(); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    loop_->stop();
    thread_.join();
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
};

}  // namespace quorate::front::etcd
