// tests/crash/shim_control.h: the page that a driver and the shim inside a process share.
//
// The driver (rig.py) maps it from a file and knows this layout; the version tells a driver of
// another layout. Plain loads and stores of the driver are enough: it writes `action` last.
#pragma once

#include <atomic>
#include <cstdint>

namespace quorate::crash {

inline constexpr uint64_t kShimVersion = 3;

// What a call of the process under test does to the disk.
enum class Step : uint32_t { create, write, sync, rename, remove, truncate, directory_sync, read };
inline constexpr uint32_t kSteps = 8;

enum class Action : uint32_t {
  nothing,
  kill_before,  // SIGKILL instead of the call
  kill_torn,    // half of a write, then SIGKILL
  kill_after,   // the call, then SIGKILL
  fail,         // the call is not made, errno is `error`
  short_write,  // a write takes one byte less
  delay,        // sleeps first
  drop          // a sync that is not made, and says that it was
};

struct ShimControl {
  uint64_t version;
  std::atomic<uint32_t> action;
  std::atomic<uint32_t> steps;            // set of Step it strikes, as bits
  std::atomic<int64_t> skip;              // so many matching calls pass first
  std::atomic<int64_t> times;             // strikes, at most; -1: every time
  std::atomic<uint32_t> error;            // errno of `fail`
  std::atomic<uint32_t> delay_ms;         // of `delay`
  std::atomic<uint64_t> struck;           // so far
  std::atomic<uint64_t> counted[kSteps];  // calls so far
  char area[64];                          // only paths that contain it; empty: all
};

}  // namespace quorate::crash
