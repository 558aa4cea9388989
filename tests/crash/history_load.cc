// Clients that put, get, compare-and-swap and delete a few keys, and the history they lived
// (docs/formats/history.md).
//
// After an operation whose fate is unknown a client goes on as a new process, since the old one
// is still under way. Values are unique.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <optional>
#include <thread>

#include "app/messages.h"
#include "app/session.h"
#include "base/rng.h"
#include "front/grpc/client.h"
#include "journal.h"
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

struct Operation {
  Kind kind = Kind::get;
  std::string key;
  std::string value;                    // put, cas: written
  std::optional<std::string> expected;  // cas: nothing means that the key must be absent
};

struct Told {
  app::Verdict verdict = app::Verdict::unknown;
  check::Reply reply;
  std::string text;
};

check::Request request_for(check::Verb verb, const Operation& operation) {
  check::Request request;
  request.verb = verb;
  request.key = operation.key;
  if (verb == check::Verb::put) request.value = operation.value;
  return request;
}

check::Call call_for(const Operation& operation) {
  check::Call call;
  switch (operation.kind) {
    case Kind::put:
      call.then.push_back(request_for(check::Verb::put, operation));
      break;
    case Kind::get:
      call.then.push_back(request_for(check::Verb::get, operation));
      break;
    case Kind::remove:
      call.then.push_back(request_for(check::Verb::erase, operation));
      break;
    case Kind::cas:
      call.transaction = true;
      check::Condition condition;
      condition.key = operation.key;
      condition.target = operation.expected ? check::Target::value : check::Target::create;
      condition.value = operation.expected.value_or("");
      call.conditions.push_back(condition);
      call.then.push_back(request_for(check::Verb::put, operation));
      call.otherwise.push_back(request_for(check::Verb::get, operation));
      break;
  }
  return call;
}

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

check::Answer found(const etcd::RangeResponse& response) {
  check::Answer answer;
  answer.count = response.count;
  for (const etcd::KeyValue& pair : response.kvs) {
    check::Row row;
    row.key = pair.key;
    row.value = std::string(pair.value);
    row.create = pair.create_revision;
    row.mod = pair.mod_revision;
    row.version = pair.version;
    row.lease = pair.lease;
    answer.rows.push_back(std::move(row));
  }
  return answer;
}

bool decode_txn(std::string_view body, check::Reply& reply) {
  const auto response = etcd::decode_txn_response(body);
  if (!response || response->responses.size() != 1) return false;
  reply.revision = response->header.revision;
  reply.succeeded = response->succeeded;
  if (response->succeeded) {
    reply.answers.emplace_back();
    return true;
  }
  const auto* range = std::get_if<etcd::RangeResponse>(&response->responses.front().response);
  if (range == nullptr) return false;
  reply.answers.push_back(found(*range));
  return true;
}

// False: the answer is not what the request calls for.
bool decode(Kind kind, std::string_view body, check::Reply& reply) {
  if (kind == Kind::cas) return decode_txn(body, reply);
  if (kind == Kind::put) {
    const auto response = etcd::decode_put_response(body);
    if (!response) return false;
    reply.revision = response->header.revision;
    reply.answers.emplace_back();
  } else if (kind == Kind::get) {
    const auto response = etcd::decode_range_response(body);
    if (!response) return false;
    reply.revision = response->header.revision;
    reply.answers.push_back(found(*response));
  } else {
    const auto response = etcd::decode_delete_range_response(body);
    if (!response) return false;
    reply.revision = response->header.revision;
    reply.answers.emplace_back().count = response->deleted;
  }
  return true;
}

class User {
 public:
  User(const HistoryOptions& options, size_t number, Journal& journal)
      : options_(options),
        process_(number),
        member_(number % options.endpoints.size()),
        name_(std::to_string(number)),
        rng_(options.seed * 1000 + number),
        journal_(journal) {}

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
    const uint64_t call = journal_.invoke(process_, call_for(operation));
    const auto answer = client_->call(path(operation.kind), wire, options_.deadline);
    Told result;
    result.text = answer.message;
    result.verdict =
        operation.kind == Kind::get ? app::judge_read(answer) : app::judge_write(answer);
    if (result.verdict == app::Verdict::done &&
        !decode(operation.kind, answer.body, result.reply)) {
      std::fprintf(stderr, "the answer to call %lu cannot be decoded\n",
                   static_cast<unsigned long>(call));
      result.verdict = app::Verdict::unknown;
      result.text = "the answer cannot be decoded";
    }
    journal_.finish(call, result.verdict, result.reply, result.text);
    if (result.verdict == app::Verdict::done) return learn(operation, result.reply);
    if (result.verdict == app::Verdict::unknown) process_ += options_.clients;
    move_on();
  }

  void learn(const Operation& operation, const check::Reply& reply) {
    const auto& rows = reply.answers.front().rows;
    if (operation.kind == Kind::put || (operation.kind == Kind::cas && reply.succeeded)) {
      seen_[operation.key] = operation.value;
    } else if (operation.kind == Kind::remove || rows.empty()) {
      seen_.erase(operation.key);
    } else {
      seen_[operation.key] = *rows.front().value;
    }
  }

  const HistoryOptions& options_;
  uint64_t process_;
  size_t member_;
  const std::string name_;
  Rng rng_;
  Journal& journal_;
  std::unique_ptr<front::grpc::Client> client_;
  std::map<std::string, std::string> seen_;
  uint64_t count_ = 0;
};

}  // namespace

int record_history(const HistoryOptions& options) {
  Journal journal(options.output, 0);
  if (!journal.open()) return 1;
  std::atomic<bool> ended = false;
  std::vector<std::thread> threads;
  for (size_t number = 0; number < options.clients; ++number) {
    threads.emplace_back([&, number] { User(options, number, journal).run(ended); });
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
