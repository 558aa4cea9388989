// app/etcdctl/shapes.h: the answers that the commands show. Numbers are those of proto/etcd.proto,
// names those of etcdctl's JSON.
#pragma once

#include "app/etcdctl/message.h"

namespace quorate::app::etcdctl {

extern const Shape kHeaderShape;
extern const Shape kKeyValueShape;
extern const Shape kRangeShape;
extern const Shape kPutShape;
extern const Shape kDeleteShape;
extern const Shape kTxnShape;
extern const Shape kOnlyHeaderShape;
extern const Shape kLeaseGrantShape;
extern const Shape kLeaseKeepAliveShape;
extern const Shape kLeaseTimeToLiveShape;
extern const Shape kLeaseListShape;
extern const Shape kWatchShape;
extern const Shape kMembersShape;
extern const Shape kMemberAddShape;
extern const Shape kStatusShape;
extern const Shape kHashShape;
extern const Shape kAlarmShape;
extern const Shape kAuthStatusShape;
extern const Shape kUserGetShape;
extern const Shape kUserListShape;
extern const Shape kRoleGetShape;
extern const Shape kRoleListShape;

}  // namespace quorate::app::etcdctl
