#include "node/log_trim.h"

#include <algorithm>

#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

constexpr uint64_t kSampleBytes = kCatchUpBytesMax / 16;

// Asking costs little, but not nothing: a fraction of the distance between two truncations.
constexpr uint64_t kLooksPerTrim = 16;

}  // namespace

LogTrim::LogTrim(uint64_t snapshot_count, uint64_t catch_up_entries)
    : snapshot_count_(std::max<uint64_t>(snapshot_count, 1)), catch_up_entries_(catch_up_entries) {}

void LogTrim::on_applied(Index index, uint64_t bytes) {
  bytes_ += bytes;
  if (samples_.empty() || bytes_ - samples_.back().second >= kSampleBytes) {
    samples_.emplace_back(index, bytes_);
  }
  while (samples_.size() > 2 && bytes_ - samples_[1].second >= kCatchUpBytesMax) {
    samples_.pop_front();
  }
}

Index LogTrim::wanted(Index applied) const {
  Index keep{applied.value > catch_up_entries_ ? applied.value - catch_up_entries_ : 0};
  if (!samples_.empty() && bytes_ - samples_.front().second >= kCatchUpBytesMax) {
    keep = std::max(keep, std::min(samples_.front().first, applied));
  }
  return keep;
}

bool LogTrim::is_due(Index first, Index applied) const {
  const uint64_t look_entries = snapshot_count_ / kLooksPerTrim + 1;
  const uint64_t look_bytes = kLogBytesMax / kLooksPerTrim;
  if (applied.value < looked_at_.value + look_entries && bytes_ < bytes_looked_at_ + look_bytes) {
    return false;
  }
  if (applied.next() <= first) return false;
  return applied.next() - first > snapshot_count_ + catch_up_entries_ ||
         bytes_ - bytes_at_trim_ > kLogBytesMax + kCatchUpBytesMax;
}

LogTrim::Decision LogTrim::decide(Index first, Index applied, Index durable,
                                  std::optional<Index> pin) {
  looked_at_ = applied;
  bytes_looked_at_ = bytes_;
  Decision decision;
  Index index = wanted(applied);
  const uint64_t step = snapshot_count_ / 4 + 1;
  if (durable < index && (!flushed_at_ || applied.value >= flushed_at_.value + step)) {
    decision.flush = true;
    flushed_at_ = applied;
  }
  if (!QRT_MUTANT(TRIM_NODE)) index = std::min(index, durable);
  if (pin) index = std::min(index, *pin);
  const bool by_bytes = bytes_ - bytes_at_trim_ > kLogBytesMax + kCatchUpBytesMax;
  if (index < first || (index - first < step && !by_bytes)) return decision;
  decision.index = index;
  bytes_at_trim_ = std::max(bytes_at_trim_, samples_.empty() ? 0 : samples_.front().second);
  return decision;
}

}  // namespace quorate::node
