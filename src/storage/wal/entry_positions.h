// storage/wal/entry_positions.h: where the durable entries of a group lie, and which segments
// are still needed because of them.
//
// It changes only when a write is durable (or found at recovery): a segment must not be given
// back because of a write that a crash could still undo.
#pragma once

#include <deque>
#include <map>

#include "consensus/replicated_log.h"
#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {

// Live entries of all groups by segment generation.
class LiveEntries {
 public:
  void add(uint64_t generation) { ++counts_[generation]; }
  void remove(uint64_t generation);
  // The oldest segment with a live entry, or `otherwise`.
  uint64_t oldest(uint64_t otherwise) const;

 private:
  std::map<uint64_t, uint64_t> counts_;
};

class EntryPositions {
 public:
  explicit EntryPositions(LiveEntries& live) : live_(&live) {}
  void apply(const consensus::Write& write, bool keep_rest, const std::vector<Position>& positions);
  // Null when the log does not hold the entry, or lost it.
  const Position* find(Index index) const;
  void forget(Index index);  // its content is lost
  void truncate_from(Index index);
  void drop_through(Index index);
  void put(Index index, const Position& position);
  // The entries that lie in this part of a segment.
  std::vector<Index> within(uint64_t generation, uint64_t begin, uint64_t end) const;

 private:
  Index end() const { return first_ + entries_.size(); }

  LiveEntries* live_;
  Index first_{1};                // of entries_.front()
  std::deque<Position> entries_;  // holes and damaged entries have no position
};

}  // namespace quorate::storage::wal
