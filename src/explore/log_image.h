// explore/log_image.h: what a node's write-ahead log holds, for the searcher.
//
// Each node has two: `logical`, all writes its replica ever asked for, and `durable`, those that
// reached the disk. Every entry carries the hash of the log up to and including it (its chain), so
// that comparing two logs costs one comparison. Chains name no nodes: a search and its mirror image
// under exchanged node names have the same chains. Invariant: the three guards of the real log
// (storage/wal/wal.h) hold for each write, and what the shape of the log allows: a prefix has no
// gaps; slots may be filled in any order and again, and have a chain as far as there is no hole.
#pragma once

#include <string>
#include <vector>

#include "consensus/factory.h"
#include "consensus/fingerprint.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"

namespace quorate::explore {

struct Slot {
  consensus::Entry entry;
  uint64_t chain = 0;  // 0: behind a hole
  bool held = true;    // false: a hole
};

class LogImage {
 public:
  explicit LogImage(consensus::LogShape shape = consensus::LogShape::prefix) : shape_(shape) {}

  // `installed_chain` is the chain of the snapshot, used only when the write installs one.
  // Returns the sentence of a broken guard, or nothing.
  std::string apply(const consensus::Write& write, uint64_t installed_chain);

  const consensus::HardState& hard_state() const { return hard_state_; }
  const consensus::SnapshotMeta& snapshot() const { return snapshot_; }
  WriteId last_write() const { return last_write_; }
  Index last() const { return snapshot_.index + slots_.size(); }
  const std::vector<Slot>& slots() const { return slots_; }
  consensus::LogShape shape() const { return shape_; }
  bool in_slots() const { return shape_ == consensus::LogShape::slots; }
  const Slot* find(Index index) const;  // null: not held
  // What tells the entry from others at that index: in a prefix its chain, else what was accepted,
  // by whomever; 0: not held.
  uint64_t print_at(Index index) const;
  uint64_t content_print() const;  // of all that is held; in this order, with ballots
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
  std::string guard_slots(const consensus::Write& write) const;
  void fill(const consensus::Entry& entry);
  std::string chain_slots();

  consensus::LogShape shape_;
  consensus::HardState hard_state_;
  consensus::SnapshotMeta snapshot_;
  uint64_t snapshot_chain_ = 1;  // of the empty log
  std::vector<Slot> slots_;
  WriteId last_write_;
};

}  // namespace quorate::explore
