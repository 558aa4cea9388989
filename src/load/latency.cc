#include "load/latency.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace quorate::load {
namespace {

// 128 steps for each doubling: a value is known to 0.8 %.
constexpr unsigned kStepBits = 7;
constexpr uint64_t kSteps = uint64_t{1} << kStepBits;
// More than an hour; what takes longer counts as that.
constexpr unsigned kValueBits = 42;
constexpr uint64_t kValueMax = (uint64_t{1} << kValueBits) - 1;
constexpr size_t kPlaces = (kValueBits - kStepBits + 1) * kSteps;

// Below two times kSteps every nanosecond has its place; from there on, each doubling kSteps.
size_t place_of(uint64_t value) {
  const auto width = static_cast<unsigned>(std::bit_width(value));
  const unsigned shift = width > kStepBits + 1 ? width - kStepBits - 1 : 0;
  return static_cast<size_t>(shift * kSteps + (value >> shift));
}

uint64_t largest_at(size_t place) {
  if (place < 2 * kSteps) return place;
  const uint64_t shift = place / kSteps - 1;
  return ((place - shift * kSteps + 1) << shift) - 1;
}

}  // namespace

LatencyHistogram::LatencyHistogram() : counts_(kPlaces, 0) {}

void LatencyHistogram::add(Duration took, uint64_t times) {
  if (times == 0) return;
  took = std::max(took, Duration{});
  const uint64_t value = std::min(static_cast<uint64_t>(took.count()), kValueMax);
  counts_[place_of(value)] += times;
  count_ += times;
  nanoseconds_ += static_cast<double>(took.count()) * static_cast<double>(times);
  least_ = std::min(least_, took);
  most_ = std::max(most_, took);
}

void LatencyHistogram::merge(const LatencyHistogram& other) {
  for (size_t place = 0; place < kPlaces; ++place) counts_[place] += other.counts_[place];
  count_ += other.count_;
  nanoseconds_ += other.nanoseconds_;
  least_ = std::min(least_, other.least_);
  most_ = std::max(most_, other.most_);
}

void LatencyHistogram::clear() {
  if (count_ != 0) *this = LatencyHistogram();
}

Duration LatencyHistogram::mean() const {
  if (count_ == 0) return {};
  return Duration(static_cast<Duration::rep>(nanoseconds_ / static_cast<double>(count_)));
}

Duration LatencyHistogram::at(double share) const {
  if (count_ == 0) return {};
  const double wanted = std::ceil(std::clamp(share, 0.0, 1.0) * static_cast<double>(count_));
  uint64_t left = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  left = std::min(left, count_);
  for (size_t place = 0; place < kPlaces; ++place) {
    if (counts_[place] >= left) {
      return std::clamp(Duration(static_cast<Duration::rep>(largest_at(place))), least_, most_);
    }
    left -= counts_[place];
  }
  return most_;
}

}  // namespace quorate::load
