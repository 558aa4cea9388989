// node/set_aside.h: what a member does with data that it found damaged (docs/decisions/0013).
//
// Nothing is deleted: whoever has to rescue a cluster of which too much is gone may need it.
// Damaged data moves to damaged-N-NAME beside the rest, and the member comes back from its peers.
#pragma once

#include "node/identity.h"
#include "node/node.h"

namespace quorate::node {

// Whether this error says that data is damaged, as opposed to, say, no permission.
bool is_damage(const Error& error);

// Blocking. Absent: nothing to do.
Result<void> set_aside(world::Disk& disk, const std::string& directory, const std::string& name);

// The log cannot say for certain what it held, so neither does the member know its votes: it
// becomes amnesiac (docs/decisions/0004), durably, before anything moves. An error when there is
// nobody to come back from.
Result<void> forget_log(world::Disk& disk, const NodeConfig& config, Identity& identity,
                        const Error& why);

}  // namespace quorate::node
