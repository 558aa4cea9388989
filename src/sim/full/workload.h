// sim/full/workload.h: what the simulated clients ask for.
#pragma once

#include "base/rng.h"
#include "machine/etcd/commands.h"
#include "sim/full/model.h"
#include "sim/full/swarm.h"

namespace quorate::sim::full {

struct Command {
  machine::etcd::CommandKind kind = machine::etcd::CommandKind::put;
  Bytes bytes;
};

// Every command but a compaction carries `number` somewhere, so that no two are the same.
Command draw_command(Rng& rng, const FullSwarm& swarm, const Model& model, uint64_t number);
// A range, now and then of an older revision.
Bytes draw_query(Rng& rng, const FullSwarm& swarm, const Model& model);

}  // namespace quorate::sim::full
