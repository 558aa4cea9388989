// storage/wal/stored_state.h: what the log repeats of itself, so that losing any one page loses
// content and never identity (docs/decisions/0013).
//
// A segment begins with a checkpoint, every other batch with a state record, and a quiet log ends
// with a seal: each tells how things stood before its own batch. A checkpoint tells everything of
// every group; the others tell of the groups that the batches before them have changed, and which
// entry stands where from the lowest changed position on. Hostile until decoded.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/codec.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"

namespace quorate::storage::wal {

struct StoredGroup {
  GroupId group;
  WriteId last_write;
  Index last;
  consensus::HardState hard_state;
  consensus::SnapshotMeta snapshot;
  bool snapshot_members = true;  // false: those are as they were
  // Which entry stands where, from `since` to `last`; format 1 did not tell.
  bool identities = true;
  Index since;
  std::vector<consensus::BallotRun> runs;
  std::vector<Index> members;  // where `members` entries stand, in the whole log of the group
};

struct StoredState {
  uint64_t oldest_needed = 0;  // generation of the first segment that holds a live entry
  uint64_t previous = 0;       // generation of the segment before, 0 if none
  uint64_t previous_end = 0;   // where its valid records end; what lies behind never counts
  uint64_t covers = 0;         // whatever records from this number on have changed is told here
  std::vector<StoredGroup> groups;
};

void encode_state(Encoder& out, const StoredState& state);
std::optional<StoredState> decode_state(std::string_view payload);
// The checkpoint of format 1.
std::optional<StoredState> decode_old_checkpoint(std::string_view payload);

}  // namespace quorate::storage::wal
