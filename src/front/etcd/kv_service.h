// front/etcd/kv_service.h: etcdserverpb.KV: decode, check, then to the log or to local state.
#pragma once

#include <vector>

#include "front/etcd/api.h"
#include "front/etcd/quota.h"

namespace quorate::front::etcd {

class KvService {
 public:
  KvService(Api& api, Quota& quota);  // registers its methods with the server

 private:
  // Who asked for a compaction to be told when the rows are gone, too.
  struct Compaction {
    grpc::CallId call;
    int64_t revision = 0;  // to answer with
  };
  // More of them at once are a mistake, and a look at each would cost.
  static constexpr size_t kCompactionsMax = 256;

  void on_range(grpc::CallId call, std::string_view message);
  void on_put(grpc::CallId call, std::string_view message);
  void on_delete_range(grpc::CallId call, std::string_view message);
  void on_txn(grpc::CallId call, std::string_view message);
  void on_compact(grpc::CallId call, std::string_view message);
  void compact_physically(grpc::CallId call, const machine::etcd::CompactionRequest& request);
  void look_for_rows_gone();

  Api& api_;
  Quota& quota_;
  std::vector<Compaction> compactions_;
  bool looking_ = false;
};

}  // namespace quorate::front::etcd
