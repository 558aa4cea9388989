// sim/log_image.h: what a node's write-ahead log holds, without the bytes.
//
// Each node has two: `logical`, all writes its replica ever asked for, and `durable`, those that
// reached the disk. Every entry carries the hash of the whole log up to and including it (its
// chain), so that comparing two logs, or a log with what is committed, costs one comparison.
//
// The shape says what the protocol may write. A prefix has entries that follow the snapshot without
// gaps; slots may be filled in any order and again, and have a chain as far as there is no hole.
// The three guards of the real log (storage/wal/wal.h) are checked for each write, and for slots
// what an acceptor owes; a broken one is returned as a sentence.
#pragma once

#include <deque>
#include <string>

#include "consensus/factory.h"
#include "consensus/recovered.h"
#include "consensus/replicated_log.h"

namespace quorate::sim {

class LogImage {
 public:
  struct Slot {
    consensus::Entry entry;
    uint64_t chain = 0;  // of slots: only as far as there is no hole before it
    // What tells it from another one at this index: in a prefix the chain, else what was accepted.
    uint64_t print = 0;
    bool damaged = false;  // the disk does not give it back; what it was is kept to compare with
    bool held = true;      // false: a hole
    bool same_as(const Slot& other) const {
      return print == other.print && entry.ballot == other.entry.ballot;
    }
  };

  LogImage() = default;
  explicit LogImage(Bytes bootstrap_members,
                    consensus::LogShape shape = consensus::LogShape::prefix);

  // `installed_chain` is the chain of the snapshot, used only when the write installs one.
  // Returns the sentence of a broken guard, or nothing.
  std::string apply(const consensus::Write& write, uint64_t installed_chain);
  consensus::Recovered recover(size_t tail_bytes_max) const;

  const Slot* find(Index index) const;  // null: in the snapshot, a hole, or not there
  void damage(Index index);
  std::vector<IndexRange> damaged() const;
  // Of an entry, or of the snapshot when `index` is exactly its last.
  bool chain_at(Index index, uint64_t& chain) const;
  Index first() const { return snapshot_.index.next(); }
  Index last() const { return snapshot_.index + entries_.size(); }
  consensus::LogShape shape() const { return shape_; }
  const consensus::HardState& hard_state() const { return hard_state_; }
  const consensus::SnapshotMeta& snapshot() const { return snapshot_; }
  WriteId last_write() const { return last_write_; }

 private:
  bool slots() const { return shape_ == consensus::LogShape::slots; }
  Slot& at(Index index) { return entries_[index - snapshot_.index - 1]; }
  std::string guard(const consensus::Write& write) const;
  std::string guard_slots(const consensus::Write& write) const;
  std::string repair(const consensus::Write& write);
  std::string replace_prefix(const consensus::Write& write, uint64_t installed_chain);
  std::string append(const consensus::Entry& entry);
  void fill(const consensus::Entry& entry);
  void chain_slots(Index from);

  consensus::LogShape shape_ = consensus::LogShape::prefix;
  consensus::HardState hard_state_;
  consensus::SnapshotMeta snapshot_;
  uint64_t snapshot_chain_ = 0;
  std::deque<Slot> entries_;
  Index chained_;  // of slots: how far there is no hole
  WriteId last_write_;
};

}  // namespace quorate::sim
