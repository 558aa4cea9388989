#include "check/versioned_store.h"

#include <algorithm>

namespace quorate::check {
namespace {

int64_t recorded(int64_t value, int64_t otherwise) {
  return value == kNotRecorded ? otherwise : value;
}

}  // namespace

VersionedStore::VersionedStore(const History& history, const KeyTable& keys)
    : versions_(keys.size()) {
  for (const Item& item : history.start_items()) {
    const Rank rank = keys.rank(item.key);
    const int64_t mod = recorded(item.mod, history.start_revision());
    Version version{.mod = mod,
                    .create = recorded(item.create, mod),
                    .version = std::max<int64_t>(recorded(item.version, 1), 1),
                    .lease = recorded(item.lease, 0),
                    .value = item.value == kNoText ? 0 : item.value};
    if (!versions_[rank].empty()) detach(rank, versions_[rank].back().lease);
    versions_[rank] = {version};
    attach(rank, version.lease);
  }
}

const Version* VersionedStore::last(Rank rank) const {
  if (rank == kNoRank || versions_[rank].empty()) return nullptr;
  return &versions_[rank].back();
}

const Version* VersionedStore::now(Rank rank) const {
  const Version* version = last(rank);
  return version == nullptr || version->erased() ? nullptr : version;
}

const Version* VersionedStore::at(Rank rank, int64_t revision) const {
  const Version* newest = last(rank);
  if (newest == nullptr) return nullptr;
  if (newest->mod <= revision) return newest->erased() ? nullptr : newest;
  const std::vector<Version>& all = versions_[rank];
  const auto behind = std::partition_point(
      all.begin(), all.end(), [revision](const Version& each) { return each.mod <= revision; });
  if (behind == all.begin() || (behind - 1)->erased()) return nullptr;
  return &*(behind - 1);
}

void VersionedStore::put(Rank rank, TextId value, int64_t lease, int64_t revision) {
  const Version* before = now(rank);
  Version next{.mod = revision, .create = revision, .version = 1, .lease = lease, .value = value};
  if (before != nullptr) {
    next.create = before->create;
    next.version = before->version + 1;
    detach(rank, before->lease);
  }
  versions_[rank].push_back(next);
  changed_.push_back({revision, rank});
  attach(rank, lease);
}

void VersionedStore::erase(Rank rank, int64_t revision) {
  if (const Version* before = now(rank); before != nullptr) detach(rank, before->lease);
  versions_[rank].push_back({.mod = revision});
  changed_.push_back({revision, rank});
}

void VersionedStore::undo_behind(int64_t revision) {
  while (!changed_.empty() && changed_.back().revision > revision) {
    const Rank rank = changed_.back().rank;
    changed_.pop_back();
    detach(rank, versions_[rank].back().lease);
    versions_[rank].pop_back();
    if (const Version* before = now(rank); before != nullptr) attach(rank, before->lease);
  }
}

std::vector<Rank> VersionedStore::changed_behind(int64_t revision) const {
  std::vector<Rank> result;
  for (size_t i = changed_.size(); i > 0 && changed_[i - 1].revision > revision; --i) {
    result.push_back(changed_[i - 1].rank);
  }
  return result;
}

void VersionedStore::attach(Rank rank, int64_t lease) {
  if (lease != 0) leases_[lease].insert(rank);
}

void VersionedStore::detach(Rank rank, int64_t lease) {
  if (lease == 0) return;
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  found->second.erase(rank);
  if (found->second.empty()) leases_.erase(found);
}

std::vector<Rank> VersionedStore::keys_of(int64_t lease) const {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return {};
  return {found->second.begin(), found->second.end()};
}

std::vector<int64_t> VersionedStore::leases_in_use() const {
  std::vector<int64_t> result;
  for (const auto& [lease, keys] : leases_) result.push_back(lease);
  return result;
}

}  // namespace quorate::check
