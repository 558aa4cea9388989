// check/revision_check.h: linearizability of an etcd-shaped history, guided by the revisions in
// its answers, in O(n log n) as long as few outcomes are unknown.
//
// The order of successful writes is given, so three questions remain: does it keep real time, does
// a correct store answer so at those revisions, and who made the revisions that nobody answered
// for. Watches and leases are judged against the same replay (watch_check.h, lease_check.h).
#pragma once

#include "check/history.h"
#include "check/verdict.h"

namespace quorate::check {

Verdict check_by_revision(const History& history, const CheckLimits& limits);

// Why the history cannot be judged so; empty if it can.
std::string unfit_for_revisions(const History& history);

}  // namespace quorate::check
