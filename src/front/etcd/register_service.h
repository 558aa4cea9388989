// front/etcd/register_service.h: quorate.Registers: values that need no leader.
//
// Not of etcd: a service of our own beside it. Each call ends in one of four ways, said in the
// answer and never left to an error code: applied, mismatch, surely not applied, unknown.
#pragma once

#include "front/etcd/api.h"

namespace quorate::front::etcd {

// Request: 1 name, 2 kind (0 get, 1 set, 2 compare-and-set), 3 value, 4 expected value, 5 true: the
// register must never have been written. Answer: 1 verdict (1 applied, 2 mismatch, 3 surely not
// applied, 4 unknown), 2 version, 3 value, 4 why not, in words.
class RegisterService {
 public:
  explicit RegisterService(Api& api);

 private:
  void on_change(grpc::CallId call, std::string_view message);

  Api& api_;
};

}  // namespace quorate::front::etcd
