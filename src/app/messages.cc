#include "app/messages.h"

#include "storage/mvcc/protobuf.h"

namespace quorate::app {
namespace {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;

bool decode_header(std::string_view wire, MemberStatus& status) {
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) status.cluster_id = reader.number();
    if (reader.field() == varint_field(2)) status.member_id = reader.number();
    if (reader.field() == varint_field(3)) status.revision = reader.signed_number();
  }
  return reader.ok();
}

std::optional<MemberEntry> decode_member(std::string_view wire) {
  MemberEntry member;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) member.id = reader.number();
    if (reader.field() == bytes_field(2)) member.name = reader.bytes();
    if (reader.field() == bytes_field(3)) member.peer_urls.emplace_back(reader.bytes());
    if (reader.field() == bytes_field(4)) member.client_urls.emplace_back(reader.bytes());
    if (reader.field() == varint_field(5)) member.learner = reader.boolean();
  }
  if (!reader.ok()) return std::nullopt;
  return member;
}

}  // namespace

std::optional<MemberStatus> decode_status(std::string_view wire) {
  MemberStatus status;
  Reader reader(wire);
  bool header_ok = true;
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) header_ok = decode_header(reader.bytes(), status);
    if (reader.field() == bytes_field(2)) status.version = reader.bytes();
    if (reader.field() == varint_field(3)) status.store_bytes = reader.signed_number();
    if (reader.field() == varint_field(4)) status.leader = reader.number();
    if (reader.field() == varint_field(5)) status.index = reader.number();
    if (reader.field() == varint_field(6)) status.term = reader.number();
    if (reader.field() == varint_field(7)) status.applied = reader.number();
    if (reader.field() == bytes_field(8)) status.errors.emplace_back(reader.bytes());
    if (reader.field() == varint_field(10)) status.learner = reader.boolean();
    if (reader.field() == bytes_field(1000)) status.protocol = reader.bytes();  // ours alone
  }
  if (!reader.ok() || !header_ok) return std::nullopt;
  return status;
}

std::optional<AddedMember> decode_member_added(std::string_view wire) {
  AddedMember added;
  MemberStatus header;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) {
      if (!decode_header(reader.bytes(), header)) return std::nullopt;
    } else if (reader.field() == bytes_field(2) || reader.field() == bytes_field(3)) {
      auto member = decode_member(reader.bytes());
      if (!member) return std::nullopt;
      if (reader.field() == bytes_field(2)) {
        added.member = std::move(*member);
      } else {
        added.members.push_back(std::move(*member));
      }
    }
  }
  if (!reader.ok() || added.member.id == 0) return std::nullopt;
  added.cluster_id = header.cluster_id;
  return added;
}

std::optional<std::vector<MemberEntry>> decode_member_list(std::string_view wire) {
  std::vector<MemberEntry> members;
  Reader reader(wire);
  while (reader.next()) {
    if (reader.field() != bytes_field(2)) continue;
    auto member = decode_member(reader.bytes());
    if (!member) return std::nullopt;
    members.push_back(std::move(*member));
  }
  if (!reader.ok()) return std::nullopt;
  return members;
}

}  // namespace quorate::app
