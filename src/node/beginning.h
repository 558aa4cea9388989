// node/beginning.h: a data directory that begins behind a state which came from elsewhere: the
// snapshot of an etcd, say (docs/decisions/0020).
//
// Every founder is given the same state and the same index behind which the log begins. From
// there on it is a member like any other, and a formed one: who starts with an empty directory
// among such members is not a founder but gets the state from them, once a majority is there.
#pragma once

#include <functional>

#include "machine/state_machine.h"
#include "node/node.h"

namespace quorate::node {

// What the state's store has to say of itself.
machine::AppliedPosition beginning_position(const NodeConfig& config, Index behind);
// Where the store belongs within the directory.
std::string beginning_store_path(const NodeConfig& config, Index behind);

// Writes log and identity beside the store that is there already. `done` is called once, from the
// executor; then everything is durable, except the name of the directory itself. `config` as for
// open_node(), new_cluster, with all members.
void begin_behind(world::Executor& executor, world::Disk& disk, const NodeConfig& config,
                  Index behind, std::function<void(Result<void>)> done);

}  // namespace quorate::node
