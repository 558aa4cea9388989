// Small puts at a fixed rate, one client for each member, and when each was acknowledged: a
// history like any other (docs/formats/history.md).
//
// Open loop: a put that hangs does not hold back the next one, so the longest time without an
// acknowledgement is that of the cluster. A client stays with its member: what reconnecting
// costs is in nobody's figure as long as another member answers.
#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "app/session.h"
#include "front/grpc/client.h"
#include "journal.h"
#include "load.h"
#include "machine/etcd/messages.h"

namespace quorate::crash {
namespace {

constexpr std::string_view kPut = "/etcdserverpb.KV/Put";
constexpr auto kConnectPatience = std::chrono::milliseconds(200);
constexpr auto kPauseBetweenConnects = std::chrono::milliseconds(2);
// A member that is down or frozen must not fill our memory with puts nobody takes.
constexpr size_t kUnderWayMax = 2000;
// Above what history_load uses, so that both files may be joined.
constexpr uint64_t kFirstCall = 1'000'000'000;
constexpr uint64_t kFirstProcess = 1'000'000'000;

class Probe {
 public:
  Probe(const ProbeOptions& options, size_t number, Journal& journal)
      : options_(options), number_(number), journal_(journal) {}

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
    check::Request put;
    put.verb = check::Verb::put;
    put.key = "probe-" + std::to_string(number_);
    put.value = std::to_string(number_) + "-" + std::to_string(count_++);
    machine::etcd::PutRequest request;
    request.key = put.key;
    request.value = put.value;
    std::string wire;
    machine::etcd::encode(request, wire);
    check::Call call;
    call.then.push_back(put);
    // Each a process of its own: they overlap.
    const uint64_t process = kFirstProcess + count_ * options_.endpoints.size() + number_;
    const uint64_t noted = journal_.invoke(process, std::move(call));
    sent_[client_->submit(kPut, wire, options_.deadline)] = noted;
  }

  void take(const std::vector<front::grpc::Finished>& list) {
    for (const auto& finished : list) {
      const auto at = sent_.find(finished.call);
      if (at == sent_.end()) continue;
      check::Reply reply;
      app::Verdict verdict = app::judge_write(finished.answer);
      const auto response = machine::etcd::decode_put_response(finished.answer.body);
      if (verdict == app::Verdict::done && response) {
        reply.revision = response->header.revision;
        reply.answers.emplace_back();
      } else if (verdict == app::Verdict::done) {
        verdict = app::Verdict::unknown;
      }
      journal_.finish(at->second, verdict, std::move(reply), finished.answer.message);
      sent_.erase(at);
    }
  }

  const ProbeOptions& options_;
  const size_t number_;
  Journal& journal_;
  std::unique_ptr<front::grpc::Client> client_;
  std::map<uint64_t, uint64_t> sent_;  // call of the client -> call of the journal
  uint64_t count_ = 0;
};

}  // namespace

int probe_writes(const ProbeOptions& options) {
  Journal journal(options.output, kFirstCall);
  if (!journal.open()) return 1;
  std::atomic<bool> ended = false;
  std::vector<std::thread> threads;
  for (size_t number = 0; number < options.endpoints.size(); ++number) {
    threads.emplace_back([&, number] { Probe(options, number, journal).run(ended); });
  }
  const auto end = Clock::now() + options.duration;
  while (Clock::now() < end && !driver_gone()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ended = true;
  for (std::thread& thread : threads) thread.join();
  return journal.close() ? 0 : 1;
}

}  // namespace quorate::crash
