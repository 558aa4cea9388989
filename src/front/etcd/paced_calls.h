// front/etcd/paced_calls.h: calls that are answered piece by piece, each piece when the client has
// taken the one before.
//
// A client that takes nothing for kStallPatience while a piece is on its way is refused: it is
// gone, or holds on to room that others need.
#pragma once

#include <functional>
#include <vector>

#include "front/etcd/api.h"

namespace quorate::front::etcd {

class PacedCalls {
 public:
  explicit PacedCalls(Api& api) : api_(api) {}

  size_t size() const { return calls_.size(); }
  void add(grpc::CallId call);
  void leaves(grpc::CallId call);  // a piece is on its way
  // `next` in a task of its own, if a piece was on its way and has left.
  void on_writable(grpc::CallId call, std::function<void()> next);
  void remove(grpc::CallId call);
  void refuse_all(ApiError error);

 private:
  struct Paced {
    grpc::CallId call;
    bool leaving = false;
    Time progressed;
  };
  Paced* find(grpc::CallId call);
  void watch_for_stalls();

  Api& api_;
  std::vector<Paced> calls_;
  bool watching_ = false;
};

}  // namespace quorate::front::etcd
