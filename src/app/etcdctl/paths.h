// app/etcdctl/paths.h: the methods that only these commands call.
#pragma once

namespace quorate::app::etcdctl {

inline constexpr char kPathWatch[] = "/etcdserverpb.Watch/Watch";
inline constexpr char kPathLeaseGrant[] = "/etcdserverpb.Lease/LeaseGrant";
inline constexpr char kPathLeaseRevoke[] = "/etcdserverpb.Lease/LeaseRevoke";
inline constexpr char kPathLeaseTimeToLive[] = "/etcdserverpb.Lease/LeaseTimeToLive";
inline constexpr char kPathLeaseList[] = "/etcdserverpb.Lease/LeaseLeases";
inline constexpr char kPathLeaseKeepAlive[] = "/etcdserverpb.Lease/LeaseKeepAlive";
inline constexpr char kPathHash[] = "/etcdserverpb.Maintenance/HashKV";
inline constexpr char kPathAlarm[] = "/etcdserverpb.Maintenance/Alarm";
inline constexpr char kPathDefragment[] = "/etcdserverpb.Maintenance/Defragment";

}  // namespace quorate::app::etcdctl
