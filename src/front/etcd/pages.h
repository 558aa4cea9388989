// front/etcd/pages.h: the plain HTTP side of the etcd port: /health, /version, /metrics, and the
// probes (probes.h).
#pragma once

#include "front/etcd/api.h"
#include "front/etcd/probes.h"
#include "front/etcd/watch_service.h"

namespace quorate::front::etcd {

class Pages {
 public:
  Pages(Api& api, const WatchService& watches) : api_(api), watches_(watches), probes_(api) {}
  void on_request(grpc::CallId call, const grpc::PageRequest& request);

 private:
  void on_health(grpc::CallId call, std::string_view query);
  void answer_health(grpc::CallId call, std::string_view reason);
  void answer_version(grpc::CallId call);

  Api& api_;
  const WatchService& watches_;
  Probes probes_;
};

}  // namespace quorate::front::etcd
