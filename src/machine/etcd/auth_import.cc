#include "machine/etcd/auth_import.h"

#include <optional>
#include <utility>

#include "machine/etcd/big_endian.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

namespace {

std::unexpected<Error> damaged(const std::string& what) {
  return fail(ErrorKind::corrupt, "the database is not one that etcd wrote: " + what +
                                      "; take another snapshot, or an older one");
}

using User = std::pair<std::string, AuthUser>;
using Role = std::pair<std::string, AuthRole>;

// authpb.User
std::optional<User> decode_user(std::string_view value) {
  User user;
  bool good = true;
  protobuf::Reader reader(value);
  while (good && reader.next()) {
    if (reader.field() == protobuf::bytes_field(1)) user.first = reader.bytes();
    if (reader.field() == protobuf::bytes_field(2)) user.second.hash = reader.bytes();
    if (reader.field() == protobuf::bytes_field(3)) user.second.roles.emplace(reader.bytes());
    if (reader.field() == protobuf::bytes_field(4)) {
      protobuf::Reader options(reader.bytes());
      while (options.next()) {
        if (options.field() == protobuf::varint_field(1)) {
          user.second.no_password = options.boolean();
        }
      }
      good = options.ok();
    }
  }
  if (!good || !reader.ok()) return std::nullopt;
  return user;
}

// authpb.Role. A range that stands there twice permits what both say, as it does in etcd.
std::optional<Role> decode_role(std::string_view value) {
  Role role;
  bool good = true;
  protobuf::Reader reader(value);
  while (good && reader.next()) {
    if (reader.field() == protobuf::bytes_field(1)) role.first = reader.bytes();
    if (reader.field() == protobuf::bytes_field(2)) {
      const auto permission = decode_permission(reader.bytes());
      good = permission.has_value();
      if (!good) break;
      const auto [place, fresh] = role.second.permissions.try_emplace(
          {std::string(permission->key), std::string(permission->range_end)}, permission->kind);
      if (!fresh && place->second != permission->kind) place->second = PermissionKind::read_write;
    }
  }
  if (!good || !reader.ok()) return std::nullopt;
  return role;
}

// Rows under the names that they themselves say.
template <class Row, class Decode>
Result<bool> read_table(const storage::bolt::Reader& file, std::string_view bucket,
                        std::map<std::string, Row, std::less<>>& target, const Decode& decode) {
  bool good = true;
  const auto scanned = file.scan(bucket, [&](std::string_view key, std::string_view value) {
    auto row = decode(value);
    good = row && !key.empty() && row->first == key;
    if (good) target.insert_or_assign(std::move(row->first), std::move(row->second));
    return good;
  });
  if (!scanned) return std::unexpected(scanned.error());
  return good;
}

}  // namespace

Result<ImportedAuth> read_auth(const storage::bolt::Reader& file) {
  ImportedAuth auth;
  bool good = true;
  const auto scanned = file.scan("auth", [&](std::string_view key, std::string_view value) {
    if (key == "authEnabled") {
      good = value.size() == 1 && (value[0] == 0 || value[0] == 1);
      auth.state.enabled = good && value[0] == 1;
    }
    if (key == "authRevision") {
      const auto revision = decode_big_endian(value);
      // Far beyond what changes of users can count to, and with room behind it.
      good = revision && *revision <= UINT64_MAX / 2;
      // 0 is what the oldest versions begin with.
      if (good && *revision > 0) auth.state.revision = *revision;
    }
    return good;
  });
  if (!scanned) return std::unexpected(scanned.error());
  if (!good) return damaged("what it says of authentication makes no sense");
  const auto users = read_table(file, "authUsers", auth.users, decode_user);
  if (!users) return std::unexpected(users.error());
  if (!*users) return damaged("a user cannot be decoded");
  const auto roles = read_table(file, "authRoles", auth.roles, decode_role);
  if (!roles) return std::unexpected(roles.error());
  if (!*roles) return damaged("a role cannot be decoded");
  // etcd does not write down when a password changed, nor when auth was enabled. Not later than
  // now: whatever was proven at an older revision is proven once more.
  auth.state.enabled_since = auth.state.enabled ? auth.state.revision : 0;
  for (auto& [name, user] : auth.users) user.changed = auth.state.revision;
  return auth;
}

void put_auth(const ImportedAuth& auth, storage::WriteBatch& batch) {
  if (!auth.used()) return;
  batch.put(kAuthStateKey, encode_auth_state(auth.state));
  for (const auto& [name, user] : auth.users) {
    batch.put(auth_row_key(kAuthUserTable, name), encode_auth_user(user));
  }
  for (const auto& [name, role] : auth.roles) {
    batch.put(auth_row_key(kAuthRoleTable, name), encode_auth_role(role));
  }
}

}  // namespace quorate::machine::etcd
