// front/etcd/watch_limits.h: every maximum of the Watch service, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace quorate::front::etcd {

// Looked at in one step, live or catching up; etcd's batch, so that clients know the size. A step
// takes a few milliseconds then, and calls get their turn between two steps.
inline constexpr int64_t kRevisionsPerStepMax = 1000;
inline constexpr size_t kScannedBytesPerStepMax = size_t{4} << 20U;
// A response ends with the revision that takes it above this: well below what clients receive by
// default (4 MiB), large enough that its head does not count. A single revision may be larger.
inline constexpr size_t kResponseBytesEnough = size_t{1} << 20U;
// What waits for the client of one stream. Above it the stream's watchers get nothing more, and
// catch up from the store once there is room: a slow reader costs disk reads, not memory.
inline constexpr size_t kStreamUnsentBytesMax = size_t{2} << 20U;
// Answers to requests are never held back. Who asks on and on without reading loses the stream.
inline constexpr size_t kStreamUnreadBytesMax = size_t{16} << 20U;
// How often streams that had no room are looked at: no client sees so short a pause.
inline constexpr Duration kRoomLookInterval = std::chrono::milliseconds(10);
// Watchers of a stream, and the bytes of what they watch: far more than the busiest client has,
// so that a faulty one ends before the memory does.
inline constexpr size_t kWatchersPerStreamMax = 100000;
inline constexpr size_t kWatchedBytesPerStreamMax = size_t{64} << 20U;
// A stream with hasleader ends after so many election timeouts without a leader, as in etcd.
inline constexpr uint32_t kLeaderlessLooksMax = 3;
// More often than this nobody may be told of progress, whatever the flag says; etcd's minimum.
inline constexpr Duration kProgressIntervalMin = std::chrono::milliseconds(100);

}  // namespace quorate::front::etcd
