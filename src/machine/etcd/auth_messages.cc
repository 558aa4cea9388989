// The protobuf wire form of auth_messages.h.
#include "machine/etcd/auth_messages.h"

#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;
using protobuf::write_bytes;
using protobuf::write_number;
using protobuf::write_present;

namespace {

bool read_options(std::string_view wire, bool& no_password) {
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) no_password = reader.boolean();
  }
  return reader.ok();
}

}  // namespace

std::optional<Permission> decode_permission(std::string_view wire) {
  Reader reader(wire);
  Permission permission;
  while (reader.next()) {
    if (reader.field() == varint_field(1)) {
      if (reader.number() > static_cast<uint64_t>(PermissionKind::read_write)) return std::nullopt;
      permission.kind = static_cast<PermissionKind>(reader.number());
    }
    if (reader.field() == bytes_field(2)) permission.key = reader.bytes();
    if (reader.field() == bytes_field(3)) permission.range_end = reader.bytes();
  }
  if (!reader.ok()) return std::nullopt;
  return permission;
}

std::optional<UserRequest> decode_user_add_request(std::string_view wire) {
  Reader reader(wire);
  UserRequest request;
  bool good = true;
  while (good && reader.next()) {
    if (reader.field() == bytes_field(1)) request.name = reader.bytes();
    if (reader.field() == bytes_field(2)) request.password = reader.bytes();
    if (reader.field() == bytes_field(3)) {
      good = read_options(reader.bytes(), request.no_password);
    }
    if (reader.field() == bytes_field(4)) request.hash = reader.bytes();
  }
  if (!good || !reader.ok()) return std::nullopt;
  return request;
}

std::optional<UserRequest> decode_user_change_password_request(std::string_view wire) {
  Reader reader(wire);
  UserRequest request;
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) request.name = reader.bytes();
    if (reader.field() == bytes_field(2)) request.password = reader.bytes();
    if (reader.field() == bytes_field(3)) request.hash = reader.bytes();
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<NamedRequest> decode_named_request(std::string_view wire) {
  Reader reader(wire);
  NamedRequest request;
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) request.first = reader.bytes();
    if (reader.field() == bytes_field(2)) request.second = reader.bytes();
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<RolePermissionRequest> decode_role_grant_permission_request(std::string_view wire) {
  Reader reader(wire);
  RolePermissionRequest request;
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) request.role = reader.bytes();
    if (reader.field() == bytes_field(2)) {
      request.permission = decode_permission(reader.bytes());
      if (!request.permission) return std::nullopt;
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<RolePermissionRequest> decode_role_revoke_permission_request(std::string_view wire) {
  Reader reader(wire);
  RolePermissionRequest request;
  request.permission.emplace();
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) request.role = reader.bytes();
    if (reader.field() == bytes_field(2)) request.permission->key = reader.bytes();
    if (reader.field() == bytes_field(3)) request.permission->range_end = reader.bytes();
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

std::optional<AuthenticateRequest> decode_authenticate_request(std::string_view wire) {
  Reader reader(wire);
  AuthenticateRequest request;
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) request.name = reader.bytes();
    if (reader.field() == bytes_field(2)) request.password = reader.bytes();
    if (reader.field() == bytes_field(3)) request.token_prefix = reader.bytes();
    if (reader.field() == varint_field(4)) request.checked_revision = reader.number();
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

void encode_user_add(const UserRequest& request, std::string& out) {
  write_bytes(1, request.name, out);
  write_bytes(2, request.password, out);
  std::string options;
  write_number(1, request.no_password ? 1 : 0, options);
  write_present(3, options, out);
  write_bytes(4, request.hash, out);
}

void encode_user_change_password(const UserRequest& request, std::string& out) {
  write_bytes(1, request.name, out);
  write_bytes(2, request.password, out);
  write_bytes(3, request.hash, out);
}

void encode(const NamedRequest& request, std::string& out) {
  write_bytes(1, request.first, out);
  write_bytes(2, request.second, out);
}

void encode(const AuthenticateRequest& request, std::string& out) {
  write_bytes(1, request.name, out);
  write_bytes(2, request.password, out);
  write_bytes(3, request.token_prefix, out);
  write_number(4, static_cast<int64_t>(request.checked_revision), out);
}

void encode(const Permission& permission, std::string& out) {
  write_number(1, static_cast<int64_t>(permission.kind), out);
  write_bytes(2, permission.key, out);
  write_bytes(3, permission.range_end, out);
}

}  // namespace quorate::machine::etcd
