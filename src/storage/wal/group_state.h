// storage/wal/group_state.h: what the log knows of one group besides where its entries lie.
//
// Two uses of one rule book: for a write that is queued a broken rule is our bug, for a write
// found on disk it is corruption. The state is the one after all writes applied so far.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "consensus/recovered.h"
#include "consensus/replicated_log.h"

namespace quorate::storage::wal {

// The ballot of every entry, as runs: a log has few of them, however long it is.
class BallotRuns {
 public:
  void put(Index index, const consensus::Ballot& ballot, Index last);
  void truncate_from(Index index);
  void drop_through(Index index, Index last);
  void clear() { runs_.clear(); }
  std::optional<consensus::Ballot> find(Index index) const;
  std::vector<consensus::BallotRun> list() const;

 private:
  std::map<Index, consensus::Ballot> runs_;
};

struct GroupState {
  consensus::HardState hard_state;
  consensus::SnapshotMeta snapshot;
  Index last;  // snapshot.index when there are no entries
  WriteId last_write;
  BallotRuns runs;

  // Whether the log holds the snapshot's last entry with the same ballot once `write` has
  // truncated it: then an install keeps the entries behind it.
  bool keeps_rest(const consensus::Write& write) const;
  // The rule that the write would break, or null.
  const char* broken_rule(const consensus::Write& write, bool keep_rest) const;
  void apply(const consensus::Write& write, bool keep_rest);
};

}  // namespace quorate::storage::wal
