#include "app/etcdctl/shapes.h"

namespace quorate::app::etcdctl {
namespace {

constexpr Field flag(std::string_view name, uint32_t number) { return {name, number, Kind::flag}; }
constexpr Field number(std::string_view name, uint32_t place) {
  return {name, place, Kind::number};
}
constexpr Field integer(std::string_view name, uint32_t number) {
  return {name, number, Kind::integer};
}
constexpr Field text(std::string_view name, uint32_t number) { return {name, number, Kind::text}; }
constexpr Field bytes(std::string_view name, uint32_t number) {
  return {name, number, Kind::bytes};
}
constexpr Field inner(std::string_view name, uint32_t number, const Shape& shape) {
  return {name, number, Kind::message, false, &shape};
}
constexpr Field list(Field field) {
  field.repeated = true;
  return field;
}

constexpr Field kHeaderFields[] = {number("cluster_id", 1), number("member_id", 2),
                                   integer("revision", 3), number("raft_term", 4)};
constexpr Shape kHeaderOf{kHeaderFields};
constexpr Field kHeader = inner("header", 1, kHeaderOf);

constexpr Field kKeyValueFields[] = {bytes("key", 1),
                                     integer("create_revision", 2),
                                     integer("mod_revision", 3),
                                     integer("version", 4),
                                     bytes("value", 5),
                                     integer("lease", 6)};
constexpr Shape kKeyValueOf{kKeyValueFields};
constexpr Field kRangeFields[] = {kHeader, list(inner("kvs", 2, kKeyValueOf)), flag("more", 3),
                                  integer("count", 4)};
constexpr Shape kRangeOf{kRangeFields};
constexpr Field kPutFields[] = {kHeader, inner("prev_kv", 2, kKeyValueOf)};
constexpr Shape kPutOf{kPutFields};
constexpr Field kDeleteFields[] = {kHeader, integer("deleted", 2),
                                   list(inner("prev_kvs", 3, kKeyValueOf))};
constexpr Shape kDeleteOf{kDeleteFields};
// A transaction's answer may hold another one.
extern const Field kTxnFields[3];
extern const Field kResponseFields[4];
const Shape kResponseOf{kResponseFields, "Response"};
const Field kTxnFields[3] = {kHeader, flag("succeeded", 2),
                             list(inner("responses", 3, kResponseOf))};
const Field kResponseFields[4] = {
    inner("ResponseRange", 1, kRangeOf), inner("ResponsePut", 2, kPutOf),
    inner("ResponseDeleteRange", 3, kDeleteOf), inner("ResponseTxn", 4, kTxnShape)};

constexpr Field kOnlyHeaderFields[] = {kHeader};
constexpr Field kLeaseGrantFields[] = {kHeader, integer("ID", 2), integer("TTL", 3),
                                       text("Error", 4)};
constexpr Field kLeaseKeepAliveFields[] = {kHeader, integer("ID", 2), integer("TTL", 3)};
constexpr Field kLeaseTimeToLiveFields[] = {kHeader, integer("id", 2), integer("ttl", 3),
                                            integer("granted-ttl", 4), list(bytes("keys", 5))};
constexpr Field kLeaseFields[] = {integer("id", 1)};
constexpr Shape kLeaseOf{kLeaseFields};
constexpr Field kLeaseListFields[] = {kHeader, list(inner("leases", 2, kLeaseOf))};
constexpr Field kEventFields[] = {number("type", 1), inner("kv", 2, kKeyValueOf),
                                  inner("prev_kv", 3, kKeyValueOf)};
constexpr Shape kEventOf{kEventFields};
constexpr Field kWatchFields[] = {kHeader,
                                  integer("watch_id", 2),
                                  flag("created", 3),
                                  flag("canceled", 4),
                                  integer("compact_revision", 5),
                                  text("cancel_reason", 6),
                                  flag("fragment", 7),
                                  list(inner("events", 11, kEventOf))};
constexpr Field kMemberFields[] = {number("ID", 1), text("name", 2), list(text("peerURLs", 3)),
                                   list(text("clientURLs", 4)), flag("isLearner", 5)};
constexpr Shape kMemberOf{kMemberFields};
constexpr Field kMembersFields[] = {kHeader, list(inner("members", 2, kMemberOf))};
constexpr Field kMemberAddFields[] = {kHeader, inner("member", 2, kMemberOf),
                                      list(inner("members", 3, kMemberOf))};
constexpr Field kDowngradeFields[] = {flag("enabled", 1), text("targetVersion", 2)};
constexpr Shape kDowngradeOf{kDowngradeFields};
constexpr Field kStatusFields[] = {kHeader,
                                   text("version", 2),
                                   integer("dbSize", 3),
                                   number("leader", 4),
                                   number("raftIndex", 5),
                                   number("raftTerm", 6),
                                   number("raftAppliedIndex", 7),
                                   list(text("errors", 8)),
                                   integer("dbSizeInUse", 9),
                                   flag("isLearner", 10),
                                   text("storageVersion", 11),
                                   integer("dbSizeQuota", 12),
                                   inner("downgradeInfo", 13, kDowngradeOf)};
constexpr Field kHashFields[] = {kHeader, number("hash", 2), integer("compact_revision", 3),
                                 integer("hash_revision", 4)};
constexpr Field kAlarmMemberFields[] = {number("memberID", 1), number("alarm", 2)};
constexpr Shape kAlarmMemberOf{kAlarmMemberFields};
constexpr Field kAlarmFields[] = {kHeader, list(inner("alarms", 2, kAlarmMemberOf))};
constexpr Field kAuthStatusFields[] = {kHeader, flag("enabled", 2), number("authRevision", 3)};
constexpr Field kUserGetFields[] = {kHeader, list(text("roles", 2))};
constexpr Field kUserListFields[] = {kHeader, list(text("users", 2))};
constexpr Field kPermissionFields[] = {number("permType", 1), bytes("key", 2),
                                       bytes("range_end", 3)};
constexpr Shape kPermissionOf{kPermissionFields};
constexpr Field kRoleGetFields[] = {kHeader, list(inner("perm", 2, kPermissionOf))};
constexpr Field kRoleListFields[] = {kHeader, list(text("roles", 2))};

}  // namespace

const Shape kHeaderShape = kHeaderOf;
const Shape kKeyValueShape = kKeyValueOf;
const Shape kRangeShape = kRangeOf;
const Shape kPutShape = kPutOf;
const Shape kDeleteShape = kDeleteOf;
const Shape kTxnShape{kTxnFields};
const Shape kOnlyHeaderShape{kOnlyHeaderFields};
const Shape kLeaseGrantShape{kLeaseGrantFields};
const Shape kLeaseKeepAliveShape{kLeaseKeepAliveFields};
const Shape kLeaseTimeToLiveShape{kLeaseTimeToLiveFields};
const Shape kLeaseListShape{kLeaseListFields};
const Shape kWatchShape{kWatchFields};
const Shape kMembersShape{kMembersFields};
const Shape kMemberAddShape{kMemberAddFields};
const Shape kStatusShape{kStatusFields};
const Shape kHashShape{kHashFields};
const Shape kAlarmShape{kAlarmFields};
const Shape kAuthStatusShape{kAuthStatusFields};
const Shape kUserGetShape{kUserGetFields};
const Shape kUserListShape{kUserListFields};
const Shape kRoleGetShape{kRoleGetFields};
const Shape kRoleListShape{kRoleListFields};

}  // namespace quorate::app::etcdctl
