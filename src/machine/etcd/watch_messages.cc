#include "machine/etcd/watch_messages.h"

#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::bytes_field;
using protobuf::varint_field;
using protobuf::write_bytes;
using protobuf::write_number;
using protobuf::write_prefix;

namespace {

constexpr uint32_t kEvents = 11;
constexpr uint64_t kNoPut = 0;
constexpr uint64_t kNoDelete = 1;

void add_filter(uint64_t filter, WatchCreateRequest& request) {
  if (filter == kNoPut) request.no_put = true;
  if (filter == kNoDelete) request.no_delete = true;
}

// Elements of a packed list stand one after the other without tags.
bool add_packed_filters(std::string_view packed, WatchCreateRequest& request) {
  while (!packed.empty()) {
    uint64_t filter = 0;
    unsigned shift = 0;
    bool more = true;
    for (; more && shift < 70 && !packed.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(packed.front());
      packed.remove_prefix(1);
      if (shift < 64) filter |= uint64_t{byte & 0x7fU} << shift;
      more = byte >= 0x80;
    }
    if (more) return false;
    add_filter(filter, request);
  }
  return true;
}

std::optional<WatchCreateRequest> decode_create(std::string_view wire) {
  WatchCreateRequest request;
  protobuf::Reader reader(wire);
  bool well_formed = true;
  while (well_formed && reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        request.key = reader.bytes();
        break;
      case bytes_field(2):
        request.range_end = reader.bytes();
        break;
      case varint_field(3):
        request.start_revision = reader.signed_number();
        break;
      case varint_field(4):
        request.progress_notify = reader.boolean();
        break;
      case varint_field(5):
        add_filter(reader.number(), request);
        break;
      case bytes_field(5):
        well_formed = add_packed_filters(reader.bytes(), request);
        break;
      case varint_field(6):
        request.prev_kv = reader.boolean();
        break;
      case varint_field(7):
        request.watch_id = reader.signed_number();
        break;
      case varint_field(8):
        request.fragment = reader.boolean();
        break;
      default:
        break;
    }
  }
  if (!well_formed || !reader.ok()) return std::nullopt;
  return request;
}

std::optional<WatchCancelRequest> decode_cancel(std::string_view wire) {
  WatchCancelRequest request;
  protobuf::Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == varint_field(1)) request.watch_id = reader.signed_number();
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

}  // namespace

std::optional<WatchRequest> decode_watch_request(std::string_view wire) {
  WatchRequest request;
  protobuf::Reader reader(wire);
  while (reader.next()) {
    if (reader.field() == bytes_field(1)) {
      const auto create = decode_create(reader.bytes());
      if (!create) return std::nullopt;
      request = *create;
    } else if (reader.field() == bytes_field(2)) {
      const auto cancel = decode_cancel(reader.bytes());
      if (!cancel) return std::nullopt;
      request = *cancel;
    } else if (reader.field() == bytes_field(3)) {
      request = WatchProgressRequest();
    }
  }
  if (!reader.ok()) return std::nullopt;
  return request;
}

void encode(const WatchResponseHead& head, std::string& out) {
  write_number(2, head.watch_id, out);
  write_number(3, head.created ? 1 : 0, out);
  write_number(4, head.canceled ? 1 : 0, out);
  write_number(5, head.compact_revision, out);
  write_bytes(6, head.cancel_reason, out);
  write_number(7, head.fragment ? 1 : 0, out);
}

bool is_creation(const WatchEvent& event) {
  if (event.removed) return false;
  protobuf::Reader reader(event.record);
  while (reader.next()) {
    if (reader.field() == varint_field(2)) return reader.signed_number() == event.revision;
  }
  return false;
}

void encode(const WatchEvent& event, std::string& out) {
  // A tombstone's row has no revision within; its event has.
  const int64_t revision = event.removed ? event.revision : 0;
  const size_t record_size = event.record.size() + protobuf::number_size(3, revision);
  const auto part_size = [](size_t size) { return 1 + protobuf::varint_size(size) + size; };
  size_t size = (event.removed ? 2 : 0) + part_size(record_size);
  if (event.previous) size += part_size(event.previous->size());
  out.reserve(out.size() + size + 11);
  write_prefix(kEvents, size, out);
  write_number(1, event.removed ? 1 : 0, out);
  write_prefix(2, record_size, out);
  out.append(event.record);
  write_number(3, revision, out);
  if (event.previous) protobuf::write_present(3, *event.previous, out);
}

}  // namespace quorate::machine::etcd
