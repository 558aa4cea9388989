// front/etcd/process_metrics.h: what the operating system says about this process, under the names
// that every client library of Prometheus uses.
#pragma once

#include "front/etcd/metrics_page.h"

namespace quorate::front::etcd {

void render_process(MetricsPage& page);

}  // namespace quorate::front::etcd
