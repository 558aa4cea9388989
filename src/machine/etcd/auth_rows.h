// machine/etcd/auth_rows.h: the rows that users, roles and the state of auth lie in, as bytes; and
// the same as etcd's database file has them.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "machine/etcd/auth_messages.h"
#include "storage/kv/kv_store.h"

namespace quorate::machine::etcd {

struct AuthUser {
  std::string hash;  // empty: has no password
  bool no_password = false;
  std::set<std::string, std::less<>> roles;
  uint64_t changed = 0;  // auth revision of the last password; what was proven before is void
};
struct AuthRole {
  std::map<std::pair<std::string, std::string>, PermissionKind> permissions;  // by key, range_end
};
struct AuthState {
  bool enabled = false;
  uint64_t revision = 1;
  uint64_t enabled_since = 0;  // auth revision; tokens from before it are void
};

// Few rows, written seldom: with the other bookkeeping (docs/decisions/0009). All of auth's begin
// with these two letters, and no others do.
inline constexpr std::string_view kAuthStateKey = "mus";
inline constexpr std::string_view kAuthRoleTable = "mur";
inline constexpr std::string_view kAuthRoleTableEnd = "mus";
inline constexpr std::string_view kAuthUserTable = "muu";
inline constexpr std::string_view kAuthUserTableEnd = "muv";
static_assert(kAuthStateKey[0] == storage::kApartTable &&
              kAuthRoleTable[0] == storage::kApartTable &&
              kAuthUserTable[0] == storage::kApartTable);

std::string auth_row_key(std::string_view table, std::string_view name);
std::string encode_auth_state(const AuthState& state);
std::string encode_auth_user(const AuthUser& user);
std::string encode_auth_role(const AuthRole& role);
// nullopt: damaged, or of a newer format.
std::optional<AuthState> decode_auth_state(std::string_view value);
std::optional<AuthUser> decode_auth_user(std::string_view value);
std::optional<AuthRole> decode_auth_role(std::string_view value);

Error unreadable_auth();

// The rows of etcd's buckets of these names.
struct AuthBuckets {
  using Rows = std::vector<std::pair<std::string, std::string>>;
  Rows auth;
  Rows roles;
  Rows users;
};
Result<AuthBuckets> auth_buckets(const storage::KvView& state);

}  // namespace quorate::machine::etcd
