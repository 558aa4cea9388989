// machine/etcd/messages.h: the etcd v3 KV messages as plain structs, and their protobuf wire form.
//
// Field numbers are those of the public API (proto/etcd.proto, our own words). Decoding borrows:
// string_views point into the buffer given, which must outlive the struct. Unknown fields are
// skipped, malformed input gives nullopt, nesting of transactions is bounded. Hand-written since
// these are the hot messages (docs/decisions/0005); tests compare it with the protobuf library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace quorate::machine::etcd {

enum class SortOrder : uint8_t { none = 0, ascend = 1, descend = 2 };
enum class SortTarget : uint8_t { key = 0, version = 1, create = 2, mod = 3, value = 4 };

struct RangeRequest {
  std::string_view key;             // 1
  std::string_view range_end;       // 2
  int64_t limit = 0;                // 3
  int64_t revision = 0;             // 4
  int32_t sort_order = 0;           // 5; kept as sent: an unknown value is the front's error
  int32_t sort_target = 0;          // 6
  bool serializable = false;        // 7
  bool keys_only = false;           // 8
  bool count_only = false;          // 9
  int64_t min_mod_revision = 0;     // 10
  int64_t max_mod_revision = 0;     // 11
  int64_t min_create_revision = 0;  // 12
  int64_t max_create_revision = 0;  // 13
};

struct PutRequest {
  std::string_view key;       // 1
  std::string_view value;     // 2
  int64_t lease = 0;          // 3
  bool prev_kv = false;       // 4
  bool ignore_value = false;  // 5
  bool ignore_lease = false;  // 6
};

struct DeleteRangeRequest {
  std::string_view key;        // 1
  std::string_view range_end;  // 2
  bool prev_kv = false;        // 3
};

struct Compare {
  enum class Result : uint8_t { equal = 0, greater = 1, less = 2, not_equal = 3 };
  enum class Target : uint8_t { version = 0, create = 1, mod = 2, value = 3, lease = 4 };
  int32_t result = 0;          // 1
  int32_t target = 0;          // 2
  std::string_view key;        // 3
  int64_t number = 0;          // 4 version, 5 create, 6 mod, 8 lease
  std::string_view value;      // 7
  std::string_view range_end;  // 64
};

struct RequestOp;
struct TxnRequest {
  std::vector<Compare> compare;    // 1
  std::vector<RequestOp> success;  // 2
  std::vector<RequestOp> failure;  // 3
};

// 1 range, 2 put, 3 delete_range, 4 txn; monostate when the client sent none.
struct RequestOp {
  std::variant<std::monostate, RangeRequest, PutRequest, DeleteRangeRequest, TxnRequest> request;
};

struct CompactionRequest {
  int64_t revision = 0;   // 1
  bool physical = false;  // 2
};

struct KeyValue {
  std::string_view key;         // 1
  int64_t create_revision = 0;  // 2
  int64_t mod_revision = 0;     // 3
  int64_t version = 0;          // 4
  std::string_view value;       // 5
  int64_t lease = 0;            // 6
};

// Deeper transactions are refused as malformed: the stack of a decoder is not the client's.
inline constexpr int kTxnDepthMax = 64;

std::optional<RangeRequest> decode_range_request(std::string_view wire);
std::optional<PutRequest> decode_put_request(std::string_view wire);
std::optional<DeleteRangeRequest> decode_delete_range_request(std::string_view wire);
std::optional<TxnRequest> decode_txn_request(std::string_view wire);
std::optional<CompactionRequest> decode_compaction_request(std::string_view wire);
std::optional<KeyValue> decode_key_value(std::string_view wire);

void encode(const RangeRequest& request, std::string& out);
void encode(const PutRequest& request, std::string& out);
void encode(const DeleteRangeRequest& request, std::string& out);
void encode(const TxnRequest& request, std::string& out);
void encode(const CompactionRequest& request, std::string& out);
void encode(const KeyValue& pair, std::string& out);

// Responses as a client decodes them (the CLI and tests). The server never builds these structs:
// it writes wire bytes directly.
struct ResponseHeader {
  uint64_t cluster_id = 0;  // 1
  uint64_t member_id = 0;   // 2
  int64_t revision = 0;     // 3
  uint64_t raft_term = 0;   // 4
};
struct RangeResponse {
  ResponseHeader header;      // 1
  std::vector<KeyValue> kvs;  // 2
  bool more = false;          // 3
  int64_t count = 0;          // 4
};
struct PutResponse {
  ResponseHeader header;            // 1
  std::optional<KeyValue> prev_kv;  // 2
};
struct DeleteRangeResponse {
  ResponseHeader header;           // 1
  int64_t deleted = 0;             // 2
  std::vector<KeyValue> prev_kvs;  // 3
};
struct ResponseOp;
struct TxnResponse {
  ResponseHeader header;              // 1
  bool succeeded = false;             // 2
  std::vector<ResponseOp> responses;  // 3
};
struct ResponseOp {  // 1 range, 2 put, 3 delete_range, 4 txn
  std::variant<std::monostate, RangeResponse, PutResponse, DeleteRangeResponse, TxnResponse>
      response;
};
struct CompactionResponse {
  ResponseHeader header;  // 1
};
std::optional<RangeResponse> decode_range_response(std::string_view wire);
std::optional<PutResponse> decode_put_response(std::string_view wire);
std::optional<DeleteRangeResponse> decode_delete_range_response(std::string_view wire);
std::optional<TxnResponse> decode_txn_response(std::string_view wire);
std::optional<CompactionResponse> decode_compaction_response(std::string_view wire);
// Adds what is on the wire to what is there. False: malformed.
bool merge(std::string_view wire, ResponseHeader& header);
void encode(const ResponseHeader& header, std::string& out);

}  // namespace quorate::machine::etcd
