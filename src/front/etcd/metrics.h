// front/etcd/metrics.h: /metrics in Prometheus text form, under etcd's names wherever the meaning
// is the same, so that existing dashboards and alerts work.
#pragma once

#include <string>

#include "front/etcd/api.h"

namespace quorate::front::etcd {

struct WatchCounts {
  uint64_t streams = 0;
  uint64_t watchers = 0;
  uint64_t slow_watchers = 0;  // not live
  uint64_t events = 0;         // sent, to each watcher anew
};

std::string render_metrics(Api& api, const WatchCounts& watches);

}  // namespace quorate::front::etcd
