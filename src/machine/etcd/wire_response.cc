// The protobuf wire form of messages.h: responses, as a client reads them.
#include "machine/etcd/messages.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::machine::etcd {

using protobuf::bytes_field;
using protobuf::Reader;
using protobuf::varint_field;
using protobuf::write_number;

bool merge(std::string_view wire, ResponseHeader& header) {
  Reader reader(wire);
  while (reader.next()) {
    switch (reader.field()) {
      case varint_field(1):
        header.cluster_id = reader.number();
        break;
      case varint_field(2):
        header.member_id = reader.number();
        break;
      case varint_field(3):
        header.revision = reader.signed_number();
        break;
      case varint_field(4):
        header.raft_term = reader.number();
        break;
      default:
        break;
    }
  }
  return reader.ok();
}

namespace {

bool merge(std::string_view wire, KeyValue& pair) {
  const std::optional<KeyValue> later = decode_key_value(wire);
  if (!later) return false;
  if (!later->key.empty()) pair.key = later->key;
  if (later->create_revision != 0) pair.create_revision = later->create_revision;
  if (later->mod_revision != 0) pair.mod_revision = later->mod_revision;
  if (later->version != 0) pair.version = later->version;
  if (!later->value.empty()) pair.value = later->value;
  if (later->lease != 0) pair.lease = later->lease;
  return true;
}

bool merge(std::string_view wire, RangeResponse& response) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(reader.bytes(), response.header);
        break;
      case bytes_field(2):
        good = merge(reader.bytes(), response.kvs.emplace_back());
        break;
      case varint_field(3):
        response.more = reader.boolean();
        break;
      case varint_field(4):
        response.count = reader.signed_number();
        break;
      default:
        break;
    }
  }
  return good && reader.ok();
}

bool merge(std::string_view wire, PutResponse& response) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(reader.bytes(), response.header);
        break;
      case bytes_field(2):
        if (!response.prev_kv) response.prev_kv.emplace();
        good = merge(reader.bytes(), *response.prev_kv);
        break;
      default:
        break;
    }
  }
  return good && reader.ok();
}

bool merge(std::string_view wire, DeleteRangeResponse& response) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(reader.bytes(), response.header);
        break;
      case varint_field(2):
        response.deleted = reader.signed_number();
        break;
      case bytes_field(3):
        good = merge(reader.bytes(), response.prev_kvs.emplace_back());
        break;
      default:
        break;
    }
  }
  return good && reader.ok();
}

bool merge(std::string_view wire, CompactionResponse& response) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    if (reader.field() == bytes_field(1)) good = merge(reader.bytes(), response.header);
  }
  return good && reader.ok();
}

bool merge(std::string_view wire, TxnResponse& response, int depth);

template <class T>
T& member(ResponseOp& operation) {
  if (!std::holds_alternative<T>(operation.response)) operation.response.emplace<T>();
  return std::get<T>(operation.response);
}

bool merge(std::string_view wire, ResponseOp& operation, int depth) {
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    const std::string_view inner = reader.bytes();
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(inner, member<RangeResponse>(operation));
        break;
      case bytes_field(2):
        good = merge(inner, member<PutResponse>(operation));
        break;
      case bytes_field(3):
        good = merge(inner, member<DeleteRangeResponse>(operation));
        break;
      case bytes_field(4):
        good = merge(inner, member<TxnResponse>(operation), depth + 1);
        break;
      default:
        break;
    }
  }
  return good && reader.ok();
}

bool merge(std::string_view wire, TxnResponse& response, int depth) {
  if (depth > kTxnDepthMax) return false;
  Reader reader(wire);
  bool good = true;
  while (good && reader.next()) {
    switch (reader.field()) {
      case bytes_field(1):
        good = merge(reader.bytes(), response.header);
        break;
      case varint_field(2):
        response.succeeded = reader.boolean();
        break;
      case bytes_field(3):
        good = merge(reader.bytes(), response.responses.emplace_back(), depth);
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

}  // namespace

std::optional<RangeResponse> decode_range_response(std::string_view wire) {
  return decode<RangeResponse>(wire);
}
std::optional<PutResponse> decode_put_response(std::string_view wire) {
  return decode<PutResponse>(wire);
}
std::optional<DeleteRangeResponse> decode_delete_range_response(std::string_view wire) {
  return decode<DeleteRangeResponse>(wire);
}
std::optional<CompactionResponse> decode_compaction_response(std::string_view wire) {
  return decode<CompactionResponse>(wire);
}
std::optional<TxnResponse> decode_txn_response(std::string_view wire) {
  TxnResponse result;
  if (!merge(wire, result, 1)) return std::nullopt;
  return result;
}

void encode(const ResponseHeader& header, std::string& out) {
  write_number(1, static_cast<int64_t>(header.cluster_id), out);
  write_number(2, static_cast<int64_t>(header.member_id), out);
  write_number(3, header.revision, out);
  write_number(4, static_cast<int64_t>(header.raft_term), out);
}

}  // namespace quorate::machine::etcd
