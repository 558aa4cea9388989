// raw/client.h: a closed loop: as many proposals outstanding as asked for, a new one for each that
// was decided; and how long each took.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/types.h"

namespace quorate::raw {

// Latencies kept for percentiles; of a longer run every second, fourth ... is kept.
inline constexpr size_t kSamplesMax = size_t{1} << 20U;

class Client {
 public:
  Client(size_t outstanding, size_t value_bytes);

  bool may_begin() const { return begun_ - decided_ < started_.size(); }
  // The number and content of the next proposal.
  uint64_t begin(Time now);
  Bytes value(uint64_t sequence) const;
  // They are decided in the order of their beginning, as there is one leader; false: not so.
  bool decide(uint64_t sequence, Time now);

  uint64_t decided() const { return decided_; }
  uint64_t begun() const { return begun_; }  // decided or under way
  void forget_samples();
  // Sorted. Empties the samples.
  std::vector<Duration> take_samples();

 private:
  std::vector<Time> started_;  // by sequence, modulo its size
  std::string filling_;
  uint64_t begun_ = 0;
  uint64_t decided_ = 0;
  uint64_t stride_ = 1;
  std::vector<Duration> samples_;
};

}  // namespace quorate::raw
