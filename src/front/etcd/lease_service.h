// front/etcd/lease_service.h: etcdserverpb.Lease.
//
// Grants and revokes go through the log; the id of a lease is chosen here, before that, so that
// all members have the same. How long a lease lives only the leader knows: renewals and looks go
// there (node/lease_asks.h) and leave no trace in the log.
#pragma once

#include <map>

#include "front/etcd/api.h"
#include "front/etcd/quota.h"

namespace quorate::front::etcd {

class LeaseService : private grpc::StreamHandler {
 public:
  LeaseService(Api& api, Quota& quota);
  int64_t choose_id();  // of a lease about to be granted; no other member chooses the same

 private:
  struct Stream {
    size_t unanswered = 0;
    bool half_closed = false;
  };

  void on_grant(grpc::CallId call, std::string_view message);
  void on_revoke(grpc::CallId call, std::string_view message);
  void on_time_to_live(grpc::CallId call, std::string_view message);
  void on_leases(grpc::CallId call);
  void answer_time_to_live(grpc::CallId call, const node::LeaseLife& life);

  // LeaseKeepAlive.
  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId call) override;
  void on_writable(grpc::CallId call) override { static_cast<void>(call); }
  void on_closed(grpc::CallId call) override;
  void on_renewed(grpc::CallId call, int64_t lease, int64_t revision,
                  const node::LeaseOutcome& outcome);
  static uint64_t key_of(grpc::CallId call) { return uint64_t{call.slot} << 32U | call.generation; }

  Api& api_;
  Quota& quota_;
  const uint64_t id_prefix_;  // of the ids chosen here: the low 16 bits of the member's own
  std::map<uint64_t, Stream> streams_;
  uint64_t last_id_ = 0;
};

}  // namespace quorate::front::etcd
