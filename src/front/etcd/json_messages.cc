#include "front/etcd/json_messages.h"

#include "base/check.h"

namespace quorate::front::etcd {
namespace {

using enum MessageId;

constexpr JsonField flag(std::string_view name, uint32_t number) {
  return {name, number, FieldKind::flag};
}
constexpr JsonField int64(std::string_view name, uint32_t number) {
  return {name, number, FieldKind::int64};
}
constexpr JsonField uint64(std::string_view name, uint32_t number) {
  return {name, number, FieldKind::uint64};
}
constexpr JsonField text(std::string_view name, uint32_t number) {
  return {name, number, FieldKind::text};
}
constexpr JsonField bytes(std::string_view name, uint32_t number) {
  return {name, number, FieldKind::bytes};
}
constexpr JsonField inner(std::string_view name, uint32_t number, MessageId id) {
  return {.name = name, .number = number, .kind = FieldKind::message, .message = id};
}
constexpr JsonField choice(std::string_view name, uint32_t number,
                           std::span<const std::string_view> names) {
  return {.name = name, .number = number, .kind = FieldKind::enumeration, .names = names};
}
constexpr JsonField list(JsonField field) {
  field.repeated = true;
  return field;
}
constexpr JsonField one_of(JsonField field) {
  field.one_of = true;
  return field;
}

constexpr std::string_view kSortOrders[] = {"NONE", "ASCEND", "DESCEND"};
constexpr std::string_view kSortTargets[] = {"KEY", "VERSION", "CREATE", "MOD", "VALUE"};
constexpr std::string_view kCompareResults[] = {"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
constexpr std::string_view kAlarmActions[] = {"GET", "ACTIVATE", "DEACTIVATE"};
constexpr std::string_view kAlarms[] = {"NONE", "NOSPACE", "CORRUPT"};
constexpr std::string_view kCompareTargets[] = {"VERSION", "CREATE", "MOD", "VALUE", "LEASE"};

constexpr std::string_view kEventTypes[] = {"PUT", "DELETE"};
constexpr std::string_view kWatchFilters[] = {"NOPUT", "NODELETE"};

constexpr JsonField kHeader = inner("header", 1, response_header);

constexpr JsonField kResponseHeader[] = {uint64("cluster_id", 1), uint64("member_id", 2),
                                         int64("revision", 3), uint64("raft_term", 4)};
constexpr JsonField kKeyValue[] = {bytes("key", 1),          int64("create_revision", 2),
                                   int64("mod_revision", 3), int64("version", 4),
                                   bytes("value", 5),        int64("lease", 6)};
constexpr JsonField kRangeRequest[] = {bytes("key", 1),
                                       bytes("range_end", 2),
                                       int64("limit", 3),
                                       int64("revision", 4),
                                       choice("sort_order", 5, kSortOrders),
                                       choice("sort_target", 6, kSortTargets),
                                       flag("serializable", 7),
                                       flag("keys_only", 8),
                                       flag("count_only", 9),
                                       int64("min_mod_revision", 10),
                                       int64("max_mod_revision", 11),
                                       int64("min_create_revision", 12),
                                       int64("max_create_revision", 13)};
constexpr JsonField kRangeResponse[] = {kHeader, list(inner("kvs", 2, key_value)), flag("more", 3),
                                        int64("count", 4)};
constexpr JsonField kPutRequest[] = {bytes("key", 1),         bytes("value", 2),
                                     int64("lease", 3),       flag("prev_kv", 4),
                                     flag("ignore_value", 5), flag("ignore_lease", 6)};
constexpr JsonField kPutResponse[] = {kHeader, inner("prev_kv", 2, key_value)};
constexpr JsonField kDeleteRangeRequest[] = {bytes("key", 1), bytes("range_end", 2),
                                             flag("prev_kv", 3)};
constexpr JsonField kDeleteRangeResponse[] = {kHeader, int64("deleted", 2),
                                              list(inner("prev_kvs", 3, key_value))};
constexpr JsonField kRequestOperation[] = {
    one_of(inner("request_range", 1, range_request)), one_of(inner("request_put", 2, put_request)),
    one_of(inner("request_delete_range", 3, delete_range_request)),
    one_of(inner("request_txn", 4, txn_request))};
constexpr JsonField kResponseOperation[] = {
    one_of(inner("response_range", 1, range_response)),
    one_of(inner("response_put", 2, put_response)),
    one_of(inner("response_delete_range", 3, delete_range_response)),
    one_of(inner("response_txn", 4, txn_response))};
constexpr JsonField kCompare[] = {choice("result", 1, kCompareResults),
                                  choice("target", 2, kCompareTargets),
                                  bytes("key", 3),
                                  one_of(int64("version", 4)),
                                  one_of(int64("create_revision", 5)),
                                  one_of(int64("mod_revision", 6)),
                                  one_of(bytes("value", 7)),
                                  one_of(int64("lease", 8)),
                                  bytes("range_end", 64)};
constexpr JsonField kTxnRequest[] = {list(inner("compare", 1, compare)),
                                     list(inner("success", 2, request_operation)),
                                     list(inner("failure", 3, request_operation))};
constexpr JsonField kTxnResponse[] = {kHeader, flag("succeeded", 2),
                                      list(inner("responses", 3, response_operation))};
constexpr JsonField kCompactionRequest[] = {int64("revision", 1), flag("physical", 2)};
constexpr JsonField kOnlyHeader[] = {kHeader};
constexpr JsonField kLeaseId[] = {int64("ID", 1)};
constexpr JsonField kMemberId[] = {uint64("ID", 1)};
constexpr JsonField kLeaseGrantRequest[] = {int64("TTL", 1), int64("ID", 2)};
constexpr JsonField kLeaseGrantResponse[] = {kHeader, int64("ID", 2), int64("TTL", 3),
                                             text("error", 4)};
constexpr JsonField kLeaseTimeToLiveRequest[] = {int64("ID", 1), flag("keys", 2)};
constexpr JsonField kLeaseTimeToLiveResponse[] = {kHeader, int64("ID", 2), int64("TTL", 3),
                                                  int64("grantedTTL", 4), list(bytes("keys", 5))};
constexpr JsonField kLeaseLeasesResponse[] = {kHeader, list(inner("leases", 2, lease_status))};
constexpr JsonField kLeaseKeepAliveResponse[] = {kHeader, int64("ID", 2), int64("TTL", 3)};
constexpr JsonField kEvent[] = {choice("type", 1, kEventTypes), inner("kv", 2, key_value),
                                inner("prev_kv", 3, key_value)};
constexpr JsonField kWatchCreateRequest[] = {bytes("key", 1),
                                             bytes("range_end", 2),
                                             int64("start_revision", 3),
                                             flag("progress_notify", 4),
                                             list(choice("filters", 5, kWatchFilters)),
                                             flag("prev_kv", 6),
                                             int64("watch_id", 7),
                                             flag("fragment", 8)};
constexpr JsonField kWatchCancelRequest[] = {int64("watch_id", 1)};
constexpr JsonField kWatchRequest[] = {
    one_of(inner("create_request", 1, watch_create_request)),
    one_of(inner("cancel_request", 2, watch_cancel_request)),
    one_of(inner("progress_request", 3, watch_progress_request))};
constexpr JsonField kWatchResponse[] = {kHeader,
                                        int64("watch_id", 2),
                                        flag("created", 3),
                                        flag("canceled", 4),
                                        int64("compact_revision", 5),
                                        text("cancel_reason", 6),
                                        flag("fragment", 7),
                                        list(inner("events", 11, event))};
constexpr JsonField kSnapshotResponse[] = {kHeader, uint64("remaining_bytes", 2), bytes("blob", 3),
                                           text("version", 4)};
constexpr JsonField kLockRequest[] = {bytes("name", 1), int64("lease", 2)};
constexpr JsonField kLockResponse[] = {kHeader, bytes("key", 2)};
constexpr JsonField kUnlockRequest[] = {bytes("key", 1)};
constexpr JsonField kLeaderKey[] = {bytes("name", 1), bytes("key", 2), int64("rev", 3),
                                    int64("lease", 4)};
constexpr JsonField kCampaignRequest[] = {bytes("name", 1), int64("lease", 2), bytes("value", 3)};
constexpr JsonField kCampaignResponse[] = {kHeader, inner("leader", 2, leader_key)};
constexpr JsonField kLeaderRequest[] = {bytes("name", 1)};
constexpr JsonField kLeaderResponse[] = {kHeader, inner("kv", 2, key_value)};
constexpr JsonField kResignRequest[] = {inner("leader", 1, leader_key)};
constexpr JsonField kProclaimRequest[] = {inner("leader", 1, leader_key), bytes("value", 2)};
constexpr JsonField kHash = {"hash", 2, FieldKind::uint32};
constexpr JsonField kHashResponse[] = {kHeader, kHash};
constexpr JsonField kHashKvRequest[] = {int64("revision", 1)};
constexpr JsonField kHashKvResponse[] = {kHeader, kHash, int64("compact_revision", 3),
                                         int64("hash_revision", 4)};
constexpr JsonField kDowngradeInfo[] = {flag("enabled", 1), text("targetVersion", 2)};
constexpr JsonField kStatusResponse[] = {kHeader,
                                         text("version", 2),
                                         int64("dbSize", 3),
                                         uint64("leader", 4),
                                         uint64("raftIndex", 5),
                                         uint64("raftTerm", 6),
                                         uint64("raftAppliedIndex", 7),
                                         list(text("errors", 8)),
                                         int64("dbSizeInUse", 9),
                                         flag("isLearner", 10),
                                         text("storageVersion", 11),
                                         int64("dbSizeQuota", 12),
                                         inner("downgradeInfo", 13, downgrade_info)};
constexpr JsonField kMember[] = {uint64("ID", 1), text("name", 2), list(text("peerURLs", 3)),
                                 list(text("clientURLs", 4)), flag("isLearner", 5)};
constexpr JsonField kMemberListRequest[] = {flag("linearizable", 1)};
constexpr JsonField kMembersResponse[] = {kHeader, list(inner("members", 2, member))};
constexpr JsonField kMemberAddRequest[] = {list(text("peerURLs", 1)), flag("isLearner", 2)};
constexpr JsonField kMemberAddResponse[] = {kHeader, inner("member", 2, member),
                                            list(inner("members", 3, member))};
constexpr JsonField kMemberUpdateRequest[] = {uint64("ID", 1), list(text("peerURLs", 2))};
constexpr JsonField kMoveLeaderRequest[] = {uint64("targetID", 1)};
constexpr JsonField kAlarmRequest[] = {choice("action", 1, kAlarmActions), uint64("memberID", 2),
                                       choice("alarm", 3, kAlarms)};
constexpr JsonField kAlarmMember[] = {uint64("memberID", 1), choice("alarm", 2, kAlarms)};
constexpr JsonField kAlarmResponse[] = {kHeader, list(inner("alarms", 2, alarm_member))};

constexpr JsonField kAuthenticateRequest[] = {text("name", 1), text("password", 2)};
constexpr JsonField kAuthenticateResponse[] = {kHeader, text("token", 2)};
constexpr JsonField kAuthStatusResponse[] = {kHeader, flag("enabled", 2),
                                             uint64("authRevision", 3)};
constexpr JsonField kUserAddOptions[] = {flag("no_password", 1)};
constexpr JsonField kUserAddRequest[] = {text("name", 1), text("password", 2),
                                         inner("options", 3, user_add_options),
                                         text("hashedPassword", 4)};
constexpr JsonField kNamedRequest[] = {text("name", 1)};
constexpr JsonField kRolesResponse[] = {kHeader, list(text("roles", 2))};
constexpr JsonField kUsersResponse[] = {kHeader, list(text("users", 2))};
constexpr JsonField kChangePasswordRequest[] = {text("name", 1), text("password", 2),
                                                text("hashedPassword", 3)};
constexpr JsonField kGrantRoleRequest[] = {text("user", 1), text("role", 2)};
constexpr JsonField kRevokeRoleRequest[] = {text("name", 1), text("role", 2)};
constexpr JsonField kRoleRequest[] = {text("role", 1)};
constexpr std::string_view kPermissionTypes[] = {"READ", "WRITE", "READWRITE"};
constexpr JsonField kPermission[] = {choice("permType", 1, kPermissionTypes), bytes("key", 2),
                                     bytes("range_end", 3)};
constexpr JsonField kRoleResponse[] = {kHeader, list(inner("perm", 2, permission))};
constexpr JsonField kGrantPermissionRequest[] = {text("name", 1), inner("perm", 2, permission)};
constexpr JsonField kRevokePermissionRequest[] = {text("role", 1), bytes("key", 2),
                                                  bytes("range_end", 3)};

struct Message {
  MessageId id;
  std::string_view name;
  std::span<const JsonField> fields;
};
// In the order of MessageId.
constexpr Message kMessages[] = {
    {none, "", {}},
    {response_header, "ResponseHeader", kResponseHeader},
    {key_value, "KeyValue", kKeyValue},
    {range_request, "RangeRequest", kRangeRequest},
    {range_response, "RangeResponse", kRangeResponse},
    {put_request, "PutRequest", kPutRequest},
    {put_response, "PutResponse", kPutResponse},
    {delete_range_request, "DeleteRangeRequest", kDeleteRangeRequest},
    {delete_range_response, "DeleteRangeResponse", kDeleteRangeResponse},
    {request_operation, "RequestOp", kRequestOperation},
    {response_operation, "ResponseOp", kResponseOperation},
    {compare, "Compare", kCompare},
    {txn_request, "TxnRequest", kTxnRequest},
    {txn_response, "TxnResponse", kTxnResponse},
    {compaction_request, "CompactionRequest", kCompactionRequest},
    {only_header, "CompactionResponse", kOnlyHeader},
    {lease_revoke_request, "LeaseRevokeRequest", kLeaseId},
    {lease_grant_request, "LeaseGrantRequest", kLeaseGrantRequest},
    {lease_grant_response, "LeaseGrantResponse", kLeaseGrantResponse},
    {lease_time_to_live_request, "LeaseTimeToLiveRequest", kLeaseTimeToLiveRequest},
    {lease_time_to_live_response, "LeaseTimeToLiveResponse", kLeaseTimeToLiveResponse},
    {lease_leases_response, "LeaseLeasesResponse", kLeaseLeasesResponse},
    {lease_status, "LeaseStatus", kLeaseId},
    {empty, "StatusRequest", {}},
    {lease_keep_alive_request, "LeaseKeepAliveRequest", kLeaseId},
    {lease_keep_alive_response, "LeaseKeepAliveResponse", kLeaseKeepAliveResponse},
    {event, "Event", kEvent},
    {watch_create_request, "WatchCreateRequest", kWatchCreateRequest},
    {watch_cancel_request, "WatchCancelRequest", kWatchCancelRequest},
    {watch_progress_request, "WatchProgressRequest", {}},
    {watch_request, "WatchRequest", kWatchRequest},
    {watch_response, "WatchResponse", kWatchResponse},
    {lock_request, "LockRequest", kLockRequest},
    {lock_response, "LockResponse", kLockResponse},
    {unlock_request, "UnlockRequest", kUnlockRequest},
    {snapshot_response, "SnapshotResponse", kSnapshotResponse},
    {leader_key, "LeaderKey", kLeaderKey},
    {campaign_request, "CampaignRequest", kCampaignRequest},
    {campaign_response, "CampaignResponse", kCampaignResponse},
    {leader_request, "LeaderRequest", kLeaderRequest},
    {leader_response, "LeaderResponse", kLeaderResponse},
    {resign_request, "ResignRequest", kResignRequest},
    {proclaim_request, "ProclaimRequest", kProclaimRequest},
    {hash_response, "HashResponse", kHashResponse},
    {hash_kv_request, "HashKVRequest", kHashKvRequest},
    {hash_kv_response, "HashKVResponse", kHashKvResponse},
    {downgrade_info, "DowngradeInfo", kDowngradeInfo},
    {status_response, "StatusResponse", kStatusResponse},
    {member, "Member", kMember},
    {member_list_request, "MemberListRequest", kMemberListRequest},
    {members_response, "MemberListResponse", kMembersResponse},
    {member_add_request, "MemberAddRequest", kMemberAddRequest},
    {member_add_response, "MemberAddResponse", kMemberAddResponse},
    {member_id_request, "MemberRemoveRequest", kMemberId},
    {member_update_request, "MemberUpdateRequest", kMemberUpdateRequest},
    {move_leader_request, "MoveLeaderRequest", kMoveLeaderRequest},
    {alarm_request, "AlarmRequest", kAlarmRequest},
    {alarm_member, "AlarmMember", kAlarmMember},
    {alarm_response, "AlarmResponse", kAlarmResponse},
    {authenticate_request, "AuthenticateRequest", kAuthenticateRequest},
    {authenticate_response, "AuthenticateResponse", kAuthenticateResponse},
    {auth_status_response, "AuthStatusResponse", kAuthStatusResponse},
    {user_add_options, "UserAddOptions", kUserAddOptions},
    {user_add_request, "AuthUserAddRequest", kUserAddRequest},
    {named_request, "AuthUserGetRequest", kNamedRequest},
    {roles_response, "AuthUserGetResponse", kRolesResponse},
    {users_response, "AuthUserListResponse", kUsersResponse},
    {change_password_request, "AuthUserChangePasswordRequest", kChangePasswordRequest},
    {grant_role_request, "AuthUserGrantRoleRequest", kGrantRoleRequest},
    {revoke_role_request, "AuthUserRevokeRoleRequest", kRevokeRoleRequest},
    {role_request, "AuthRoleGetRequest", kRoleRequest},
    {permission, "Permission", kPermission},
    {role_response, "AuthRoleGetResponse", kRoleResponse},
    {grant_permission_request, "AuthRoleGrantPermissionRequest", kGrantPermissionRequest},
    {revoke_permission_request, "AuthRoleRevokePermissionRequest", kRevokePermissionRequest},
};

consteval bool in_order() {
  for (size_t position = 0; position < std::size(kMessages); ++position) {
    if (static_cast<size_t>(kMessages[position].id) != position) return false;
  }
  return true;
}
static_assert(in_order(), "messages are found by their number");

constexpr JsonRoute kRoutes[] = {
    {"/v3/kv/range", "KV/Range", range_request, range_response},
    {"/v3/kv/put", "KV/Put", put_request, put_response},
    {"/v3/kv/deleterange", "KV/DeleteRange", delete_range_request, delete_range_response},
    {"/v3/kv/txn", "KV/Txn", txn_request, txn_response},
    {"/v3/kv/compaction", "KV/Compact", compaction_request, only_header},
    {"/v3/lease/grant", "Lease/LeaseGrant", lease_grant_request, lease_grant_response},
    {"/v3/lease/revoke", "Lease/LeaseRevoke", lease_revoke_request, only_header},
    {"/v3/kv/lease/revoke", "Lease/LeaseRevoke", lease_revoke_request, only_header},
    {"/v3/lease/timetolive", "Lease/LeaseTimeToLive", lease_time_to_live_request,
     lease_time_to_live_response},
    {"/v3/kv/lease/timetolive", "Lease/LeaseTimeToLive", lease_time_to_live_request,
     lease_time_to_live_response},
    {"/v3/lease/leases", "Lease/LeaseLeases", empty, lease_leases_response},
    {"/v3/kv/lease/leases", "Lease/LeaseLeases", empty, lease_leases_response},
    {"/v3/lease/keepalive", "Lease/LeaseKeepAlive", lease_keep_alive_request,
     lease_keep_alive_response, JsonStream::both},
    {"/v3/watch", "Watch/Watch", watch_request, watch_response, JsonStream::both},
    {"/v3/lock/lock", "v3lockpb.Lock/Lock", lock_request, lock_response},
    {"/v3/lock/unlock", "v3lockpb.Lock/Unlock", unlock_request, only_header},
    {"/v3/election/campaign", "v3electionpb.Election/Campaign", campaign_request,
     campaign_response},
    {"/v3/election/proclaim", "v3electionpb.Election/Proclaim", proclaim_request, only_header},
    {"/v3/election/leader", "v3electionpb.Election/Leader", leader_request, leader_response},
    {"/v3/election/observe", "v3electionpb.Election/Observe", leader_request, leader_response,
     JsonStream::answers},
    {"/v3/election/resign", "v3electionpb.Election/Resign", resign_request, only_header},
    {"/v3/cluster/member/list", "Cluster/MemberList", member_list_request, members_response},
    {"/v3/cluster/member/add", "Cluster/MemberAdd", member_add_request, member_add_response},
    {"/v3/cluster/member/remove", "Cluster/MemberRemove", member_id_request, members_response},
    {"/v3/cluster/member/update", "Cluster/MemberUpdate", member_update_request, members_response},
    {"/v3/cluster/member/promote", "Cluster/MemberPromote", member_id_request, members_response},
    {"/v3/maintenance/status", "Maintenance/Status", empty, status_response},
    {"/v3/maintenance/hash", "Maintenance/Hash", empty, hash_response},
    {"/v3/maintenance/hashkv", "Maintenance/HashKV", hash_kv_request, hash_kv_response},
    {"/v3/maintenance/transfer-leadership", "Maintenance/MoveLeader", move_leader_request,
     only_header},
    {"/v3/maintenance/snapshot", "Maintenance/Snapshot", empty, snapshot_response,
     JsonStream::answers},
    {"/v3/maintenance/alarm", "Maintenance/Alarm", alarm_request, alarm_response},
    {"/v3/maintenance/defragment", "Maintenance/Defragment", empty, only_header},
    {"/v3/auth/enable", "Auth/AuthEnable", empty, only_header},
    {"/v3/auth/disable", "Auth/AuthDisable", empty, only_header},
    {"/v3/auth/status", "Auth/AuthStatus", empty, auth_status_response},
    {"/v3/auth/authenticate", "Auth/Authenticate", authenticate_request, authenticate_response},
    {"/v3/auth/user/add", "Auth/UserAdd", user_add_request, only_header},
    {"/v3/auth/user/get", "Auth/UserGet", named_request, roles_response},
    {"/v3/auth/user/list", "Auth/UserList", empty, users_response},
    {"/v3/auth/user/delete", "Auth/UserDelete", named_request, only_header},
    {"/v3/auth/user/changepw", "Auth/UserChangePassword", change_password_request, only_header},
    {"/v3/auth/user/grant", "Auth/UserGrantRole", grant_role_request, only_header},
    {"/v3/auth/user/revoke", "Auth/UserRevokeRole", revoke_role_request, only_header},
    {"/v3/auth/role/add", "Auth/RoleAdd", named_request, only_header},
    {"/v3/auth/role/get", "Auth/RoleGet", role_request, role_response},
    {"/v3/auth/role/list", "Auth/RoleList", empty, roles_response},
    {"/v3/auth/role/delete", "Auth/RoleDelete", role_request, only_header},
    {"/v3/auth/role/grant", "Auth/RoleGrantPermission", grant_permission_request, only_header},
    {"/v3/auth/role/revoke", "Auth/RoleRevokePermission", revoke_permission_request, only_header},
};

}  // namespace

std::span<const JsonField> fields_of(MessageId message) {
  CHECK(message != none, "a field of kind message names its message");
  return kMessages[static_cast<size_t>(message)].fields;
}

std::string_view name_of(MessageId message) { return kMessages[static_cast<size_t>(message)].name; }

size_t json_message_count() { return std::size(kMessages) - 1; }

std::span<const JsonRoute> json_routes() { return kRoutes; }

}  // namespace quorate::front::etcd
