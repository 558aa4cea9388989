// Clients that put, get, compare-and-swap and delete a few keys, and the history they lived.
//
// One line of JSON for each operation, written when it ended. `outcome` is what the client knows:
// ok (it happened), fail (it surely did not), unknown (it may happen at any time after `invoke`,
// even after the end; `return` is when the client gave up). After an unknown operation a client
// goes on as a new process, since the old one is still under way. Values are unique.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "app/messages.h"
#include "app/session.h"
#include "base/rng.h"
#include "front/grpc/client.h"
#include "load.h"
#include "machine/etcd/messages.h"

namespace quorate::crash {
namespace {

namespace etcd = machine::etcd;

constexpr std::string_view kPut = "/etcdserverpb.KV/Put";
constexpr std::string_view kRange = "/etcdserverpb.KV/Range";
constexpr std::string_view kDelete = "/etcdserverpb.KV/DeleteRange";
constexpr std::string_view kTxn = "/etcdserverpb.KV/Txn";
constexpr auto kConnectPatience = std::chrono::milliseconds(300);
constexpr auto kPauseBetweenConnects = std::chrono::milliseconds(10);

enum class Kind : uint8_t { put, get, cas, remove };
constexpr const char* kKindNames[] = {"put", "get", "cas", "delete"};

struct Operation {
  Kind kind = Kind::get;
  std::string key;
  std::string value;                    // put, cas: written
  std::optional<std::string> expected;  // cas: nothing means that the key must be absent
};

struct Result {
  app::Verdict verdict = app::Verdict::unknown;
  int64_t revision = 0;              // of the answer's header
  std::optional<std::string> found;  // get, and a cas that failed
  int64_t modified = 0;              // revision that wrote what was found
  bool changed = false;              // cas: succeeded; delete: there was something
  std::string text;
};

std::string quoted(const std::optional<std::string>& text) {
  return text ? '"' + *text + '"' : "null";  // our own keys and values need no escaping
}

class Recorder {
 public:
  explicit Recorder(std::FILE* output) : output_(output) {}
  void add(uint64_t process, const Operation& operation, const Result& result,
           Clock::time_point invoked, Clock::time_point returned) {
    const char* outcome = "unknown";
    if (result.verdict == app::Verdict::done) outcome = "ok";
    if (result.verdict == app::Verdict::refused) outcome = "fail";
    if (result.verdict == app::Verdict::unavailable) outcome = "fail";
    const std::lock_guard lock(mutex_);
    ++counts_[outcome];
    std::fprintf(output_, R"({"process":%lu,"op":"%s","key":"%s","invoke":%ld,"return":%ld,)",
                 static_cast<unsigned long>(process),
                 kKindNames[static_cast<size_t>(operation.kind)], operation.key.c_str(),
                 static_cast<long>(nanoseconds(invoked)), static_cast<long>(nanoseconds(returned)));
    if (operation.kind == Kind::put || operation.kind == Kind::cas) {
      std::fprintf(output_, R"("value":"%s",)", operation.value.c_str());
    }
    if (operation.kind == Kind::cas) {
      std::fprintf(output_, R"("expected":%s,)", quoted(operation.expected).c_str());
    }
    if (result.verdict == app::Verdict::done) {
      std::fprintf(output_, R"("revision":%ld,)", static_cast<long>(result.revision));
      if (operation.kind == Kind::get || operation.kind == Kind::cas) {
        std::fprintf(output_, R"("found":%s,"modified":%ld,)", quoted(result.found).c_str(),
                     static_cast<long>(result.modified));
      }
      if (operation.kind != Kind::get && operation.kind != Kind::put) {
        std::fprintf(output_, R"("changed":%s,)", result.changed ? "true" : "false");
      }
    }
    std::fprintf(output_, "\"outcome\":\"%s\"}\n", outcome);
  }
  void show() {
    std::printf("%lu ok, %lu fail, %lu unknown\n", counts_["ok"], counts_["fail"],
                counts_["unknown"]);
  }

