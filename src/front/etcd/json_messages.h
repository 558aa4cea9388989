// front/etcd/json_messages.h: the messages of the API as the JSON gateway knows them: for each
// field its name, number and kind. They are those of proto/etcd.proto; a test compares.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quorate::front::etcd {

enum class MessageId : uint8_t {
  none,
  response_header,
  key_value,
  range_request,
  range_response,
  put_request,
  put_response,
  delete_range_request,
  delete_range_response,
  request_operation,
  response_operation,
  compare,
  txn_request,
  txn_response,
  compaction_request,
  only_header,  // every response that holds nothing else
  lease_revoke_request,
  lease_grant_request,
  lease_grant_response,
  lease_time_to_live_request,
  lease_time_to_live_response,
  lease_leases_response,
  lease_status,
  empty,  // every request that holds nothing
  hash_response,
  hash_kv_request,
  hash_kv_response,
  downgrade_info,
  status_response,
  member,
  member_list_request,
  members_response,
  member_add_request,
  member_add_response,
  member_id_request,  // to remove and to promote
  member_update_request,
  move_leader_request,
  alarm_request,
  alarm_member,
  alarm_response
};

enum class FieldKind : uint8_t { flag, uint32, int64, uint64, text, bytes, enumeration, message };

struct JsonField {
  std::string_view name;
  uint32_t number = 0;
  FieldKind kind = FieldKind::flag;
  bool repeated = false;
  bool one_of = false;                        // at most one of these in a message
  MessageId message = MessageId::none;        // of kind message
  std::span<const std::string_view> names{};  // of kind enumeration, by their numbers
};

std::span<const JsonField> fields_of(MessageId message);
// The name in proto/etcd.proto; of those which stand for several, one of them.
std::string_view name_of(MessageId message);

struct JsonRoute {
  std::string_view path;
  std::string_view method;  // "Service/Method" of the package etcdserverpb
  MessageId request;
  MessageId response;
};
std::span<const JsonRoute> json_routes();

}  // namespace quorate::front::etcd
