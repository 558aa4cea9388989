#include "raw/client.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace quorate::raw {

Client::Client(size_t outstanding, size_t value_bytes)
    : started_(outstanding), filling_(std::max(value_bytes, sizeof(uint64_t)), 'v') {}

uint64_t Client::begin(Time now) {
  const uint64_t sequence = ++begun_;
  started_[sequence % started_.size()] = now;
  return sequence;
}

Bytes Client::value(uint64_t sequence) const {
  std::string text = filling_;
  std::memcpy(text.data(), &sequence, sizeof sequence);
  return Bytes::adopt(std::move(text));
}

bool Client::decide(uint64_t sequence, Time now) {
  if (sequence != decided_ + 1 || sequence > begun_) return false;
  decided_ = sequence;
  if (sequence % stride_ != 0) return true;
  if (samples_.size() == kSamplesMax) {
    for (size_t i = 0; i < kSamplesMax / 2; ++i) samples_[i] = samples_[2 * i];
    samples_.resize(kSamplesMax / 2);
    stride_ *= 2;
  }
  samples_.push_back(now - started_[sequence % started_.size()]);
  return true;
}

void Client::forget_samples() {
  samples_.clear();
  stride_ = 1;
}

std::vector<Duration> Client::take_samples() {
  std::sort(samples_.begin(), samples_.end());
  return std::exchange(samples_, {});
}

}  // namespace quorate::raw
