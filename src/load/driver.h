// load/driver.h: one system under load, as the measuring loop sees it.
//
// The loop (load/runner.h) decides when an operation begins and how long it took; a driver knows
// how to ask for it. So etcd's API, ZooKeeper's and replicas in this process are measured by the
// same clock, in the same windows, with the same words. Everything happens on one thread:
//
//   prepare()  once; afterwards again and again:
//   issue()    for each operation that is to begin; never reports at once
//   turn()     sends what was issued, waits, reports what ended
//   finish()   once
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "load/latency.h"
#include "load/outcome.h"

namespace quorate::load {

struct Operation {
  uint64_t sequence = 0;  // 0, 1, 2, ... over a whole run
  Time intended;          // when it ought to begin; its latency counts from here
  uint32_t slot = 0;      // below Plan::outstanding; no other operation under way has it
};

class Listener {
 public:
  // `kind` is a place in Driver::kinds(). Exactly once for each operation issued.
  virtual void on_done(uint32_t slot, Outcome outcome, uint8_t kind) = 0;

 protected:
  ~Listener() = default;
};

// What a driver measured besides its operations, such as events that arrived.
struct SideResult {
  std::string name;
  uint64_t in_window = 0;
  LatencyHistogram latency;
  // Still on their way when nobody waited any longer. In `latency` with the time they were waited
  // for: leaving them out would make a server look fast that is far behind.
  uint64_t undelivered = 0;
};

class Driver {
 public:
  virtual ~Driver() = default;
  // What its operations are told apart by in the report: {"get", "put"}.
  virtual std::vector<std::string> kinds() const = 0;
  // Connects and makes ready; may take seconds.
  virtual Result<void> prepare() { return {}; }
  // False: nobody could be asked now, say while every connection is lost. The loop waits.
  virtual bool ready() const { return true; }
  virtual void issue(const Operation& operation) = 0;
  // Returns after `patience`, or earlier when something happened.
  virtual void turn(Duration patience, Listener& listener) = 0;
  // The window of the measurement opens or closes, at `moment`: what is intended before it does
  // not belong inside, or does.
  virtual void measure(bool /*opens*/, Time /*moment*/) {}
  // Between the last operation and the report: waits for what must still come.
  virtual void finish() {}
  virtual std::vector<SideResult> side_results() const { return {}; }
  // Broken promises of the server, as sentences. None: all was as it should be.
  virtual std::vector<std::string> problems() const { return {}; }
  // The first error in the server's own words, for people.
  virtual std::string first_error() const { return {}; }
};

}  // namespace quorate::load
