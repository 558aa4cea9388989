// load/schedule.h: when operations ought to begin in an open loop, whatever the server does.
//
// A closed loop waits for the server and so never asks in the moments when it is slow
// ("coordinated omission"). Here the times are fixed beforehand, and latency counts from them.
#pragma once

#include "base/rng.h"
#include "base/types.h"

namespace quorate::load {

enum class Arrivals : uint8_t { even, poisson };

class Schedule {
 public:
  Schedule(Time start, double per_second, Arrivals arrivals, uint64_t seed);
  Time next() const { return next_; }
  void advance();

 private:
  Time start_;
  double gap_;         // nanoseconds between two, on average
  double offset_ = 0;  // of next_ from start_
  uint64_t number_ = 0;
  Arrivals arrivals_;
  Rng rng_;
  Time next_;
};

}  // namespace quorate::load
