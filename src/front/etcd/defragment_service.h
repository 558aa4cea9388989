// front/etcd/defragment_service.h: Defragment of etcdserverpb.Maintenance: this member's store
// gives back the room of what is gone. Others are not touched, and calls are served meanwhile.
#pragma once

#include <vector>

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class DefragmentService {
 public:
  explicit DefragmentService(Api& api);

 private:
  // Those who ask while the store is at it are answered together by the next round.
  static constexpr size_t kWaitingMax = 64;

  void on_defragment(grpc::CallId call);
  void start();
  void on_done(bool done);

  Api& api_;
  std::vector<grpc::CallId> served_;  // by the round under way; empty: there is none
  std::vector<grpc::CallId> waiting_;
  Time started_;
};

}  // namespace quorate::front::etcd
