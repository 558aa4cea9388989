// machine/etcd/auth_book.h: the auth store of the etcd machine: users, roles, what roles permit,
// whether all that is in force, and the auth revision, which counts its changes.
//
// Replicated and in snapshots like the keyspace. Tokens are not: each is given out by a log entry,
// so that all members hear of it, and lives only in their memories (docs/decisions/0021). While
// auth is off every check says yes; while it is on the answer is no unless a rule here says yes.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/types.h"
#include "machine/etcd/auth_messages.h"
#include "machine/etcd/auth_rows.h"
#include "machine/etcd/commands.h"
#include "machine/etcd/permitted_ranges.h"
#include "storage/kv/kv_store.h"

namespace quorate::machine::etcd {

inline constexpr std::string_view kRootUser = "root";
inline constexpr std::string_view kRootRole = "root";

// A token given out by the entry `index`.
struct TokenNews {
  Index index;
  std::string token;
  std::string user;
  uint64_t auth_revision = 0;
};
// More than are given out in a turn of any client's making; of those forgotten unread the clients
// authenticate again.
inline constexpr size_t kTokenNewsMax = 4096;

enum class Access : uint8_t { read, write };

class AuthBook {
 public:
  // An error: the rows are damaged or of a newer format.
  Result<void> load(const storage::KvStore& rows);

  // Of a CommandKind::auth; whether the caller may was checked before.
  Code apply(std::string_view request, Index index, storage::WriteBatch& batch, std::string* body);

  bool enabled() const { return state_.enabled; }
  uint64_t revision() const { return state_.revision; }
  const AuthUser* find_user(std::string_view name) const;
  const AuthRole* find_role(std::string_view name) const;
  const std::map<std::string, AuthUser, std::less<>>& users() const { return users_; }
  const std::map<std::string, AuthRole, std::less<>>& roles() const { return roles_; }
  bool has_role(std::string_view user, std::string_view role) const;
  // Whether what was proven about the user at that auth revision still holds.
  bool still_proven(std::string_view user, uint64_t auth_revision) const;

  Code check_user(const Caller& caller) const;  // it is somebody
  Code check_root(const Caller& caller) const;
  Code check_range(const Caller& caller, std::string_view key, std::string_view range_end,
                   Access access) const;

  // Tokens given out by entries behind `after`, oldest first.
  void tokens_after(Index after, const std::function<void(const TokenNews&)>& visit) const;
  Index last_token() const { return news_.empty() ? Index{} : news_.back().index; }

  // Over all there is; nothing is added for a store that was never used.
  uint32_t add_to_hash(uint32_t crc) const;

 private:
  struct Ranges {
    PermittedRanges read;
    PermittedRanges write;
  };

  Code enable();
  Code add_user(const UserRequest& request);
  Code delete_user(std::string_view name);
  Code change_password(const UserRequest& request);
  Code grant_role(const NamedRequest& request);
  Code revoke_role(const NamedRequest& request);
  Code add_role(std::string_view name);
  Code delete_role(std::string_view name);
  Code grant_permission(const RolePermissionRequest& request);
  Code revoke_permission(const RolePermissionRequest& request);
  Code authenticate(const AuthenticateRequest& request, Index index, std::string* body);
  Code change(AuthOperation operation, std::string_view wire);
  Code change_user(AuthOperation operation, std::string_view wire);
  Code change_role(AuthOperation operation, std::string_view wire);

  void write_state();
  void write_user(const std::string& name, const AuthUser& user);
  void write_role(const std::string& name, const AuthRole& role);
  void remove_user_row(const std::string& name);
  void remove_role_row(const std::string& name);
  void count_change();
  const Ranges& ranges_of(std::string_view name, const AuthUser& user) const;

  AuthState state_;
  std::map<std::string, AuthUser, std::less<>> users_;
  std::map<std::string, AuthRole, std::less<>> roles_;
  std::deque<TokenNews> news_;
  storage::WriteBatch* batch_ = nullptr;                       // within apply()
  mutable std::map<std::string, Ranges, std::less<>> ranges_;  // made when needed; of this revision
};

}  // namespace quorate::machine::etcd
