// sim/full/run.h: the front door of the full profile: one seed, one whole life of a cluster of
// whole nodes. The result is that of the core profile (sim/run.h), and as there it is a pure
// function of options and seed.
#pragma once

#include "sim/full/fault.h"
#include "sim/run.h"

namespace quorate::sim::full {

struct Options {
  consensus::Protocol protocol = consensus::Protocol::raft;
  uint64_t members = 0;            // 0: from the seed
  std::optional<FaultSet> faults;  // nothing: from the seed
  uint32_t trace = 0;              // 1: a line for each event
  int64_t duration_ms = 0;         // simulated time before the ending; 0: from the seed
  std::function<void(const std::string&)> sink;  // of trace lines; standard output when empty
};

RunResult run_seed(const Options& options, uint64_t seed);

}  // namespace quorate::sim::full
