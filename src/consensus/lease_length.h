// consensus/lease_length.h: how long a leader may answer reads on the word of its followers.
//
// A follower keeps its promise for an election timeout of its own clock, which may run fast; the
// leader's own may run slow. The lease is shorter by both, so it never outlasts a promise as long
// as Config::clock_drift_per_million is true.
#pragma once

#include "consensus/factory.h"

namespace quorate::consensus {

Duration lease_length(const Config& config);

}  // namespace quorate::consensus
