// front/etcd/watch_counts.h: what the Watch service counts for /metrics.
#pragma once

#include <cstdint>

namespace quorate::front::etcd {

struct WatchCounts {
  uint64_t streams = 0;
  uint64_t watchers = 0;
  uint64_t slow_watchers = 0;  // not live
  uint64_t events = 0;         // sent, to each watcher anew
};

}  // namespace quorate::front::etcd
