// front/etcd/kv_service.h: etcdserverpb.KV: decode, check, then to the log or to local state.
#pragma once

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class KvService {
 public:
  explicit KvService(Api& api);  // registers its methods with the server

 private:
  void on_range(grpc::CallId call, std::string_view message);
  void on_put(grpc::CallId call, std::string_view message);
  void on_delete_range(grpc::CallId call, std::string_view message);
  void on_txn(grpc::CallId call, std::string_view message);
  void on_compact(grpc::CallId call, std::string_view message);

  Api& api_;
};

}  // namespace quorate::front::etcd
