// machine/etcd/machine_fixture.h: a machine over a memory store, spoken to as the front does; for
// tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "machine/etcd/commands.h"
#include "machine/etcd/messages.h"
#include "storage/kv/test_disk.h"

namespace quorate::machine::etcd {

// Replies own their bytes, decoded messages borrow them: both travel together.
template <class T>
struct Answer {
  Code code = Code::ok;
  int64_t revision = 0;
  Bytes body;
  std::optional<T> message;
  const T* operator->() const { return &*message; }
};

class MachineFixture {
 public:
  MachineFixture() { open(); }
  void open() {
    machine_.reset();
    auto rows = storage::open_memory_store(disk_, "/store");
    ASSERT_TRUE(rows);
    auto machine = open_etcd_machine(std::move(*rows));
    ASSERT_TRUE(machine) << machine.error().text;
    machine_ = std::move(*machine);
  }
  EtcdMachine& machine() { return *machine_; }
  storage::TestDisk& disk() { return disk_; }
  void commit() { ASSERT_TRUE(machine_->commit_batch()); }

  Reply apply(CommandKind kind, std::string_view request) {
    Reply reply;
    machine_->apply_command(machine_->applied().next(), 1, make_command(kind, request), &reply);
    return reply;
  }
  template <class Request>
  static std::string wire(const Request& request) {
    std::string text;
    encode(request, text);
    return text;
  }
  Answer<PutResponse> put(const PutRequest& request) {
    return answer<PutResponse>(apply(CommandKind::put, wire(request)), decode_put_response);
  }
  Answer<PutResponse> put(std::string_view key, std::string_view value) {
    PutRequest request;
    request.key = key;
    request.value = value;
    return put(request);
  }
  Answer<DeleteRangeResponse> remove(std::string_view key, std::string_view end = {},
                                     bool prev_kv = false) {
    return answer<DeleteRangeResponse>(
        apply(CommandKind::delete_range, wire(DeleteRangeRequest{key, end, prev_kv})),
        decode_delete_range_response);
  }
  Answer<TxnResponse> txn(const TxnRequest& request) {
    return answer<TxnResponse>(apply(CommandKind::txn, wire(request)), decode_txn_response);
  }
  Answer<CompactionResponse> compact(int64_t revision) {
    return answer<CompactionResponse>(
        apply(CommandKind::compact, wire(CompactionRequest{revision, false})),
        decode_compaction_response);
  }
  Answer<RangeResponse> range(const RangeRequest& request) const {
    Reply reply;
    machine_->query(make_query(QueryKind::range, wire(request)), reply);
    return answer<RangeResponse>(reply, decode_range_response);
  }
  Answer<RangeResponse> range(std::string_view key, std::string_view end = {},
                              int64_t revision = 0) const {
    RangeRequest request;
    request.key = key;
    request.range_end = end;
    request.revision = revision;
    return range(request);
  }

 private:
  template <class T, class Decode>
  static Answer<T> answer(const Reply& reply, const Decode& decode) {
    Answer<T> result{static_cast<Code>(reply.code), reply.revision, reply.body, {}};
    result.message = decode(result.body.view());
    EXPECT_TRUE(result.message);
    if (!result.message) result.message.emplace();
    return result;
  }

  storage::TestDisk disk_;
  std::unique_ptr<EtcdMachine> machine_;
};

inline std::string keys_of(const RangeResponse& response) {
  std::string text;
  for (const KeyValue& pair : response.kvs) text += std::string(pair.key) + " ";
  return text;
}

}  // namespace quorate::machine::etcd
