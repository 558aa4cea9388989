// front/etcd/hash_service.h: Hash and HashKV of etcdserverpb.Maintenance: what members hold, as
// a number to compare.
//
// A hash reads the whole local state, so one is made at a time, a bounded step each turn of the
// loop; other calls go on between the steps.
#pragma once

#include <deque>

#include "front/etcd/api.h"
#include "machine/etcd/hash_step.h"

namespace quorate::front::etcd {

class HashService {
 public:
  explicit HashService(Api& api);

 private:
  // Each waits for those before it; a cluster is compared by one or two at a time.
  static constexpr size_t kHashesMax = 16;
  struct Hash {
    grpc::CallId call;
    machine::etcd::HashStep step;
    Time ends;
  };

  void begin(grpc::CallId call, int64_t revision, bool everything);
  void go_on();
  bool step(Hash& hash);  // true: answered, or nobody waits any more
  void answer(const Hash& hash, int64_t revision);

  Api& api_;
  std::deque<Hash> hashes_;
  bool posted_ = false;
};

}  // namespace quorate::front::etcd
