// storage/mvcc/totals.h: what a store counts while it is open, for people to look at.
#pragma once

#include <cstdint>

namespace quorate::storage::mvcc {

// What was done since the store was opened.
struct Totals {
  uint64_t puts = 0;
  uint64_t put_bytes = 0;  // keys and values
  uint64_t removals = 0;   // calls, whatever they removed
  uint64_t rows_compacted = 0;
};

}  // namespace quorate::storage::mvcc