 private:
  std::FILE* output_;
  std::mutex mutex_;
  std::map<std::string, unsigned long> counts_;
};

std::string encoded_cas(const Operation& operation) {
  etcd::Compare compare;
  compare.key = operation.key;
  if (operation.expected) {
    compare.target = static_cast<int32_t>(etcd::Compare::Target::value);
    compare.value = *operation.expected;
  } else {
    compare.target = static_cast<int32_t>(etcd::Compare::Target::create);
  }
  etcd::PutRequest put;
  put.key = operation.key;
  put.value = operation.value;
  etcd::RangeRequest range;
  range.key = operation.key;
  etcd::TxnRequest txn;
  txn.compare.push_back(compare);
  txn.success.push_back({put});
  txn.failure.push_back({range});
  std::string wire;
  etcd::encode(txn, wire);
  return wire;
}

std::string encoded(const Operation& operation) {
  std::string wire;
  if (operation.kind == Kind::put) {
    etcd::PutRequest request;
    request.key = operation.key;
    request.value = operation.value;
    etcd::encode(request, wire);
  } else if (operation.kind == Kind::get) {
    etcd::RangeRequest request;
    request.key = operation.key;
    etcd::encode(request, wire);
  } else if (operation.kind == Kind::remove) {
    etcd::DeleteRangeRequest request;
    request.key = operation.key;
    etcd::encode(request, wire);
  } else {
    wire = encoded_cas(operation);
  }
  return wire;
}

std::string_view path(Kind kind) {
  switch (kind) {
    case Kind::put:
      return kPut;
    case Kind::get:
      return kRange;
    case Kind::remove:
      return kDelete;
    case Kind::cas:
      break;
  }
  return kTxn;
}

void take_found(const etcd::RangeResponse& response, Result& result) {
  if (response.kvs.empty()) return;
  result.found = std::string(response.kvs.front().value);
  result.modified = response.kvs.front().mod_revision;
}

// False: the answer is not what the request calls for.
bool decode(Kind kind, std::string_view body, Result& result) {
  if (kind == Kind::put) {
    const auto response = etcd::decode_put_response(body);
    if (response) result.revision = response->header.revision;
    return response.has_value();
  }
  if (kind == Kind::get) {
    const auto response = etcd::decode_range_response(body);
    if (!response) return false;
    result.revision = response->header.revision;
    take_found(*response, result);
    return true;
  }
  if (kind == Kind::remove) {
    const auto response = etcd::decode_delete_range_response(body);
    if (!response) return false;
    result.revision = response->header.revision;
    result.changed = response->deleted > 0;
    return true;
  }
  const auto response = etcd::decode_txn_response(body);
  if (!response || response->responses.size() != 1) return false;
  result.revision = response->header.revision;
  result.changed = response->succeeded;
  if (response->succeeded) return true;
  const auto* range = std::get_if<etcd::RangeResponse>(&response->responses.front().response);
  if (range == nullptr) return false;
  take_found(*range, result);
  return true;
}

class User {
 public:
  User(const HistoryOptions& options, size_t number, Recorder& recorder)
      : options_(options),
        process_(number),
        member_(number % options.endpoints.size()),
        name_(std::to_string(number)),
        rng_(options.seed * 1000 + number),
        recorder_(recorder) {}

  void run(const std::atomic<bool>& ended) {
    while (!ended) {
      const auto pause = static_cast<uint64_t>(options_.pause.count());
      if (pause > 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(rng_.below(2 * pause)));
      }
      if (!connected()) continue;
      operate();
    }
  }

 private:
  bool connected() {
    if (client_ && client_->usable()) return true;
    client_.reset();
    auto made = front::grpc::connect(options_.endpoints[member_], kConnectPatience);
    if (made) {
      client_ = std::move(*made);
      return true;
    }
    move_on();
    std::this_thread::sleep_for(kPauseBetweenConnects);
    return false;
  }

  void move_on() {
    client_.reset();
    if (options_.roam) member_ = (member_ + 1) % options_.endpoints.size();
  }

  Operation draw() {
    Operation operation;
    operation.key = "k" + std::to_string(rng_.below(options_.keys));
    const uint64_t dice = rng_.below(100);
    if (dice < 40) {
      operation.kind = Kind::put;
    } else if (dice < 70) {
      operation.kind = Kind::get;
    } else if (dice < 94) {
      operation.kind = Kind::cas;
      if (const auto seen = seen_.find(operation.key); seen != seen_.end()) {
        operation.expected = seen->second;
      }
    } else {
      operation.kind = Kind::remove;
    }
    if (operation.kind == Kind::put || operation.kind == Kind::cas) {
      operation.value = name_ + "-" + std::to_string(count_++);
      if (operation.value.size() < options_.value_bytes) {
        operation.value.append(1, '.').append(options_.value_bytes - operation.value.size(), 'x');
      }
    }
    return operation;
  }

  void operate() {
    const Operation operation = draw();
    const std::string wire = encoded(operation);
    const auto invoked = Clock::now();
    auto answer = client_->call(path(operation.kind), wire, options_.deadline);
    const auto returned = Clock::now();
    Result result;
    result.verdict =
        operation.kind == Kind::get ? app::judge_read(answer) : app::judge_write(answer);
    if (result.verdict == app::Verdict::done && !decode(operation.kind, answer.body, result)) {
      std::fprintf(stderr, "an answer to %s is not one\n",
                   kKindNames[static_cast<size_t>(operation.kind)]);
      result.verdict = app::Verdict::unknown;
    }
    recorder_.add(process_, operation, result, invoked, returned);
    if (result.verdict == app::Verdict::done) return learn(operation, result);
    if (result.verdict == app::Verdict::unknown) process_ += options_.clients;
    move_on();
  }

  void learn(const Operation& operation, const Result& result) {
    if (operation.kind == Kind::put || (operation.kind == Kind::cas && result.changed)) {
      seen_[operation.key] = operation.value;
    } else if (operation.kind == Kind::remove || !result.found) {
      seen_.erase(operation.key);
    } else {
      seen_[operation.key] = *result.found;
    }
  }

  const HistoryOptions& options_;
  uint64_t process_;
  size_t member_;
  const std::string name_;
  Rng rng_;
  Recorder& recorder_;
  std::unique_ptr<front::grpc::Client> client_;
  std::map<std::string, std::string> seen_;
  uint64_t count_ = 0;
};

}  // namespace

int record_history(const HistoryOptions& options) {
  std::FILE* output = std::fopen(options.output.c_str(), "w");
  if (output == nullptr) {
    std::fprintf(stderr, "cannot write %s\n", options.output.c_str());
    return 1;
  }
  Recorder recorder(output);
  std::atomic<bool> ended = false;
  std::vector<std::thread> threads;
  for (size_t number = 0; number < options.clients; ++number) {
    threads.emplace_back([&, number] { User(options, number, recorder).run(ended); });
  }
  const auto end = Clock::now() + options.duration;
  while (Clock::now() < end && !driver_gone()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  ended = true;
  for (std::thread& thread : threads) thread.join();
  recorder.show();
  return std::fclose(output) == 0 ? 0 : 1;
}

}  // namespace quorate::crash
