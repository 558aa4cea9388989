#include "front/etcd/defragment_service.h"

namespace quorate::front::etcd {

using grpc::CallId;

DefragmentService::DefragmentService(Api& api) : api_(api) {
  api_.server().add_unary("etcdserverpb.Maintenance", "Defragment",
                          [this](CallId call, std::string_view) {
                            if (!api_.admit(call)) return;
                            if (api_.permit(call, Api::Rights::root)) on_defragment(call);
                          });
}

void DefragmentService::on_defragment(CallId call) {
  if (waiting_.size() >= kWaitingMax) return api_.refuse(call, ApiError::too_many_requests);
  waiting_.push_back(call);
  if (served_.empty()) start();
}

void DefragmentService::start() {
  served_.swap(waiting_);
  started_ = api_.executor().now();
  api_.counts().defragmentations_under_way = 1;
  api_.service().defragment([this, tether = api_.tether()](bool done) {
    if (tether.get() != nullptr) on_done(done);  // this service lives as long as the Api
  });
}

void DefragmentService::on_done(bool done) {
  api_.counts().defragmentations_under_way = 0;
  if (done) api_.counts().defragmentations.add(api_.executor().now() - started_);
  for (const CallId call : std::exchange(served_, {})) {
    if (!done) {
      api_.refuse(call, ApiError::unhealthy);
    } else if (api_.server().alive(call)) {
      api_.server().answer(call, {}, {});
    }
  }
  if (!waiting_.empty()) start();
}

}  // namespace quorate::front::etcd
