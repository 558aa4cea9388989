// raw/raw_consensus.h: what a protocol costs by itself: replicas in one process, one closed loop.
//
// Proposals of a fixed size go to the leader until the time is up; what counts are entries that
// every replica has decided, and the processor time of the whole process: all replicas, their log
// threads and the little that the client costs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "consensus/factory.h"

namespace quorate::raw {

inline constexpr size_t kReplicasMax = 9;  // more vote in nobody's cluster
// Values outstanding, in bytes: half of what a replica keeps in memory behind the decided position
// (consensus/limits.h), so that what is decided need not be read back.
inline constexpr size_t kOutstandingBytesMax = consensus::kTailBytesMax / 2;

struct Options {
  consensus::Protocol protocol = consensus::Protocol::raft;
  bool durable = false;   // the production log on files, instead of memory
  std::string directory;  // for that: absent or empty, left behind
  size_t replicas = 3;
  size_t outstanding = 256;
  size_t value_bytes = 256;
  Duration warm_up = std::chrono::seconds(1);
  Duration measured = std::chrono::seconds(5);
};

struct Outcome {
  uint64_t entries = 0;  // decided by all while it was measured
  Duration took{};
  Duration processor{};  // user and system, of the whole process
  Duration median{};     // from proposal to decision, seen by the leader
  Duration p99{};
  Duration p999{};
  Duration longest{};
  uint64_t messages = 0;
  uint64_t syncs = 0;  // of all logs
  uint64_t log_bytes = 0;
  uint64_t switches = 0;  // of context, voluntary or not
};

// `stopped` is asked now and then: true ends the run early, and it is an error.
Result<Outcome> run_raw_consensus(const Options& options, const std::function<bool()>& stopped);

}  // namespace quorate::raw
