// sim/finish.h: the end of every run: a healed cluster must work again, in bounded time.
#pragma once

#include "sim/cluster.h"

namespace quorate::sim {

// Every fault must be over. Reports a violation unless, within a bound of simulated time, there
// is a leader, fresh proposals commit, reads are answered, and all nodes have applied the same.
void require_recovery(Cluster& cluster);

}  // namespace quorate::sim
