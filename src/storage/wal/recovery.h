// storage/wal/recovery.h: what the segments of a directory say after a crash, or after rot.
//
// Exactly one thing may legally be incomplete: the last batch, because the next one is written
// only after its sync. So what cannot be believed is a torn tail when no later batch is behind
// it, and damage otherwise. Damage takes content: which entries were lost, the newest hard state
// and the end of the log are told by the records behind it (docs/decisions/0013). Where they do
// not tell, the log is refused. Invariant: what is answered was durable, nothing that was durable
// is missing without being named, or there is no answer.
//
// Nothing is written here but the last batch once more, with the same bytes: they may have been
// read from a page cache that the disk never saw.
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
  std::map<Index, consensus::Entry> members;  // the `members` entries that are whole
};

struct RecoveredLog {
  std::unique_ptr<LiveEntries> live = std::make_unique<LiveEntries>();
  std::map<GroupId, RecoveredGroup> groups;
  std::map<uint64_t, std::shared_ptr<Segment>> segments;  // still needed, by generation
  std::vector<std::shared_ptr<Segment>> free;             // may be given a new generation
  uint64_t next_generation = 1;
  uint64_t next_number = 1;
  uint64_t next_file = 1;
  uint64_t last_generation = 0;     // of the segment the log ends in, 0 if there is none
  uint64_t last_end = 0;            // and where it ends there
  uint64_t mark_sequence = 0;       // of the newest end mark
  std::vector<std::string> damage;  // a sentence for each place
};

Result<RecoveredLog> recover_log(world::Disk& disk, const std::string& directory);

}  // namespace quorate::storage::wal
