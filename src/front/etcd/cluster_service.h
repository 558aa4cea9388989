// front/etcd/cluster_service.h: etcdserverpb.Cluster, and quorate.Members with what etcd lacks:
// the replacement of a voter in one step. Also the member's own entry in the list: its name and
// client URLs, published when it starts.
#pragma once

#include <vector>

#include "front/etcd/api.h"
#include "front/etcd/member_requests.h"
#include "node/member_change.h"

namespace quorate::front::etcd {

class ClusterService {
 public:
  explicit ClusterService(Api& api);
  // Proposes this member's attributes until the log has them.
  void publish();

 private:
  void add(std::string_view service, std::string_view name, MemberRequestKind kind);
  void on_member_list(grpc::CallId call, std::string_view message);
  void on_request(grpc::CallId call, MemberRequestKind kind, std::string_view message);
  std::optional<ApiError> make_change(MemberRequestKind kind, const MemberRequest& request,
                                      node::MemberChange& change) const;
  std::optional<ApiError> check(const node::MemberChange& change) const;
  void finish(grpc::CallId call, const node::MemberChange& change, const node::Outcome& outcome);
  // The members stand in field `list_field`; `added` in field 2, unless it is zero.
  void answer_members(grpc::CallId call, uint32_t list_field, NodeId added = {});
  std::vector<machine::etcd::MemberAttributes> attributes() const;
  void publish_later();

  Api& api_;
};

}  // namespace quorate::front::etcd
