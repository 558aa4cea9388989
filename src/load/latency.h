// load/latency.h: a histogram of times over nine powers of ten with an error below one percent.
//
// The form of HdrHistogram (G. Tene): every doubling is divided into the same number of steps, so
// that adding costs a shift and an increment, and a percentile is as exact at 100 us as at 10 s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/types.h"

namespace quorate::load {

class LatencyHistogram {
 public:
  LatencyHistogram();
  void add(Duration took, uint64_t times = 1);
  void merge(const LatencyHistogram& other);
  void clear();
  uint64_t count() const { return count_; }
  Duration least() const { return count_ == 0 ? Duration{} : least_; }
  Duration most() const { return most_; }
  Duration mean() const;
  // Of `share` of all, 0 to 1: none of them took longer. Zero when there are none.
  Duration at(double share) const;

 private:
  std::vector<uint64_t> counts_;
  uint64_t count_ = 0;
  double nanoseconds_ = 0;
  Duration least_ = Duration::max();
  Duration most_{};
};

}  // namespace quorate::load
