// consensus/log_tail.h: what a core keeps of its log in memory.
//
// The ballots of the whole log behind the snapshot, as runs (a handful of numbers for a log of
// gigabytes), and the payloads of the newest entries. Serves protocols whose logs have no gaps
// and whose ballots never shrink along the log (Raft, ZAB). Invariant: runs are sorted by first
// index and by ballot, begin right behind the snapshot and cover up to last(); the entries held
// in memory are without gaps and end at last().
#pragma once

#include <vector>

#include "base/ring.h"
#include "consensus/fingerprint.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"
#include "consensus/weight.h"

namespace quorate::consensus {

class LogTail {
 public:
  LogTail() = default;
  explicit LogTail(Recovered& recovered);  // takes over runs and tail

  Index snapshot_index() const { return snapshot_index_; }
  Ballot snapshot_ballot() const { return snapshot_ballot_; }
  Index first() const { return snapshot_index_.next(); }  // last() + 1 when there are no entries
  Index last() const { return last_; }
  Ballot last_ballot() const { return runs_.empty() ? snapshot_ballot_ : runs_.back().ballot; }

  // The snapshot's own index counts as known, positions before it do not.
  bool knows(Index index) const { return index >= snapshot_index_ && index <= last_; }
  Ballot ballot_at(Index index) const;
  bool matches(Index index, const Ballot& ballot) const {
    return knows(index) && ballot_at(index) == ballot;
  }
  // The newest known position at or before `from` whose round is at most `round`; the snapshot's
  // index when there is none behind it.
  Index newest_with_round_at_most(Index from, uint64_t round) const;

  // Oldest entry in memory; last() + 1 when there is none.
  Index tail_first() const { return Index{last_.value + 1 - tail_.size()}; }
  const Entry* find(Index index) const;
  size_t tail_bytes() const { return tail_bytes_; }

  void append(Entry entry);
  void truncate_from(Index index);
  void drop_prefix(Index index);  // a snapshot represents the log up to here; must be known
  void reset(Index index, const Ballot& ballot);  // nothing is left but this snapshot
  // Forgets payloads of the oldest entries up to `limit` until at most `bytes` are held.
  void evict(Index limit, size_t bytes);

  void fingerprint(Fingerprint& into) const;
  void check_invariants() const;

 private:
  Index snapshot_index_;
  Ballot snapshot_ballot_;
  Index last_;
  std::vector<BallotRun> runs_;
  Ring<Entry> tail_;
  size_t tail_bytes_ = 0;
};

}  // namespace quorate::consensus
