// tests/differential/generator.h: random operations that mean something.
//
// Few keys, so that they meet; revisions near the two edges of what the store holds; every option
// of every request, and some requests that nobody should send.
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/rng.h"
#include "etcd.pb.h"
#include "operation.h"

namespace quorate::differential {

// What a client of the two servers knows; kept up by whoever runs the operations.
struct View {
  int64_t current = 1;
  int64_t compacted = 0;
  std::vector<std::set<int64_t>> watchers = std::vector<std::set<int64_t>>(3);  // by stream
};

struct GeneratorOptions {
  bool expire = false;       // short leases
  bool lose_leader = false;  // three members
};

class Generator {
 public:
  Generator(uint64_t seed, GeneratorOptions options) : rng_(seed), options_(options) {}
  Operation next(const View& view);

 private:
  bool one_in(uint64_t parts) { return rng_.below(parts) == 0; }
  std::string key();
  std::string range_end(const std::string& key);
  std::string value();
  int64_t revision(const View& view);
  int64_t lease();

  void fill(const View& view, etcdserverpb::RangeRequest& request);
  void fill(etcdserverpb::PutRequest& request);
  void fill(etcdserverpb::DeleteRangeRequest& request);
  void fill(const View& view, etcdserverpb::Compare& compare);
  void fill_branch(const View& view, int depth,
                   google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>& branch);
  void fill(const View& view, int depth, etcdserverpb::TxnRequest& request);

  Operation lease_operation();
  Operation hash_operation(const View& view);
  Operation watch_operation(const View& view);
  Operation raw_operation();
  std::string garbled(const Message& request);
  Operation unusual_bytes(const View& view);
  // A few short leases with keys on them, then the wait for their end.
  void plan_expiry();
  // An alarm, what is refused while it lasts and what is not, and its end. Nothing in between may
  // wait for a watch, which takes a put.
  void plan_alarm(const View& view);
  // Events that are too large for one message of a watcher that takes fragments.
  void plan_large_events();
  std::unique_ptr<etcdserverpb::WatchRequest> watch_creation(const View& view);

  Rng rng_;
  GeneratorOptions options_;
  std::vector<Operation> planned_;  // the last one comes next
  uint64_t made_ = 0;
  bool txn_keeps_ = false;  // its puts may keep values and leases
};

}  // namespace quorate::differential
