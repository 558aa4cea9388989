// app/forced_cluster.h: --force-new-cluster: a member whose majority is gone for ever goes on
// alone.
//
// What its log holds becomes the state of a new cluster of one, with the same keys, revisions,
// leases, users and roles. The cluster has another id, so that no member of the
// old one takes part. The old directory stays beside the new one.
#pragma once

#include "app/config.h"
#include "base/result.h"

namespace quorate::app {

// Rebuilds the data directory, and makes `config` that of a cluster of one.
Result<void> force_new_cluster(ServeConfig& config);

}  // namespace quorate::app
