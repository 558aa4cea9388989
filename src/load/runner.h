// load/runner.h: the measuring loop: begins operations, times them, counts what became of them.
//
// Closed loop: always `outstanding` operations under way; each begins when one ends. Open loop
// (`rate` set): operations begin by a schedule, and wait in a queue while `outstanding` are under
// way. Latency counts from the moment an operation ought to have begun, queue included.
//
// Invariant: issued = ok + failed + unfinished, over everything, warm-up included. What is inside
// the window is counted apart.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "load/driver.h"
#include "load/schedule.h"

namespace quorate::load {

// Operations under way at once: each takes a slot here and a stream at the server.
inline constexpr uint32_t kOutstandingMax = 1'000'000;
// Operations of an open loop that wait to be sent: ten seconds at 100,000/s. Above it they are
// abandoned, counted as such: such a run has failed to keep its rate anyhow.
inline constexpr uint64_t kBacklogMax = 1'000'000;
// An operation is late if it was sent this long after its time: then the tool, or the limit on
// what may be under way, was in the way.
inline constexpr Duration kLateAfter = std::chrono::milliseconds(1);
// After the window: for operations that are still under way.
inline constexpr Duration kDrain = std::chrono::seconds(10);
inline constexpr Duration kProgressEvery = std::chrono::milliseconds(500);

struct Plan {
  uint32_t outstanding = 64;
  double rate = 0;  // per second; 0: closed loop
  Arrivals arrivals = Arrivals::even;
  uint64_t seed = 1;
  Duration warm_up = std::chrono::seconds(2);
  Duration measured = std::chrono::seconds(10);
  // If set: exactly so many operations, all of them measured, however long that takes.
  uint64_t operations = 0;
  Duration drain = kDrain;
};

struct Progress {
  Duration elapsed{};
  bool warming_up = false;
  double share = 0;  // of the run that is over
  double per_second = 0;
  uint32_t under_way = 0;
  uint64_t waiting = 0;
  uint64_t failed = 0;
  Duration middle{};  // of the operations since the last progress
  Duration slowest_hundredth{};
};

class Observer {
 public:
  virtual ~Observer() = default;
  virtual void on_window(bool /*opens*/) {}
  virtual void on_progress(const Progress&) {}
  // True: the run ends now, in order, and reports what it has.
  virtual bool stop_asked() { return false; }
};

struct KindResult {
  std::string name;
  uint64_t in_window = 0;    // ended well inside the window: what throughput counts
  LatencyHistogram latency;  // of those that ought to have begun inside the window
  Time slowest_at{};         // when the slowest of them ought to have begun

  void add(Time intended, Time now);
};

struct Measurement {
  Time opened{};
  Duration window{};  // as long as it really was
  std::vector<KindResult> kinds;
  std::array<uint64_t, kOutcomeCount> outcomes{};  // inside the window
  Duration tool_cpu{};                             // used by this process in the window
  uint64_t late = 0;                               // in the window, see kLateAfter
  uint64_t backlog_most = 0;
  // Over everything, warm-up included.
  uint64_t issued = 0;
  uint64_t ok = 0;
  uint64_t failed = 0;
  uint64_t unfinished = 0;  // no answer within the plan's drain
  uint64_t unsent = 0;      // their time came, but never their turn
  uint64_t abandoned = 0;   // see kBacklogMax
  bool stopped = false;     // somebody asked for it
  std::vector<SideResult> side_results;
  std::vector<std::string> problems;

  uint64_t in_window() const;
  double per_second() const;
  uint64_t errors() const;  // inside the window
};

Measurement run(Driver& driver, const Plan& plan, Observer& observer);

}  // namespace quorate::load
