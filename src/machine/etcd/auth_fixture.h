// machine/etcd/auth_fixture.h: for tests: a machine with users and roles, and requests in their
// name.
#pragma once

#include <functional>
#include <string>

#include "machine/etcd/auth_book.h"
#include "machine/etcd/envelope.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::machine::etcd {

class AuthFixture : public MachineFixture {
 public:
  const AuthBook& auth() { return *machine().auth(); }
  Caller caller(std::string_view user) { return {user, auth().revision(), false}; }
  Code as(const Caller& who, CommandKind kind, std::string_view request) {
    Reply reply;
    machine().apply_command(machine().applied().next(), 1, make_command(kind, request, who),
                            &reply);
    body = std::string(reply.body.view());
    return static_cast<Code>(reply.code);
  }
  template <class Request>
    requires(!std::is_convertible_v<Request, std::string_view>)
  Code as(const Caller& who, CommandKind kind, const Request& request) {
    return as(who, kind, std::string_view(wire(request)));
  }
  Code change(AuthOperation operation, std::string_view message, const Caller& who) {
    return as(who, CommandKind::auth,
              std::string(1, static_cast<char>(operation)) + std::string(message));
  }
  Code names(AuthOperation operation, std::string_view first, std::string_view second = {}) {
    return change(operation, wire(NamedRequest{first, second}), caller(kRootUser));
  }
  Code add_user(std::string_view name) {
    std::string message;
    encode_user_add({name, {}, false, "hash of " + std::string(name)}, message);
    return change(AuthOperation::user_add, message, caller(kRootUser));
  }
  Code password(std::string_view name, std::string_view hash) {
    std::string message;
    encode_user_change_password({name, {}, false, hash}, message);
    return change(AuthOperation::user_change_password, message, caller(kRootUser));
  }
  Code permit(std::string_view role, PermissionKind kind, std::string_view key,
              std::string_view end = {}) {
    std::string permission;
    encode(Permission{kind, key, end}, permission);
    return names(AuthOperation::role_grant_permission, role, permission);
  }
  Code enable() { return change(AuthOperation::enable, {}, caller(kRootUser)); }
  Code disable() { return change(AuthOperation::disable, {}, caller(kRootUser)); }
  // root, and `reader` and `writer` of [b, e), both with a role of their own.
  void found() {
    ASSERT_EQ(add_user("root"), Code::ok);
    ASSERT_EQ(names(AuthOperation::user_grant_role, "root", "root"), Code::ok);
    for (const std::string name : {"reader", "writer"}) {
      ASSERT_EQ(add_user(name), Code::ok);
      ASSERT_EQ(names(AuthOperation::role_add, name + "s"), Code::ok);
      ASSERT_EQ(names(AuthOperation::user_grant_role, name, name + "s"), Code::ok);
    }
    ASSERT_EQ(permit("readers", PermissionKind::read, "b", "e"), Code::ok);
    ASSERT_EQ(permit("writers", PermissionKind::write, "b", "e"), Code::ok);
    ASSERT_EQ(enable(), Code::ok);
  }
  Code login(std::string_view name, uint64_t checked) {
    return change(AuthOperation::authenticate,
                  wire(AuthenticateRequest{name, {}, "prefix", checked}), {});
  }
  std::string body;
};

inline PutRequest put_of(std::string_view key, int64_t lease = 0, bool prev_kv = false) {
  PutRequest request;
  request.key = key;
  request.lease = lease;
  request.prev_kv = prev_kv;
  return request;
}
inline RangeRequest range_of(std::string_view key, std::string_view end = {}) {
  RangeRequest request;
  request.key = key;
  request.range_end = end;
  return request;
}

}  // namespace quorate::machine::etcd
