// consensus/paxos/slots.h: what an acceptor keeps of its slots in memory.
//
// The ballot of every accepted slot behind the snapshot, and the payloads of the newest. Unlike a
// log, slots are filled in any order and again at higher ballots, so there may be holes; a hole has
// the empty ballot. Invariant: the slots from memory_first() to last() are in memory, holes
// included, and the last one is no hole; of those before it only the ballots are known, as runs.
#pragma once

#include <vector>

#include "base/index_ranges.h"
#include "base/ring.h"
#include "consensus/fingerprint.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"
#include "consensus/weight.h"

namespace quorate::consensus::paxos {

// A slot so far behind the last one is not accepted: the log on the disk allows holes of twice
// this length, and a proposer keeps fewer slots open unless messages were lost.
inline constexpr uint64_t kSlotGapMax = uint64_t{1} << 15U;

class Slots {
 public:
  Slots() = default;
  explicit Slots(Recovered& recovered);  // takes over runs and tail

  Index snapshot_index() const { return snapshot_index_; }
  Ballot snapshot_ballot() const { return snapshot_ballot_; }
  Index first() const { return snapshot_index_.next(); }
  Index last() const { return last_; }
  Index memory_first() const { return Index{last_.value + 1 - memory_.size()}; }
  size_t memory_bytes() const { return memory_bytes_; }

  // Empty: nothing was accepted there, or it stands before the snapshot.
  Ballot ballot_at(Index index) const;
  bool holds(Index index) const { return ballot_at(index).round != 0; }
  const Entry* find(Index index) const;  // null: a hole, lost, or not in memory

  void put(Entry entry);  // replaces what stood there
  // Payloads of slots right before memory_first(); what is left out are holes, or lost.
  void load(std::vector<Entry> entries);
  void restore(Entry entry);      // the payload of a slot that was lost
  void lose(Index index);         // known by its ballot only, from now on
  void drop_prefix(Index index);  // a snapshot represents the slots up to here, which are held
  void replace_prefix(Index index, const Ballot& ballot);  // likewise, held or not
  // Forgets payloads of the oldest slots up to `limit` until at most `bytes` are held.
  void evict(Index limit, size_t bytes);

  void fingerprint(Fingerprint& into) const;
  void check_invariants() const;

 private:
  void pop_front();
  void add_run(Index first, const Ballot& ballot);

  Index snapshot_index_;
  Ballot snapshot_ballot_;
  Index last_;
  std::vector<BallotRun> runs_;  // of the slots between the snapshot and memory_first()
  Ring<Entry> memory_;
  IndexRanges blank_;  // in memory by their ballots only
  size_t memory_bytes_ = 0;
};

}  // namespace quorate::consensus::paxos
