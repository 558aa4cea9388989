// storage/wal/recovery.h: what the segments of a directory say after a crash.
//
// Exactly one thing may be incomplete: the last batch, because the next one is written only
// after its sync. So a damaged record is a torn tail when no later batch can be found behind it
// and corruption otherwise. Nothing is written here but the last batch once more, with the same
// bytes: they may have been read from a page cache that the disk never saw.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "storage/wal/entry_positions.h"
#include "storage/wal/group_state.h"
#include "storage/wal/segment.h"

namespace quorate::storage::wal {

struct RecoveredGroup {
  explicit RecoveredGroup(LiveEntries& live) : positions(live) {}
  GroupState state;
  EntryPositions positions;
  std::map<Index, consensus::Entry> members;  // the `members` entries in the log
};

struct RecoveredLog {
  std::unique_ptr<LiveEntries> live = std::make_unique<LiveEntries>();
  std::map<GroupId, RecoveredGroup> groups;
  std::map<uint64_t, std::shared_ptr<Segment>> segments;  // still needed, by generation
  std::vector<std::shared_ptr<Segment>> free;             // may be given a new generation
  uint64_t next_generation = 1;
  uint64_t next_number = 1;
  uint64_t next_file = 1;
  uint64_t last_generation = 0;  // of the segment the log ends in, 0 if there is none
  uint64_t last_end = 0;         // and where it ends there
};

Result<RecoveredLog> recover_log(world::Disk& disk, const std::string& directory);

}  // namespace quorate::storage::wal
