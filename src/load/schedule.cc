#include "load/schedule.h"

#include <cmath>

#include "base/check.h"

namespace quorate::load {
namespace {

// Uniform in (0, 1]: 53 bits are what a double holds.
double fraction(Rng& rng) { return (static_cast<double>(rng.next() >> 11U) + 1) * 0x1p-53; }

}  // namespace

Schedule::Schedule(Time start, double per_second, Arrivals arrivals, uint64_t seed)
    : start_(start), gap_(1e9 / per_second), arrivals_(arrivals), rng_(seed), next_(start) {
  CHECK(per_second > 0, "a schedule of nothing");
  if (arrivals_ == Arrivals::poisson) advance();
}

void Schedule::advance() {
  // Even ones from their number, so that rounding does not add up over hours.
  offset_ = arrivals_ == Arrivals::even ? gap_ * static_cast<double>(++number_)
                                        : offset_ - gap_ * std::log(fraction(rng_));
  next_ = start_ + Duration(static_cast<Duration::rep>(offset_));
}

}  // namespace quorate::load
