// check/agreement_check.h: what members must agree on, and bounds that must hold, from samples.
#pragma once

#include <vector>

#include "check/history.h"
#include "check/verdict.h"

namespace quorate::check {

// Members with the same revision have the same state, and a state never changes afterwards.
void check_hashes(const History& history, std::vector<Finding>& findings);
// No queue is longer than its limit.
void check_queues(const History& history, std::vector<Finding>& findings);

}  // namespace quorate::check
