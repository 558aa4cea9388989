// load/clock.h: the one clock of a measurement.
//
// Monotonic, and the same for sender and receiver: what this tool calls a latency is never a
// difference between two clocks.
#pragma once

#include <ctime>

#include "base/types.h"

namespace quorate::load {

inline Duration read_clock(clockid_t which) {
  timespec now{};
  ::clock_gettime(which, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}
inline Time clock_now() { return Time(read_clock(CLOCK_MONOTONIC)); }
// What all threads of this process used up to now.
inline Duration own_cpu() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

inline double seconds_of(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace quorate::load
