#include "front/etcd/health_service.h"

#include <algorithm>

namespace quorate::front::etcd {

using grpc::CallId;

namespace {

constexpr std::string_view kService = "grpc.health.v1.Health";
// The node tells nobody when it gets ready; watchers learn of it this much later at most.
constexpr Duration kLookInterval = std::chrono::seconds(1);

}  // namespace

HealthService::HealthService(Api& api) : api_(api) {
  api_.server().add_unary(kService, "Check", [this](CallId call, std::string_view message) {
    if (api_.admit(call)) on_check(call, message);
  });
  api_.server().add_stream(kService, "Watch", *this);
}

HealthService::Serving HealthService::state() {
  if (!was_ready_) was_ready_ = api_.service().status().ready;
  return was_ready_ && !draining_ ? Serving::serving : Serving::not_serving;
}

void HealthService::send_state(CallId call, Serving serving) {
  std::string out;
  write_number(1, static_cast<uint64_t>(serving), out);
  api_.server().send(call, out, {});
}

void HealthService::on_check(CallId call, std::string_view message) {
  const auto service = read_field(message, 1);
  if (!service) {
    api_.refuse(call, ApiError::malformed_request);
  } else if (!service->text.empty()) {
    api_.refuse(call, ApiError::unknown_health_service);
  } else {
    send_state(call, state());
    api_.server().finish(call, {});
  }
}

void HealthService::on_message(CallId call, std::string_view message) {
  if (std::ranges::find(watchers_, call) != watchers_.end() || !api_.admit(call)) return;
  const auto service = read_field(message, 1);
  if (!service) {
    api_.refuse(call, ApiError::malformed_request);
    return;
  }
  if (!service->text.empty()) {
    // The protocol keeps this stream open: the service might appear later. Ours never does.
    send_state(call, Serving::service_unknown);
    return;
  }
  if (watchers_.empty()) told_ = state();
  send_state(call, told_);
  watchers_.push_back(call);
  arm();
}

void HealthService::on_closed(CallId call) { std::erase(watchers_, call); }

void HealthService::on_draining() {
  draining_ = true;
  look_again();
  // A stream that never ends would hold up the end of its connection.
  const std::vector<CallId> watchers = watchers_;
  for (const CallId call : watchers) api_.refuse(call, ApiError::stopped);
}

void HealthService::look_again() {
  const Serving now = state();
  if (now == told_) return;
  told_ = now;
  for (const CallId call : watchers_) send_state(call, now);
}

void HealthService::arm() {
  if (armed_ || watchers_.empty()) return;
  armed_ = true;
  api_.executor().at(api_.executor().now() + kLookInterval, [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;
    armed_ = false;
    look_again();
    arm();
  });
}

}  // namespace quorate::front::etcd
