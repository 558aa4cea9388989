// check/watch_check.h: what etcd promises about watches, against the events that a replay found:
// ordered, unique, atomic, reliable, resumable, bookmarkable; filters kept, previous values right.
//
// A watch that resumes is one that starts behind the last event of another: from its start on, it
// must miss nothing. Nothing is held against a watch that was merely slow, unless the recorder
// says that all watches had the time to settle.
#pragma once

#include <vector>

#include "check/history.h"
#include "check/key_table.h"
#include "check/replay.h"
#include "check/verdict.h"

namespace quorate::check {

void check_watches(const History& history, const KeyTable& keys, const Revisions& revisions,
                   const Replay& replay, std::vector<Finding>& findings);

}  // namespace quorate::check
