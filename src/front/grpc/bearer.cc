#include "front/grpc/bearer.h"

#include <utility>

#include "front/grpc/server.h"

namespace quorate::front::grpc {

void Bearer::adopt(Call& call) {
  call.older = newest_;
  call.newer = nullptr;
  if (newest_ != nullptr) newest_->newer = &call;
  newest_ = &call;
}

void Bearer::drop(Call& call) {
  unsent_ -= call.unsent();
  if (!call.dispatched) unfinished_ -= call.inbound.size() + call.json.size();
  if (call.newer != nullptr) call.newer->older = call.older;
  if (call.older != nullptr) call.older->newer = call.newer;
  if (newest_ == &call) newest_ = call.older;
  call.older = call.newer = nullptr;
}

void Bearer::forget_calls() {
  while (newest_ != nullptr) server_.forget_call(*newest_);
}

bool Bearer::run_waiting() {
  bool ran = false;
  while (!waiting_.empty() && !full() && !closed()) {
    const CallId id = waiting_.front();
    waiting_.pop_front();
    Call* call = server_.calls().find(id);
    if (call == nullptr || call->finished) continue;
    if (RoomWaiter* waiter = std::exchange(call->waiter, nullptr); waiter != nullptr) {
      waiter->on_room(id);
    } else {
      server_.dispatch(*call);
    }
    ran = true;
  }
  return ran;
}

}  // namespace quorate::front::grpc
