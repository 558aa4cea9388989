// consensus/limits.h: every bound of the cores, with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace quorate::consensus {

// One append message. Large enough to amortise a round trip, small enough that a 10 MB/s link
// sends it well within an election timeout.
inline constexpr size_t kAppendBytesMax = size_t{1} << 20U;
inline constexpr size_t kAppendEntriesMax = 4096;
// Append messages sent to one peer and not yet answered: keeps a slow peer from filling memory.
inline constexpr size_t kInflightMessagesMax = 256;
inline constexpr size_t kInflightBytesMax = size_t{16} << 20U;
// Entries kept in memory after they are committed, so that a peer a little behind is served
// without reading the disk. Older ones come back through Ready::fetch.
inline constexpr size_t kTailBytesMax = size_t{8} << 20U;
// Accepted by the leader but not committed: beyond this, proposals are refused as busy.
inline constexpr size_t kUncommittedBytesMax = size_t{64} << 20U;
inline constexpr size_t kUncommittedEntriesMax = size_t{1} << 17U;
// Read rounds under way at once: the second lets readers that arrive during a round start
// without waiting for its end; more only adds messages.
inline constexpr size_t kReadRoundsMax = 2;
// How long the news of a commit waits for an append that would carry it, before it is sent by
// itself. Longer than the pause of a client that writes one thing after the other, and nothing
// beside a heartbeat. A member whose own client waits for the commit is told at once.
inline constexpr Duration kCommitNoticeDelay = std::chrono::milliseconds(1);
// Rounds of heartbeats whose answers could still renew a lease: older ones prove nothing new.
inline constexpr size_t kLeaseRoundsMax = 16;
// Runs of damaged entries asked for in one message; with more, the rest is asked for later.
inline constexpr size_t kRepairRunsMax = 64;
// Requests for lost entries waiting for the disk; who is turned away asks again.
inline constexpr size_t kRepairRequestsMax = 16;
// A snapshot must save at least this much against the entries it stands for: it costs a
// checkpoint, a new store, and a start from it.
inline constexpr uint64_t kSnapshotHeadStartBytes = uint64_t{1} << 20U;
// Reads waiting for a round; beyond this they are refused as busy.
inline constexpr size_t kWaitingReadsMax = size_t{1} << 16U;

}  // namespace quorate::consensus
