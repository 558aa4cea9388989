// tests/crash/load.h: clients of a cluster under test, through the public API.
//
// history_load records what clients did and were told, for the checkers, and verify looks for it
// on each member afterwards. write_probe measures for how long no write is acknowledged. Times are
// nanoseconds of CLOCK_MONOTONIC, which every process of a machine shares, so a driver can set its
// faults beside them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace quorate::crash {

using Clock = std::chrono::steady_clock;

struct HistoryOptions {
  std::vector<std::string> endpoints;
  std::string output;
  size_t clients = 6;
  size_t keys = 5;
  size_t value_bytes = 0;  // values are padded to this size
  uint64_t seed = 1;
  std::chrono::milliseconds duration{10'000};
  std::chrono::milliseconds deadline{1000};  // of one operation
  std::chrono::microseconds pause{2000};     // between the operations of one client, at most twice
  bool roam = false;                         // a client whose member fails tries the next one
};

struct ProbeOptions {
  std::vector<std::string> endpoints;
  std::string output;
  std::chrono::microseconds period{2000};  // between the puts of one client
  std::chrono::milliseconds duration{10'000};
  std::chrono::milliseconds deadline{1000};
};

inline int64_t nanoseconds(Clock::time_point when) {
  return std::chrono::nanoseconds(when.time_since_epoch()).count();
}

// Until the duration is over or standard input ends. The value is an exit code.
int record_history(const HistoryOptions& options);
int probe_writes(const ProbeOptions& options);

// Whether every acknowledged write of a history is on every member, at its revision, and all
// members hold the same rows. Says what is missing; the value is an exit code.
int verify_history(const std::vector<std::string>& endpoints, const std::string& path);

// True once the driver has closed our standard input: it wants no more, or is gone.
bool driver_gone();

}  // namespace quorate::crash
