#include "front/etcd/quota.h"

#include <algorithm>

#include "front/etcd/alarm_service.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::AlarmAction;
using machine::etcd::AlarmKind;
using machine::etcd::PutRequest;
using machine::etcd::RequestOp;
using machine::etcd::TxnRequest;

namespace {

constexpr uint64_t kPutOverhead = 256;

uint64_t cost_of_branch(const std::vector<RequestOp>& operations) {
  uint64_t cost = 0;
  for (const RequestOp& operation : operations) {
    if (const auto* put = std::get_if<PutRequest>(&operation.request)) cost += cost_of(*put);
    if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) cost += cost_of(*txn);
  }
  return cost;
}

}  // namespace

uint64_t cost_of(const PutRequest& request) {
  return kPutOverhead + request.key.size() + request.value.size();
}

uint64_t cost_of(const TxnRequest& request) {
  return std::max(cost_of_branch(request.success), cost_of_branch(request.failure));
}

Quota::Quota(Api& api) : api_(api), self_(api.service().status().self.value) {}

bool Quota::fits(uint64_t cost) const {
  return api_.service().machine().space().taken + cost < api_.options().quota_backend_bytes;
}

bool Quota::admit(CallId call, uint64_t cost) {
  const bool limited = api_.options().quota_backend_bytes != 0 && cost != 0;
  if (!limited || fits(cost)) return true;
  refuse(call);
  return false;
}

void Quota::refuse(CallId call) {
  const auto known = active_alarms(api_);
  const bool raised =
      std::ranges::count(known, machine::etcd::Alarm{AlarmKind::no_space, self_}) != 0;
  if (raised || waiting_.size() >= kWaitingMax) return api_.refuse(call, ApiError::no_space);
  api_.server().release_message(call);
  waiting_.push_back(call);
  if (waiting_.size() == 1) raise();
}

void Quota::raise() {
  std::string wire;
  encode(machine::etcd::AlarmRequest{AlarmAction::activate, self_, AlarmKind::no_space}, wire);
  const Time until = api_.executor().now() + api_.options().request_timeout;
  api_.service().propose(api_.own_command(machine::etcd::CommandKind::alarm, wire), until,
                         [this, tether = api_.tether()](const node::Outcome&) {
                           // This object lives as long as the Api. Raised or not: there is no room
                           // here.
                           if (tether.get() != nullptr) on_raised();
                         });
}

void Quota::on_raised() {
  for (const CallId call : std::exchange(waiting_, {})) api_.refuse(call, ApiError::no_space);
}

}  // namespace quorate::front::etcd
