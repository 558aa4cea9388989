// check/search.h: is there an order of these operations that a model accepts and that keeps real
// time? The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) over a
// linked list of calls and returns, with the memory of Lowe ("Testing for Linearizability", 2017):
// no (set of operations done, state) is tried twice.
//
// The question is NP-complete (Gibbons and Korach, 1997), so the search has bounds in memory and
// in steps, and answers `undecided` when it meets one. Two shortcuts are exact: an operation that
// only looks and is possible now is taken at once, since any order that has it later can have it
// here; an operation of unknown outcome that would change nothing here is not needed here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "check/history.h"
#include "check/model.h"

namespace quorate::check {

struct SearchLimits {
  size_t bytes_max = size_t{1} << 30;     // remembered sets and states
  uint64_t steps_max = 2'000'000'000ULL;  // questions to the model; some minutes
};

enum class Decision : uint8_t { yes, no, undecided };

struct SearchEntry {
  uint32_t operation = 0;  // in History::operations()
  Place invoked = 0;
  Place returned = kOpen;   // kOpen: unknown, may take effect at any later time or never
  bool only_looks = false;  // its answer shows that it changed nothing, wherever it took effect
};

struct SearchResult {
  Decision linearizable = Decision::undecided;
  // The order found or, if there is none, the longest one that was possible.
  std::vector<uint32_t> order;
  StateId state = 0;  // after `order`
  uint64_t steps = 0;
  size_t bytes = 0;
};

// Entries in the order of their invocation.
SearchResult search_order(std::span<const SearchEntry> entries, Model& model,
                          const SearchLimits& limits);

// Of the given operations those that may have had an effect, as entries.
std::vector<SearchEntry> entries_of(const History& history, std::span<const uint32_t> operations);

}  // namespace quorate::check
