#include "front/etcd/compaction_plan.h"

#include <algorithm>

namespace quorate::front::etcd {
namespace {

// A longer period is kept, but compacted up to this often: many small portions of work.
constexpr Duration kPeriodMax = std::chrono::hours(1);
constexpr int64_t kLooksPerPeriod = 10;
constexpr Duration kLookIntervalMin = std::chrono::milliseconds(100);
constexpr Duration kRevisionsInterval = std::chrono::minutes(5);

}  // namespace

Duration CompactionPlan::interval() const {
  if (rule_.mode == CompactionMode::revisions) return kRevisionsInterval;
  return std::max(std::min(rule_.period, kPeriodMax) / kLooksPerPeriod, kLookIntervalMin);
}

std::optional<int64_t> CompactionPlan::due(Time now, int64_t newest) const {
  switch (rule_.mode) {
    case CompactionMode::never:
      break;
    case CompactionMode::revisions:
      return newest - rule_.revisions;
    case CompactionMode::periodic: {
      const Duration pause = done_once_ ? std::min(rule_.period, kPeriodMax) : rule_.period;
      if (now - done_at_ >= pause && !seen_.empty()) return seen_.front();
      break;
    }
  }
  return std::nullopt;
}

std::optional<int64_t> CompactionPlan::look(Time now, int64_t newest, bool leads) {
  const std::optional<int64_t> target = due(now, newest);
  if (rule_.mode == CompactionMode::periodic) {
    const auto kept = static_cast<size_t>(std::max<int64_t>(rule_.period / interval(), 1));
    seen_.push_back(newest);
    while (seen_.size() > kept) seen_.pop_front();
  }
  // A revision of 1 is that of the empty store.
  if (!leads || !target || *target <= std::max<int64_t>(compacted_, 1)) return std::nullopt;
  return target;
}

void CompactionPlan::done(Time now, int64_t revision) {
  done_at_ = now;
  done_once_ = true;
  compacted_ = std::max(compacted_, revision);
}

}  // namespace quorate::front::etcd
