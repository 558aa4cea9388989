// front/etcd/maintenance_service.h: etcdserverpb.Maintenance: Status and MoveLeader.
#pragma once

#include <vector>

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class MaintenanceService {
 public:
  explicit MaintenanceService(Api& api);

 private:
  struct Transfer {
    grpc::CallId call;
    NodeId to;
    Time ends;
    Time ask_again;
  };

  void on_status(grpc::CallId call, std::string_view message);
  void on_move_leader(grpc::CallId call, std::string_view message);
  void look();
  bool is_over(Transfer& transfer);

  Api& api_;
  std::vector<Transfer> transfers_;  // not answered yet
  bool looking_ = false;
};

}  // namespace quorate::front::etcd
