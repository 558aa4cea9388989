#include "storage/wal/entry_positions.h"

#include "base/check.h"

namespace quorate::storage::wal {

void LiveEntries::remove(uint64_t generation) {
  const auto count = counts_.find(generation);
  CHECK(count != counts_.end(), "an entry leaves the segment it was counted in");
  if (--count->second == 0) counts_.erase(count);
}

uint64_t LiveEntries::oldest(uint64_t otherwise) const {
  return counts_.empty() ? otherwise : counts_.begin()->first;
}

void EntryPositions::apply(const consensus::Write& write, bool keep_rest,
                           const std::vector<Position>& positions) {
  CHECK(positions.size() == write.entries.size() + write.repairs.size(), "every entry has a place");
  if (write.truncate_from) truncate_from(*write.truncate_from);
  if (write.snapshot) {
    if (write.install && !keep_rest) truncate_from(first_);
    drop_through(write.snapshot->index);
  }
  size_t place = 0;
  for (const auto* list : {&write.entries, &write.repairs}) {
    for (const consensus::Entry& entry : *list) put(entry.index, positions[place++]);
  }
}

const Position* EntryPositions::find(Index index) const {
  if (index < first_ || index >= end()) return nullptr;
  const Position& position = entries_[index - first_];
  return position ? &position : nullptr;
}

void EntryPositions::truncate_from(Index index) {
  while (!entries_.empty() && end() > index) {
    if (entries_.back()) live_->remove(entries_.back().generation);
    entries_.pop_back();
  }
}

void EntryPositions::drop_through(Index index) {
  while (!entries_.empty() && first_ <= index) {
    if (entries_.front()) live_->remove(entries_.front().generation);
    entries_.pop_front();
    ++first_;
  }
  if (entries_.empty()) first_ = index.next();
}

void EntryPositions::put(Index index, const Position& position) {
  if (entries_.empty()) first_ = index;
  // A Paxos slot below all others may be filled late.
  while (index < first_) {
    entries_.push_front({});
    first_ = first_.previous();
  }
  while (end() <= index) entries_.emplace_back();
  Position& place = entries_[index - first_];
  if (place) live_->remove(place.generation);
  place = position;
  if (position) live_->add(position.generation);
}

void EntryPositions::forget(Index index) {
  if (find(index) == nullptr) return;
  Position& place = entries_[index - first_];
  live_->remove(place.generation);
  place = {};
}

std::vector<Index> EntryPositions::within(uint64_t generation, uint64_t begin, uint64_t end) const {
  std::vector<Index> found;
  for (size_t place = 0; place < entries_.size(); ++place) {
    const Position& position = entries_[place];
    const bool inside = position && position.generation == generation && position.offset < end &&
                        uint64_t{position.offset} + position.size > begin;
    if (inside) found.push_back(first_ + place);
  }
  return found;
}

}  // namespace quorate::storage::wal
