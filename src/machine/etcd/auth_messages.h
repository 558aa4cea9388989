// machine/etcd/auth_messages.h: the messages of the etcd Auth service, as messages.h has those of
// KV: plain structs that borrow, decoded from hostile bytes, unknown fields skipped.
//
// Passwords never come here: the front replaces them by hashes before the log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace quorate::machine::etcd {

enum class PermissionKind : uint8_t { read = 0, write = 1, read_write = 2 };
struct Permission {
  PermissionKind kind = PermissionKind::read;  // 1
  std::string_view key;                        // 2
  std::string_view range_end;                  // 3
};

// What changes the auth store. The first byte of a CommandKind::auth request; the message follows.
enum class AuthOperation : uint8_t {
  enable = 1,
  disable = 2,
  user_add = 3,
  user_delete = 4,
  user_change_password = 5,
  user_grant_role = 6,
  user_revoke_role = 7,
  role_add = 8,
  role_delete = 9,
  role_grant_permission = 10,
  role_revoke_permission = 11,
  authenticate = 12  // the password was checked already; gives out a token
};

struct UserRequest {          // the field numbers are those of AuthUserAddRequest
  std::string_view name;      // 1
  std::string_view password;  // 2; never in the log
  bool no_password = false;   // 3.1
  std::string_view hash;      // 4; in AuthUserChangePasswordRequest 3
};
struct NamedRequest {       // all that consists of one or two names
  std::string_view first;   // 1
  std::string_view second;  // 2
};
struct RolePermissionRequest {
  std::string_view role;                 // 1
  std::optional<Permission> permission;  // 2; of a revoke its key is 2 and its range_end 3
};
struct AuthenticateRequest {
  std::string_view name;          // 1
  std::string_view password;      // 2; never in the log
  std::string_view token_prefix;  // 3, ours
  uint64_t checked_revision = 0;  // 4, ours: of the auth store when the password was right
};

std::optional<Permission> decode_permission(std::string_view wire);
std::optional<UserRequest> decode_user_add_request(std::string_view wire);
std::optional<UserRequest> decode_user_change_password_request(std::string_view wire);
std::optional<NamedRequest> decode_named_request(std::string_view wire);
std::optional<RolePermissionRequest> decode_role_grant_permission_request(std::string_view wire);
std::optional<RolePermissionRequest> decode_role_revoke_permission_request(std::string_view wire);
std::optional<AuthenticateRequest> decode_authenticate_request(std::string_view wire);

void encode_user_add(const UserRequest& request, std::string& out);
void encode_user_change_password(const UserRequest& request, std::string& out);
void encode(const NamedRequest& request, std::string& out);
void encode(const AuthenticateRequest& request, std::string& out);
void encode(const Permission& permission, std::string& out);

}  // namespace quorate::machine::etcd
