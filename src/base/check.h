// base/check.h: CHECK, the guard against our own bugs. Always on, in every build.
//
// A failed CHECK means the program is wrong, not the world: continuing could break a promise
// already made to a client, so the process stops at once. Failures of the world (a disk, a
// peer) and expected refusals are values instead: see base/result.h.
#pragma once

namespace quorate {

[[noreturn]] void check_failed(const char* condition, const char* reason, const char* file,
                               int line);

// Called with the formatted failure before it is printed and the process aborts; the simulator and
// the server set it to add what only they know (seed and step, node state), the exhaustive searcher
// to throw, because for it a failure is a finding. Null by default.
using CheckObserver = void (*)(const char* text);
void set_check_observer(CheckObserver observer);

}  // namespace quorate

// CHECK(condition, "why this must hold")
#define CHECK(condition, reason)                                       \
  do {                                                                 \
    if (!(condition)) [[unlikely]]                                     \
      ::quorate::check_failed(#condition, reason, __FILE__, __LINE__); \
  } while (false)
