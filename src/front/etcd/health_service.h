// front/etcd/health_service.h: grpc.health.v1.Health for load balancers and kubelets.
//
// The whole server is the service "": SERVING from the moment the node first was ready until it
// drains, as etcd does; a lost leader is for /health to tell.
#pragma once

#include <vector>

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class HealthService final : public grpc::StreamHandler {
 public:
  explicit HealthService(Api& api);
  void on_draining();

  void on_message(grpc::CallId call, std::string_view message) override;  // Watch
  void on_half_close(grpc::CallId) override {}
  void on_writable(grpc::CallId) override {}
  void on_closed(grpc::CallId call) override;

 private:
  enum class Serving : uint8_t { serving = 1, not_serving = 2, service_unknown = 3 };
  void on_check(grpc::CallId call, std::string_view message);
  Serving state();
  void look_again();
  void arm();
  void send_state(grpc::CallId call, Serving serving);

  Api& api_;
  std::vector<grpc::CallId> watchers_;
  Serving told_ = Serving::not_serving;
  bool was_ready_ = false;
  bool draining_ = false;
  bool armed_ = false;
};

}  // namespace quorate::front::etcd
