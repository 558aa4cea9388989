// front/etcd/quota.h: writes are refused when the store has reached its quota.
//
// Asked before a write goes into the log. Who finds no room raises the alarm for this member
// through the log, so that all members refuse, until somebody has made room and clears it.
#pragma once

#include <vector>

#include "front/etcd/api.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

// What a write may add to the store at most, as etcd reckons.
inline constexpr uint64_t kLeaseCost = 64;
uint64_t cost_of(const machine::etcd::PutRequest& request);
uint64_t cost_of(const machine::etcd::TxnRequest& request);  // 0: it puts nothing

class Quota {
 public:
  explicit Quota(Api& api);
  // True: there is room. Otherwise the call is answered here, once the alarm has been raised.
  bool admit(grpc::CallId call, uint64_t cost);

 private:
  // More calls than this do not wait for the alarm but are refused at once.
  static constexpr size_t kWaitingMax = 1000;

  bool fits(uint64_t cost) const;
  void refuse(grpc::CallId call);
  void raise();
  void on_raised();

  Api& api_;
  const uint64_t self_;
  std::vector<grpc::CallId> waiting_;  // for the alarm
};

}  // namespace quorate::front::etcd
