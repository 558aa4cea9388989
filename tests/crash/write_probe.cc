// Small puts at a fixed rate, one client for each member, and when each was acknowledged.
//
// Open loop: a put that hangs does not hold back the next one, so the longest time without an
// acknowledgement is that of the cluster. A client stays with its member: what reconnecting
// costs is in nobody's figure as long as another member answers.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <thread>

#include "front/grpc/client.h"
#include "load.h"
#include "machine/etcd/messages.h"

namespace quorate::crash {
namespace {

constexpr std::string_view kPut = "/etcdserverpb.KV/Put";
constexpr auto kConnectPatience = std::chrono::milliseconds(200);
constexpr auto kPauseBetweenConnects = std::chrono::milliseconds(2);
// A member that is down or frozen must not fill our memory with puts nobody takes.
constexpr size_t kUnderWayMax = 2000;

class Probe {
 public:
  Probe(const ProbeOptions& options, size_t number, std::FILE* output, std::mutex& mutex)
      : options_(options), number_(number), output_(output), mutex_(mutex) {}

  void run(const std::atomic<bool>& ended) {
    auto next = Clock::now();
    while (!ended) {
      if (!ready()) {
        std::this_thread::sleep_for(kPauseBetweenConnects);
        next = Clock::now();
        continue;
      }
      for (; next <= Clock::now(); next += options_.period) submit();
      take(client_->wait(std::max<Duration>(next - Clock::now(), Duration{1})));
    }
  }

 private:
  bool ready() {
    if (client_ && client_->usable()) return true;
    if (client_) take(client_->wait(Duration::zero()));
    client_.reset();
    sent_.clear();
    auto connected = front::grpc::connect(options_.endpoints[number_], kConnectPatience);
    if (!connected) return false;
    client_ = std::move(*connected);
    return true;
  }

  void submit() {
    if (sent_.size() >= kUnderWayMax) return;
    machine::etcd::PutRequest request;
    const std::string key = "probe-" + std::to_string(number_);
    const std::string value = std::to_string(count_++);
    request.key = key;
    request.value = value;
    std::string wire;
    machine::etcd::encode(request, wire);
    const auto now = Clock::now();
    sent_[client_->submit(kPut, wire, options_.deadline)] = now;
  }

  void take(const std::vector<front::grpc::Finished>& list) {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    for (const auto& finished : list) {
      const auto at = sent_.find(finished.call);
      if (at == sent_.end()) continue;
      const bool good =
          finished.answer.fate == front::grpc::Fate::answered && finished.answer.status == 0;
      std::fprintf(output_, "%zu %ld %ld %s\n", number_, static_cast<long>(nanoseconds(at->second)),
                   static_cast<long>(nanoseconds(now)), good ? "ok" : "no");
      sent_.erase(at);
    }
  }

  const ProbeOptions& options_;
  const size_t number_;
  std::FILE* output_;
  std::mutex& mutex_;
  std::unique_ptr<front::grpc::Client> client_;
  std::map<uint64_t, Clock::time_point> sent_;
  uint64_t count_ = 0;
};

}  // namespace

int probe_writes(const ProbeOptions& options) {
  std::FILE* output = std::fopen(options.output.c_str(), "w");
  if (output == nullptr) {
    std::fprintf(stderr, "cannot write %s\n", options.output.c_str());
    return 1;
  }
  std::mutex mutex;
  std::atomic<bool> ended = false;
  std::vector<std::thread> threads;
  for (size_t number = 0; number < options.endpoints.size(); ++number) {
    threads.emplace_back([&, number] { Probe(options, number, output, mutex).run(ended); });
  }
  const auto end = Clock::now() + options.duration;
  while (Clock::now() < end && !driver_gone()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ended = true;
  for (std::thread& thread : threads) thread.join();
  return std::fclose(output) == 0 ? 0 : 1;
}

}  // namespace quorate::crash
