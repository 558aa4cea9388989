// The protobuf wire form of messages.h, requests and the pair they all share.
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;
using protobuf::write_bytes;
using protobuf::write_number;
using protobuf::write_prefix;
using protobuf::write_present;

namespace {

// merge() adds the fields on the wire to what is there: a message that appears twice in a
// singular field is the union of both, scalars taken from the later one.
bool merge(std::string_view wire, RangeRequest& request) {
  Reader reader(wire);
  while (reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        request.key = reader.bytes();
        break;
      case bytes_field(2):
        request.range_end = reader.bytes();
        break;
      case varint_field(3):
        request.limit = reader.signed_number();
        break;
      case varint_field(4):
        request.revision = reader.signed_number();
        break;
      case varint_field(5):
        request.sort_order = reader.int32();
        break;
      case varint_field(6):
        request.sort_target = reader.int32();
        break;
      case varint_field(7):
        request.serializable = reader.boolean();
        break;
      case varint_field(8):
        request.keys_only = reader.boolean();
        break;
      case varint_field(9):
        request.count_only = reader.boolean();
        break;
      case varint_field(10):
        request.min_mod_revision = reader.signed_number();
        break;
      case varint_field(11):
        request.max_mod_revision = reader.signed_number();
        break;
      case varint_field(12):
        request.min_create_revision = reader.signed_number();
        break;
      case varint_field(13):
        request.max_create_revision = reader.signed_number();
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

bool merge(std::string_view wire, PutRequest& request) {
  Reader reader(wire);
  while (reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        request.key = reader.bytes();
        break;
      case bytes_field(2):
        request.value = reader.bytes();
        break;
      case varint_field(3):
        request.lease = reader.signed_number();
        break;
      case varint_field(4):
        request.prev_kv = reader.boolean();
        break;
      case varint_field(5):
        request.ignore_value = reader.boolean();
        break;
      case varint_field(6):
        request.ignore_lease = reader.boolean();
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

bool merge(std::string_view wire, DeleteRangeRequest& request) {
  Reader reader(wire);
  while (reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        request.key = reader.bytes();
        break;
      case bytes_field(2):
        request.range_end = reader.bytes();
        break;
      case varint_field(3):
        request.prev_kv = reader.boolean();
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

bool merge(std::string_view wire, CompactionRequest& request) {
  Reader reader(wire);
  while (reader.next()) {
    switch (reader.field()) {
      case varint_field(1):
        request.revision = reader.signed_number();
        break;
      case varint_field(2):
        request.physical = reader.boolean();
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

bool merge(std::string_view wire, KeyValue& pair) {
  Reader reader(wire);
  while (reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        pair.key = reader.bytes();
        break;
      case varint_field(2):
        pair.create_revision = reader.signed_number();
        break;
      case varint_field(3):
        pair.mod_revision = reader.signed_number();
        break;
      case varint_field(4):
        pair.version = reader.signed_number();
        break;
      case bytes_field(5):
        pair.value = reader.bytes();
        break;
      case varint_field(6):
        pair.lease = reader.signed_number();
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

// The field of the oneof that belongs to a comparison's target; 0: an unknown target.
constexpr uint32_t union_field(int32_t target) {
  constexpr uint32_t kFields[] = {4, 5, 6, 7, 8};
  return target < 0 || target > 4 ? 0 : kFields[target];
}

bool merge(std::string_view wire, Compare& compare) {
  Reader reader(wire);
  uint32_t present = 0;
  while (reader.next()) {
    switch (reader.field()) {
      case varint_field(1):
        compare.result = reader.int32();
        break;
      case varint_field(2):
        compare.target = reader.int32();
        break;
      case bytes_field(3):
        compare.key = reader.bytes();
        break;
      case varint_field(4):
      case varint_field(5):
      case varint_field(6):
      case varint_field(8):
        compare.number = reader.signed_number();
        present = static_cast<uint32_t>(reader.field() >> 3U);
        break;
      case bytes_field(7):
        compare.value = reader.bytes();
        present = 7;
        break;
      case bytes_field(64):
        compare.range_end = reader.bytes();
        break;
      default:
        break;
    }
  }
  // The last member of the oneof counts, and only if it is the one the target asks about:
  // otherwise the comparison is with zero.
  if (present != union_field(compare.target) || present == 7) compare.number = 0;
  if (present != union_field(compare.target) || present != 7) compare.value = {};
  return reader.ok();
}

bool merge(std::string_view wire, TxnRequest& request, int depth);

template <class T>
T& member(RequestOp& operation) {
  if (!std::holds_alternative<T>(operation.request)) operation.request.emplace<T>();
  return std::get<T>(operation.request);
}

bool merge(std::string_view wire, RequestOp& operation, int depth) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    const std::string_view inner = reader.bytes();
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(inner, member<RangeRequest>(operation));
        break;
      case bytes_field(2):
        good = merge(inner, member<PutRequest>(operation));
        break;
      case bytes_field(3):
        good = merge(inner, member<DeleteRangeRequest>(operation));
        break;
      case bytes_field(4):
        good = merge(inner, member<TxnRequest>(operation), depth + 1);
        break;
      default:
        break;
    }
  }
  return good && reader.ok();
}

bool merge(std::string_view wire, TxnRequest& request, int depth) {
  if (depth > kTxnDepthMax) return false;
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    const std::string_view inner = reader.bytes();
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(inner, request.compare.emplace_back());
        break;
      case bytes_field(2):
        good = merge(inner, request.success.emplace_back(), depth);
        break;
      case bytes_field(3):
        good = merge(inner, request.failure.emplace_back(), depth);
        break;
      default:
        break;
    }
  }
  return good && reader.ok();
}

template <class T>
std::optional<T> decode(std::string_view wire) {
  T result;
  if (!merge(wire, result)) return std::nullopt;
  return result;
}

void encode_compare(const Compare& compare, std::string& out) {
  write_number(1, compare.result, out);
  write_number(2, compare.target, out);
  write_bytes(3, compare.key, out);
  const uint32_t field = union_field(compare.target);
  if (field == 7) {
    write_present(field, compare.value, out);
  } else if (field != 0) {
    protobuf::write_varint(varint_field(field), out);
    protobuf::write_varint(static_cast<uint64_t>(compare.number), out);
  }
  write_bytes(64, compare.range_end, out);
}

void encode_operation(const RequestOp& operation, std::string& out) {
  std::string inner;
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) encode(*range, inner);
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) encode(*put, inner);
  if (const auto* remove = std::get_if<DeleteRangeRequest>(&operation.request)) {
    encode(*remove, inner);
  }
  if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) encode(*txn, inner);
  const auto field = static_cast<uint32_t>(operation.request.index());
  if (field != 0) write_present(field, inner, out);
}

}  // namespace

std::optional<RangeRequest> decode_range_request(std::string_view wire) {
  return decode<RangeRequest>(wire);
}
std::optional<PutRequest> decode_put_request(std::string_view wire) {
  return decode<PutRequest>(wire);
}
std::optional<DeleteRangeRequest> decode_delete_range_request(std::string_view wire) {
  return decode<DeleteRangeRequest>(wire);
}
std::optional<CompactionRequest> decode_compaction_request(std::string_view wire) {
  return decode<CompactionRequest>(wire);
}
std::optional<KeyValue> decode_key_value(std::string_view wire) { return decode<KeyValue>(wire); }
std::optional<TxnRequest> decode_txn_request(std::string_view wire) {
  TxnRequest result;
  if (!merge(wire, result, 1)) return std::nullopt;
  return result;
}

void encode(const RangeRequest& request, std::string& out) {
  write_bytes(1, request.key, out);
  write_bytes(2, request.range_end, out);
  write_number(3, request.limit, out);
  write_number(4, request.revision, out);
  write_number(5, request.sort_order, out);
  write_number(6, request.sort_target, out);
  write_number(7, request.serializable ? 1 : 0, out);
  write_number(8, request.keys_only ? 1 : 0, out);
  write_number(9, request.count_only ? 1 : 0, out);
  write_number(10, request.min_mod_revision, out);
  write_number(11, request.max_mod_revision, out);
  write_number(12, request.min_create_revision, out);
  write_number(13, request.max_create_revision, out);
}

void encode(const PutRequest& request, std::string& out) {
  write_bytes(1, request.key, out);
  write_bytes(2, request.value, out);
  write_number(3, request.lease, out);
  write_number(4, request.prev_kv ? 1 : 0, out);
  write_number(5, request.ignore_value ? 1 : 0, out);
  write_number(6, request.ignore_lease ? 1 : 0, out);
}

void encode(const DeleteRangeRequest& request, std::string& out) {
  write_bytes(1, request.key, out);
  write_bytes(2, request.range_end, out);
  write_number(3, request.prev_kv ? 1 : 0, out);
}

void encode(const TxnRequest& request, std::string& out) {
  std::string inner;
  for (const Compare& compare : request.compare) {
    inner.clear();
    encode_compare(compare, inner);
    write_present(1, inner, out);
  }
  for (const RequestOp& operation : request.success) {
    inner.clear();
    encode_operation(operation, inner);
    write_present(2, inner, out);
  }
  for (const RequestOp& operation : request.failure) {
    inner.clear();
    encode_operation(operation, inner);
    write_present(3, inner, out);
  }
}

void encode(const CompactionRequest& request, std::string& out) {
  write_number(1, request.revision, out);
  write_number(2, request.physical ? 1 : 0, out);
}

void encode(const KeyValue& pair, std::string& out) {
  write_bytes(1, pair.key, out);
  write_number(2, pair.create_revision, out);
  write_number(3, pair.mod_revision, out);
  write_number(4, pair.version, out);
  write_bytes(5, pair.value, out);
  write_number(6, pair.lease, out);
}

}  // namespace quorate::machine::etcd
