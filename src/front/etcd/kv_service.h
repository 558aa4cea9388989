// front/etcd/kv_service.h: etcdserverpb.KV: decode, check, then to the log or to local state.
#pragma once

#include "front/etcd/api.h"
#include "front/etcd/quota.h"

namespace quorate::front::etcd {

class KvService {
 public:
  KvService(Api& api, Quota& quota);  // registers its methods with the server

 private:
  void on_range(grpc::CallId call, std::string_view message);
  void on_put(grpc::CallId call, std::string_view message);
  void on_delete_range(grpc::CallId call, std::string_view message);
  void on_txn(grpc::CallId call, std::string_view message);
  void on_compact(grpc::CallId call, std::string_view message);

  Api& api_;
  Quota& quota_;
};

}  // namespace quorate::front::etcd
