// front/etcd/json_messages.h: the messages of the API as the JSON gateway knows them: for each
// field its name, number and kind. They are those of proto/etcd.proto; a test compares.
#pragma once

#include <cstddef>
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
  lease_keep_alive_request,
  lease_keep_alive_response,
  event,
  watch_create_request,
  watch_cancel_request,
  watch_progress_request,
  watch_request,
  watch_response,
  lock_request,
  lock_response,
  unlock_request,
  snapshot_response,
  leader_key,
  campaign_request,
  campaign_response,
  leader_request,
  leader_response,
  resign_request,
  proclaim_request,
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
  alarm_response,
  authenticate_request,
  authenticate_response,
  auth_status_response,
  user_add_options,
  user_add_request,
  named_request,
  roles_response,
  users_response,
  change_password_request,
  grant_role_request,
  revoke_role_request,
  role_request,
  permission,
  role_response,
  grant_permission_request,
  revoke_permission_request
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
// The name in the proto files; of those which stand for several, one of them.
std::string_view name_of(MessageId message);

size_t json_message_count();  // ids from 1 on

// Of which several come one behind the other.
enum class JsonStream : uint8_t { none, answers, both };

struct JsonRoute {
  std::string_view path;
  std::string_view method;  // "Service/Method"; of the package etcdserverpb unless it says
  MessageId request;
  MessageId response;
  JsonStream stream = JsonStream::none;
};
std::span<const JsonRoute> json_routes();

}  // namespace quorate::front::etcd
