// check/lease_check.h: what a lease promises: it does not end before its time, by the clock of the
// recorder; what hung on it is gone when it is; and nothing hangs on it afterwards.
//
// An acknowledged grant or renewal holds from the call's start for its time to live at least: it
// took effect later than that. The end is no later than the first event that shows it. Both bounds
// err on the side of the store.
#pragma once

#include <vector>

#include "check/history.h"
#include "check/replay.h"
#include "check/revisions.h"
#include "check/verdict.h"

namespace quorate::check {

void check_leases(const History& history, const Revisions& revisions, const Replay& replay,
                  std::vector<Finding>& findings);

}  // namespace quorate::check
