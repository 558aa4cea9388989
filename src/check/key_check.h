// check/key_check.h: linearizability of registers and key-value logs, key by key.
//
// A history is linearizable if and only if each object's part of it is (locality: Herlihy and
// Wing, 1990, section 3.3; P-compositionality: Horn and Kroening, 2015), so each key is searched
// alone. That turns one search over thousands of operations into many over dozens.
#pragma once

#include "check/history.h"
#include "check/verdict.h"

namespace quorate::check {

Verdict check_by_key(const History& history, const CheckLimits& limits);

}  // namespace quorate::check
