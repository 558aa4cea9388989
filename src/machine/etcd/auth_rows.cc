#include "machine/etcd/auth_rows.h"

#include "base/codec.h"
#include "machine/etcd/big_endian.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::write_bytes;
using protobuf::write_number;
using protobuf::write_present;

namespace {

constexpr uint8_t kAuthFormat = 1;

std::string user_message(std::string_view name, const AuthUser& user) {
  std::string out;
  write_bytes(1, name, out);
  write_bytes(2, user.hash, out);
  for (const std::string& role : user.roles) write_present(3, role, out);
  std::string options;
  write_number(1, user.no_password ? 1 : 0, options);
  write_present(4, options, out);
  return out;
}

std::string role_message(std::string_view name, const AuthRole& role) {
  std::string out;
  write_bytes(1, name, out);
  for (const auto& [range, kind] : role.permissions) {
    std::string permission;
    encode(Permission{kind, range.first, range.second}, permission);
    write_present(2, permission, out);
  }
  return out;
}

// The table with each row turned into the message that etcd has for it.
template <class Decode, class Message>
Result<AuthBuckets::Rows> bucket_of(const storage::KvView& state, std::string_view table,
                                    std::string_view end, const Decode& decode,
                                    const Message& message) {
  AuthBuckets::Rows rows;
  bool good = true;
  const auto scanned = state.scan(table, end, [&](std::string_view key, std::string_view value) {
    const auto row = decode(value);
    good = row.has_value();
    const std::string_view name = key.substr(table.size());
    if (good) rows.emplace_back(name, message(name, *row));
    return good;
  });
  if (!scanned) return std::unexpected(scanned.error());
  if (!good) return std::unexpected(unreadable_auth());
  return rows;
}

}  // namespace

std::string auth_row_key(std::string_view table, std::string_view name) {
  std::string key(table);
  key += name;
  return key;
}

std::string encode_auth_state(const AuthState& state) {
  Encoder encoder;
  encoder.u8(kAuthFormat);
  encoder.u8(state.enabled ? 1 : 0);
  encoder.u64(state.revision);
  encoder.u64(state.enabled_since);
  return std::move(encoder.text());
}

std::optional<AuthState> decode_auth_state(std::string_view value) {
  Decoder decoder(value);
  if (decoder.u8() != kAuthFormat) return std::nullopt;
  AuthState state;
  state.enabled = decoder.u8() != 0;
  state.revision = decoder.u64();
  state.enabled_since = decoder.u64();
  if (!decoder.finished() || state.revision == 0) return std::nullopt;
  return state;
}

std::string encode_auth_user(const AuthUser& user) {
  Encoder encoder;
  encoder.u8(kAuthFormat);
  encoder.string(user.hash);
  encoder.u8(user.no_password ? 1 : 0);
  encoder.u64(user.changed);
  encoder.varint(user.roles.size());
  for (const std::string& role : user.roles) encoder.string(role);
  return std::move(encoder.text());
}

std::optional<AuthUser> decode_auth_user(std::string_view value) {
  Decoder decoder(value);
  if (decoder.u8() != kAuthFormat) return std::nullopt;
  AuthUser user;
  user.hash = decoder.string();
  user.no_password = decoder.u8() != 0;
  user.changed = decoder.u64();
  const uint64_t count = decoder.varint();
  for (uint64_t i = 0; i < count && decoder.ok(); ++i) user.roles.emplace(decoder.string());
  if (!decoder.finished()) return std::nullopt;
  return user;
}

std::string encode_auth_role(const AuthRole& role) {
  Encoder encoder;
  encoder.u8(kAuthFormat);
  encoder.varint(role.permissions.size());
  for (const auto& [range, kind] : role.permissions) {
    encoder.u8(static_cast<uint8_t>(kind));
    encoder.string(range.first);
    encoder.string(range.second);
  }
  return std::move(encoder.text());
}

std::optional<AuthRole> decode_auth_role(std::string_view value) {
  Decoder decoder(value);
  if (decoder.u8() != kAuthFormat) return std::nullopt;
  AuthRole role;
  const uint64_t count = decoder.varint();
  for (uint64_t i = 0; i < count && decoder.ok(); ++i) {
    const uint8_t kind = decoder.u8();
    if (kind > static_cast<uint8_t>(PermissionKind::read_write)) return std::nullopt;
    std::string key(decoder.string());
    std::string end(decoder.string());
    role.permissions[{std::move(key), std::move(end)}] = static_cast<PermissionKind>(kind);
  }
  if (!decoder.finished()) return std::nullopt;
  return role;
}

Error unreadable_auth() {
  return {ErrorKind::corrupt,
          "The row store is damaged or of a newer version: the users and roles cannot be decoded. "
          "Start the version that wrote it, replace the member, or restore it from a snapshot."};
}

Result<AuthBuckets> auth_buckets(const storage::KvView& state) {
  const auto text = state.get(kAuthStateKey);
  if (!text) return std::unexpected(text.error());
  AuthBuckets buckets;
  if (*text) {
    const auto stored = decode_auth_state(**text);
    if (!stored) return std::unexpected(unreadable_auth());
    buckets.auth.emplace_back("authEnabled", stored->enabled ? "\x01" : std::string(1, '\0'));
    buckets.auth.emplace_back("authRevision", big_endian(stored->revision));
  }
  auto roles = bucket_of(state, kAuthRoleTable, kAuthRoleTableEnd, decode_auth_role, role_message);
  if (!roles) return std::unexpected(roles.error());
  buckets.roles = std::move(*roles);
  auto users = bucket_of(state, kAuthUserTable, kAuthUserTableEnd, decode_auth_user, user_message);
  if (!users) return std::unexpected(users.error());
  buckets.users = std::move(*users);
  return buckets;
}

}  // namespace quorate::machine::etcd
