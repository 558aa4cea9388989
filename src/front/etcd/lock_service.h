// front/etcd/lock_service.h: v3lockpb.Lock: a lock that the server waits for.
//
// Answers when the caller's key is at the front of the line, however long that takes. The answer's
// revision is greater than that of every earlier holder's: a number to fence with.
#pragma once

#include "front/etcd/waiting_line.h"

namespace quorate::front::etcd {

class LockService : private grpc::StreamHandler {
 public:
  LockService(Api& api, WaitingLine& line);

 private:
  // Lock is a unary call, taken as a stream of one message: so its end is heard of.
  void on_message(grpc::CallId call, std::string_view message) override;
  void on_half_close(grpc::CallId call) override;
  void on_writable(grpc::CallId) override {}
  void on_closed(grpc::CallId call) override { line_.leave(call); }
  void on_unlock(grpc::CallId call, std::string_view message);

  Api& api_;
  WaitingLine& line_;
};

}  // namespace quorate::front::etcd
