// check/smaller.h: from a key's history that no order explains to a few operations that already
// contradict each other.
//
// Every step keeps the contradiction honest: if the smaller set cannot be ordered, then no history
// that contains it can be. Sound are: to cut off everything behind some moment (what was under way
// may still take effect); to drop an operation that only looked; and to drop a write that nothing
// left can have seen, because what each of them saw is another value, or because in every order it
// comes before the write or another write, which is left, comes in between. Dropping any other
// write would make contradictions out of correct histories.
#pragma once

#include <vector>

#include "check/history.h"
#include "check/search.h"
#include "check/verdict.h"

namespace quorate::check {

// `entries` of one key, which are known not to be linearizable, in the order of invocation.
std::vector<SearchEntry> smaller_contradiction(const History& history, TextId key,
                                               std::vector<SearchEntry> entries,
                                               const CheckLimits& limits);

}  // namespace quorate::check
