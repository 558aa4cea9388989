#include "front/etcd/paced_calls.h"

#include <algorithm>

namespace quorate::front::etcd {

using grpc::CallId;

namespace {

constexpr Duration kStallPatience = std::chrono::minutes(2);
constexpr Duration kStallLook = std::chrono::seconds(10);

}  // namespace

PacedCalls::Paced* PacedCalls::find(CallId call) {
  const auto found = std::ranges::find(calls_, call, &Paced::call);
  return found == calls_.end() ? nullptr : &*found;
}

void PacedCalls::add(CallId call) {
  calls_.push_back({call, false, api_.executor().now()});
  watch_for_stalls();
}

void PacedCalls::leaves(CallId call) {
  Paced* paced = find(call);
  if (paced == nullptr) return;
  paced->leaving = true;
  paced->progressed = api_.executor().now();
}

void PacedCalls::on_writable(CallId call, std::function<void()> next) {
  // Called while the socket is being filled; what comes next is for another task.
  api_.executor().post([this, tether = api_.tether(), call, next = std::move(next)] {
    if (tether.get() == nullptr) return;  // we and our service live as long as the Api
    Paced* paced = find(call);
    if (paced == nullptr || !paced->leaving) return;
    paced->leaving = false;
    next();
  });
}

void PacedCalls::remove(CallId call) {
  std::erase_if(calls_, [&](const Paced& paced) { return paced.call == call; });
}

void PacedCalls::refuse_all(ApiError error) {
  std::vector<CallId> calls;  // refusing takes them off the list
  for (const Paced& paced : calls_) calls.push_back(paced.call);
  for (const CallId call : calls) api_.refuse(call, error);
}

void PacedCalls::watch_for_stalls() {
  if (watching_ || calls_.empty()) return;
  watching_ = true;
  api_.executor().at(api_.executor().now() + kStallLook, [this, tether = api_.tether()] {
    if (tether.get() == nullptr) return;
    watching_ = false;
    const Time now = api_.executor().now();
    std::vector<CallId> stalled;
    for (const Paced& paced : calls_) {
      if (paced.leaving && now - paced.progressed > kStallPatience) stalled.push_back(paced.call);
    }
    for (const CallId call : stalled) api_.refuse(call, ApiError::timed_out);
    watch_for_stalls();
  });
}

}  // namespace quorate::front::etcd
