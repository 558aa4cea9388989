// sim/registers/run.h: registers under faults, with what their clients saw recorded.
//
// A few nodes with slow disks and a bad network: messages are late, lost and doubled, nodes are
// cut off, crash between a write and its disk, and come back. Clients ask any node. The same seed
// gives the same run. What the clients saw is judged by check/.
#pragma once

#include <cstdint>
#include <string>

#include "check/history.h"

namespace quorate::sim::registers {

struct Totals {
  uint64_t applied = 0;
  uint64_t mismatched = 0;
  uint64_t not_applied = 0;
  uint64_t unknown = 0;
  uint64_t full = 0;  // refused as one register too many: there are two
  uint64_t crashes = 0;
  uint64_t cuts = 0;
  uint64_t messages = 0;
  uint64_t ballots = 0;
};

struct Outcome {
  Totals totals;
  std::string broken;  // in words; empty: linearizable, and everybody was served in the end
};

Outcome run(uint64_t seed);

}  // namespace quorate::sim::registers
