// storage/wal/group_state.h: what the log knows of one group besides where its entries lie.
//
// Two uses of one rule book: for a write that is queued a broken rule is our bug, for a write
// found on disk it is corruption. The state is the one after all writes applied so far.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/index_ranges.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"
#include "storage/wal/stored_state.h"

namespace quorate::storage::wal {

// The ballot of every entry, as runs: a log has few of them, however long it is. Positions that
// never had an entry (Paxos leaves holes) have the empty ballot.
class BallotRuns {
 public:
  void put(Index index, const consensus::Ballot& ballot, Index last);
  void truncate_from(Index index);
  void drop_through(Index index, Index last);
  void clear() { runs_.clear(); }
  void append(Index first, const consensus::Ballot& ballot);  // behind all others
  std::optional<consensus::Ballot> find(Index index) const;
  std::vector<consensus::BallotRun> list() const;
  std::vector<consensus::BallotRun> list_from(Index index, Index last) const;
  size_t size() const { return runs_.size(); }

 private:
  std::map<Index, consensus::Ballot> runs_;
};

struct GroupState {
  consensus::HardState hard_state;
  consensus::SnapshotMeta snapshot;
  Index last;  // snapshot.index when there are no entries
  WriteId last_write;
  BallotRuns runs;
  std::set<Index> members;  // where configurations stand
  IndexRanges damaged;      // entries whose content is lost

  // Whether the log holds the snapshot's last entry with the same ballot once `write` has
  // truncated it: then an install keeps the entries behind it. Or the write says so itself.
  bool keeps_rest(const consensus::Write& write) const;
  // The rule that the write would break, or null.
  const char* broken_rule(const consensus::Write& write, bool keep_rest) const;
  // Null when every repair is of a damaged entry; a log that is being read knows that only in
  // the end.
  const char* broken_repair(const consensus::Write& write) const;
  void apply(const consensus::Write& write, bool keep_rest);

  // For a record that tells the state: everything, or what has changed from `since` on.
  StoredGroup told(GroupId group, Index since, bool snapshot_members) const;
  // Takes over what a record tells when the ones before it are lost. False: it does not tell
  // everything that they may have changed.
  bool adopt(const StoredGroup& told);
};

}  // namespace quorate::storage::wal
