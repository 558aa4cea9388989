#include "storage/wal/recent_changes.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::storage::wal {
namespace {

// A state record costs some sixty bytes for each group it tells of. With few groups all these
// batches are covered; with many, fewer.
constexpr size_t kBatchesMax = 32;
constexpr size_t kGroupsMax = 16;

}  // namespace

void RecentChanges::begin_batch(uint64_t first_number) {
  batches_.push_back({first_number, {}});
  if (batches_.size() > kBatchesMax) batches_.pop_front();
}

void RecentChanges::add(GroupId group, const consensus::Write& write, Index last) {
  CHECK(!batches_.empty(), "a write belongs to a batch");
  Change change{last.next(), write.snapshot.has_value()};
  if (write.truncate_from) change.since = std::min(change.since, *write.truncate_from);
  if (write.install) change.since = {};
  if (!write.entries.empty()) change.since = std::min(change.since, write.entries.front().index);
  auto& changes = batches_.back().changes;
  const auto known = std::ranges::find(changes, group, &std::pair<GroupId, Change>::first);
  if (known == changes.end()) {
    changes.emplace_back(group, change);
  } else {
    known->second.since = std::min(known->second.since, change.since);
    known->second.snapshot = known->second.snapshot || change.snapshot;
  }
}

std::map<GroupId, RecentChanges::Change> RecentChanges::list(uint64_t& covers) const {
  std::map<GroupId, Change> found;
  for (auto batch = batches_.rbegin(); batch != batches_.rend(); ++batch) {
    if (!found.empty() && found.size() + batch->changes.size() > kGroupsMax) break;
    covers = batch->first_number;
    for (const auto& [group, change] : batch->changes) {
      const auto [place, fresh] = found.try_emplace(group, change);
      if (fresh) continue;
      place->second.since = std::min(place->second.since, change.since);
      place->second.snapshot = place->second.snapshot || change.snapshot;
    }
  }
  return found;
}

}  // namespace quorate::storage::wal
