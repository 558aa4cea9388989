// front/etcd/cluster_service.h: etcdserverpb.Cluster (MemberList) and Maintenance (Status), and
// the member's own entry in the list: its name and client URLs, published when it starts.
#pragma once

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class ClusterService {
 public:
  explicit ClusterService(Api& api);
  // Proposes this member's attributes until the log has them.
  void publish();

 private:
  void on_member_list(grpc::CallId call, std::string_view message);
  void answer_member_list(grpc::CallId call);
  void on_status(grpc::CallId call, std::string_view message);
  void publish_later();

  Api& api_;
};

}  // namespace quorate::front::etcd
