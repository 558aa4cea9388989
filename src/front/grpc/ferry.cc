#include "front/grpc/ferry.h"

#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "front/grpc/far_end.h"
#include "front/grpc/limits.h"
#include "front/grpc/near_end.h"

namespace quorate::front::grpc {
namespace {

// Counts what is on its way to the node, and lets the client's thread wait while it is too much.
class Weighbridge {
 public:
  void enter(size_t weight) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return open_ || inside_ <= kCrossingBytesMax; });
    inside_ += weight;
  }
  void leave(size_t weight) {
    bool waited = false;
    {
      const std::scoped_lock lock(mutex_);
      waited = inside_ > kCrossingBytesMax;
      inside_ -= weight;
    }
    if (waited) room_.notify_one();
  }
  void open() {
    {
      const std::scoped_lock lock(mutex_);
      open_ = true;
    }
    room_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable room_;
  size_t inside_ = 0;
  bool open_ = false;  // the node takes no more, nobody must wait for it
};

class ThreadFerry final : public Ferry {
 public:
  ThreadFerry(Server& server, world::Executor& node, ClientLoop loop, ServerOptions options)
      : node_(node),
        loop_(loop),
        near_(server),
        far_(server, loop, std::move(options),
             [this](std::unique_ptr<InwardBatch> batch) { hand_over(std::move(batch)); }) {
    node.at_turn_end([self = self_] {
      if (*self != nullptr) (*self)->on_turn_end();
    });
  }
  ~ThreadFerry() override {
    *self_ = nullptr;
    bridge_.open();
  }
  ThreadFerry(const ThreadFerry&) = delete;
  ThreadFerry& operator=(const ThreadFerry&) = delete;

  void take_over(int descriptor, std::unique_ptr<world::SecureChannel> channel,
                 const Door& door) override {
    if (arriving_.fetch_add(1, std::memory_order_relaxed) >= kArrivingMax) {
      arriving_.fetch_sub(1, std::memory_order_relaxed);
      ::close(descriptor);
      return near_.count_refused();
    }
    loop_.executor->post([this, descriptor, channel = std::move(channel), door]() mutable {
      arriving_.fetch_sub(1, std::memory_order_relaxed);
      far_.server().take_over(descriptor, std::move(channel), door);
    });
  }
  void drain() override {
    loop_.executor->post([this] { far_.server().drain(); });
  }
  void close_calls() override { near_.close_calls(); }
  void let_go() override { bridge_.open(); }

 private:
  // On the client's thread.
  void hand_over(std::unique_ptr<InwardBatch> batch) {
    const size_t weight = batch->weight();
    bridge_.enter(weight);
    node_.post([self = self_, weight, batch = std::move(batch)] {
      if (*self == nullptr) return;
      (*self)->near_.take(*batch);
      (*self)->bridge_.leave(weight);
    });
  }
  // On the node's.
  void on_turn_end() {
    auto batch = near_.gathered();
    if (batch == nullptr) return;
    loop_.executor->post([this, batch = std::move(batch)] { far_.take(*batch); });
  }

  world::Executor& node_;
  ClientLoop loop_;
  // What outlives us in the node's loop asks it for us.
  std::shared_ptr<ThreadFerry*> self_ = std::make_shared<ThreadFerry*>(this);
  Weighbridge bridge_;
  std::atomic<size_t> arriving_ = 0;  // sockets that the client's thread has not taken yet
  NearEnd near_;
  FarEnd far_;
};

}  // namespace

Ferries::Ferries(Server& server, world::Executor& node, const std::vector<ClientLoop>& loops) {
  if (loops.empty()) return;
  ServerOptions options = server.options();
  options.sharers = loops.size();
  for (const ClientLoop& loop : loops) {
    ferries_.push_back(std::make_unique<ThreadFerry>(server, node, loop, options));
  }
  server.receive_elsewhere(
      [this](int descriptor, std::unique_ptr<world::SecureChannel> channel, const Door& door) {
        ferries_[next_++ % ferries_.size()]->take_over(descriptor, std::move(channel), door);
      });
}

void Ferries::drain() {
  for (const auto& ferry : ferries_) ferry->drain();
}

void Ferries::close_calls() {
  for (const auto& ferry : ferries_) ferry->close_calls();
}

void Ferries::let_go() {
  for (const auto& ferry : ferries_) ferry->let_go();
}

}  // namespace quorate::front::grpc
