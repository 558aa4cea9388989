// storage/wal/recent_changes.h: what the newest batches have changed, for the next state record.
//
// A state record tells of every group that one of the batches before it has touched, from the
// lowest position touched on. The more batches it covers, the longer a stretch of lost pages may
// be without anything becoming uncertain. Invariant: always covers at least the newest batch.
#pragma once

#include <deque>
#include <map>
#include <vector>

#include "consensus/replicated_log.h"

namespace quorate::storage::wal {

class RecentChanges {
 public:
  struct Change {
    Index since;            // nothing below was changed
    bool snapshot = false;  // the snapshot was
  };

  void begin_batch(uint64_t first_number);
  // `last`: of the group before the write.
  void add(GroupId group, const consensus::Write& write, Index last);

  // Of the newest batches, as many as are remembered; and the number of the first record of the
  // oldest of them.
  std::map<GroupId, Change> list(uint64_t& covers) const;

 private:
  struct Batch {
    uint64_t first_number = 0;
    std::vector<std::pair<GroupId, Change>> changes;
  };
  std::deque<Batch> batches_;
};

}  // namespace quorate::storage::wal
