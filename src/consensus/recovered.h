// consensus/recovered.h: what a replica is given when its process starts again.
#pragma once

#include <vector>

#include "consensus/replicated_log.h"

namespace quorate::consensus {

// What the write-ahead log gave back. Bounded in memory: payloads only of the newest entries.
struct BallotRun {  // all entries from `first` up to the next run have this ballot; holes the empty
                    // one
  Index first;
  Ballot ballot;
};
struct Recovered {
  HardState hard_state;
  SnapshotMeta snapshot;               // index 0: none; members is then the bootstrap set
  std::vector<BallotRun> runs;         // entries after snapshot.index, and holes (Paxos)
  Index last;                          // snapshot.index when there are no entries
  std::vector<Entry> members_entries;  // every `members` entry after the snapshot, in order
  // The newest entries with payload, ending at `last`; holes between them are left out.
  std::vector<Entry> tail;
  // Entries that were stored and are lost to damage. `runs` and `last` cover them: which entry
  // stood there is known for certain, only its content is not (docs/decisions/0013).
  std::vector<IndexRange> damaged;
  std::vector<Index> damaged_members;  // which of them are `members` entries
  bool store_lost = false;             // see StoreLost; the runtime knows
  WriteId last_write;                  // ids continue after this one
};

}  // namespace quorate::consensus
