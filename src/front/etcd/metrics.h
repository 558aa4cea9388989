// front/etcd/metrics.h: /metrics in Prometheus text form, under etcd's names wherever the meaning
// is the same, so that existing dashboards and alerts work.
#pragma once

#include <string>

#include "front/etcd/api.h"
#include "front/etcd/watch_counts.h"

namespace quorate::front::etcd {

std::string render_metrics(Api& api, const WatchCounts& watches);

}  // namespace quorate::front::etcd
