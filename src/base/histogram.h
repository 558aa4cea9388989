// base/histogram.h: how often something took how long.
//
// Counted by fixed bounds, so that what several members or hours counted can be added up.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/types.h"

namespace quorate {

// `kBounds`: an array of Durations, ascending; what is above the last one is counted behind it.
template <const auto& kBounds>
class Histogram {
 public:
  void add(Duration took) {
    const auto place = std::lower_bound(kBounds.begin(), kBounds.end(), took);
    ++counts_[static_cast<size_t>(place - kBounds.begin())];
    nanoseconds_ += static_cast<uint64_t>(std::max<Duration::rep>(took.count(), 0));
  }
  static constexpr const auto& bounds() { return kBounds; }
  uint64_t count(size_t bucket) const { return counts_[bucket]; }  // above the bound before it
  uint64_t nanoseconds() const { return nanoseconds_; }

 private:
  std::array<uint64_t, kBounds.size() + 1> counts_{};
  uint64_t nanoseconds_ = 0;
};

// Those of etcd for what a disk does: from a millisecond, doubled.
inline constexpr auto kDiskBounds = [] {
  std::array<Duration, 14> bounds{};
  for (size_t i = 0; i < bounds.size(); ++i) bounds[i] = std::chrono::milliseconds(1) * (1 << i);
  return bounds;
}();
using DiskTimes = Histogram<kDiskBounds>;

}  // namespace quorate
