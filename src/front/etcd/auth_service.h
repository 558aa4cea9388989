// front/etcd/auth_service.h: etcdserverpb.Auth: users, roles, and the tokens by which calls are
// known (callers.h).
//
// Changes go through the log, with hashes in place of passwords. A password is compared with the
// hash as of an auth revision; if that is another one when the token would be given out, it is
// compared again.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "front/etcd/api.h"
#include "front/etcd/passwords.h"
#include "machine/etcd/auth_book.h"

namespace quorate::front::etcd {

class AuthService {
 public:
  explicit AuthService(Api& api);

 private:
  using Handler = void (AuthService::*)(grpc::CallId, std::string_view);
  using Look = void (AuthService::*)(grpc::CallId, const machine::etcd::AuthBook&);

  void add_change(std::string_view name, machine::etcd::AuthOperation operation);
  void add_look(std::string_view name, Look look);
  void propose(grpc::CallId call, machine::etcd::AuthOperation operation, std::string_view message);
  void after_barrier(grpc::CallId call, Look look);

  void on_user_add(grpc::CallId call, std::string_view message);
  void on_change_password(grpc::CallId call, std::string_view message);
  bool may_choose_password(grpc::CallId call, std::string_view password);
  void hash(grpc::CallId call, machine::etcd::AuthOperation operation,
            const machine::etcd::UserRequest& request);

  void check_password(grpc::CallId call, const machine::etcd::AuthBook& auth);
  void give_token(grpc::CallId call, uint64_t checked_revision);
  void on_token(grpc::CallId call, const node::Outcome& outcome);

  void look_status(grpc::CallId call, const machine::etcd::AuthBook& auth);
  void look_user(grpc::CallId call, const machine::etcd::AuthBook& auth);
  void look_users(grpc::CallId call, const machine::etcd::AuthBook& auth);
  void look_role(grpc::CallId call, const machine::etcd::AuthBook& auth);
  void look_roles(grpc::CallId call, const machine::etcd::AuthBook& auth);

  Api& api_;
  Passwords passwords_;
};

}  // namespace quorate::front::etcd
