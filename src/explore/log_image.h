// explore/log_image.h: what a node's write-ahead log holds, for the searcher.
//
// Each node has two: `logical`, all writes its replica ever asked for, and `durable`, those that
// reached the disk. Every entry carries the hash of the log up to and including it (its chain), so
// that comparing two logs costs one comparison. Chains name no nodes: a search and its mirror image
// under exchanged node names have the same chains. Invariant: entries follow the snapshot without
// gaps; the three guards of the real log (storage/wal/wal.h) hold for each write.
#pragma once

#include <string>
#include <vector>

#include "consensus/fingerprint.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"

namespace quorate::explore {

struct Slot {
  consensus::Entry entry;
  uint64_t chain = 0;
};

class LogImage {
 public:
  // `installed_chain` is the chain of the snapshot, used only when the write installs one.
  // Returns the sentence of a broken guard, or nothing.
  std::string apply(const consensus::Write& write, uint64_t installed_chain);

  const consensus::HardState& hard_state() const { return hard_state_; }
  const consensus::SnapshotMeta& snapshot() const { return snapshot_; }
  WriteId last_write() const { return last_write_; }
  Index last() const { return snapshot_.index + slots_.size(); }
  const std::vector<Slot>& slots() const { return slots_; }
  const Slot* find(Index index) const;  // null: not held
  // The chain up to `index`; 0 when it is not known: behind the end or before the snapshot.
  uint64_t chain_at(Index index) const;
  const Bytes& members_at(Index index) const;  // the configuration in force at that point

  // What a restart gets back; payloads only of the newest `tail` entries.
  consensus::Recovered recover(size_t tail) const;
  void fingerprint(consensus::Fingerprint& into) const;

 private:
  std::string guard(const consensus::Write& write) const;
  std::string replace_prefix(const consensus::Write& write, uint64_t installed_chain);
  std::string put(const consensus::Entry& entry);

  consensus::HardState hard_state_;
  consensus::SnapshotMeta snapshot_;
  uint64_t snapshot_chain_ = 1;  // of the empty log
  std::vector<Slot> slots_;
  WriteId last_write_;
};

}  // namespace quorate::explore
