#include "front/etcd/maintenance_service.h"

#include <algorithm>

#include "front/etcd/alarm_service.h"

namespace quorate::front::etcd {

using grpc::CallId;

namespace {

// Far from etcd's own fields, whose clients pass over it.
constexpr uint32_t kStatusProtocolField = 1000;

constexpr std::string_view kService = "etcdserverpb.Maintenance";
// How often the leader is looked at while somebody waits for another one: little beside the
// milliseconds that an election takes.
constexpr Duration kLookInterval = std::chrono::milliseconds(5);
// A transfer that was given up is asked for again.
constexpr Duration kAskInterval = std::chrono::milliseconds(200);

}  // namespace

MaintenanceService::MaintenanceService(Api& api) : api_(api) {
  api_.server().add_unary(kService, "Status", [this](CallId call, std::string_view message) {
    if (!api_.admit(call, Api::Learners::served)) return;
    if (api_.permit(call, Api::Rights::user)) on_status(call, message);
  });
  api_.server().add_unary(kService, "MoveLeader", [this](CallId call, std::string_view message) {
    if (api_.admit(call) && api_.permit(call, Api::Rights::root)) on_move_leader(call, message);
  });
}

void MaintenanceService::on_status(CallId call, std::string_view) {
  const node::NodeStatus status = api_.service().status();
  std::string out;
  api_.header().write(api_.revision(), api_.service().round(), out);
  write_text(2, api_.options().version, out);
  const machine::SpaceUse space = api_.service().machine().space();
  write_number(3, space.taken, out);
  write_number(4, status.consensus.leader.value, out);
  write_number(5, status.consensus.committed.value, out);
  write_number(6, api_.service().round(), out);
  write_number(7, status.applied.value, out);
  if (!status.consensus.leader) write_element(8, status_of(ApiError::no_leader).text, out);
  for (const machine::etcd::Alarm& alarm : active_alarms(api_)) {
    write_element(8, alarm_text(alarm), out);
  }
  write_number(9, space.in_use, out);
  write_flag(10, api_.service().is_learner(), out);
  write_text(11, api_.version_minor(), out);
  write_number(12, api_.options().quota_backend_bytes, out);
  write_text(kStatusProtocolField, status.protocol, out);
  api_.server().answer(call, out, {});
}

void MaintenanceService::on_move_leader(CallId call, std::string_view message) {
  const auto target = read_field(message, 1);
  if (!target) return api_.refuse(call, ApiError::malformed_request);
  const node::NodeStatus status = api_.service().status();
  if (status.consensus.leader != status.self) return api_.refuse(call, ApiError::not_leader);
  const NodeId to{target->number};
  const auto member = std::ranges::find(status.members, to, &node::MemberView::id);
  if (member == status.members.end() || !member->voter) {
    return api_.refuse(call, ApiError::bad_transferee);
  }
  const Time now = api_.executor().now();
  transfers_.push_back({call, to, api_.deadline(call), now + kAskInterval});
  if (to != status.self) api_.service().transfer_lead(to);
  look();
}

bool MaintenanceService::is_over(Transfer& transfer) {
  const Time now = api_.executor().now();
  if (!api_.server().alive(transfer.call)) return true;
  if (api_.service().leader() == transfer.to) {
    api_.server().answer(transfer.call, {}, {});
    return true;
  }
  if (now >= transfer.ends) {
    api_.refuse(transfer.call, ApiError::transfer_timed_out);
    return true;
  }
  if (now >= transfer.ask_again) {
    transfer.ask_again = now + kAskInterval;
    api_.service().transfer_lead(transfer.to);
  }
  return false;
}

void MaintenanceService::look() {
  std::erase_if(transfers_, [this](Transfer& transfer) { return is_over(transfer); });
  if (transfers_.empty() || looking_) return;
  looking_ = true;
  api_.executor().at(api_.executor().now() + kLookInterval, [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;  // this service lives as long as the Api
    looking_ = false;
    look();
  });
}

}  // namespace quorate::front::etcd
