// machine/state_machine.h: what a replicated log is for: commands in log order become state.
//
// apply() is deterministic: no clock, no random source, no configuration, no unordered
// iteration. Whatever depends on the moment was stamped into the command when it was proposed.
// The machine remembers in its own store how far it has applied, atomically with the effects,
// so an entry is never applied twice.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"
#include "machine/leases.h"

namespace quorate::machine {

// Answer to one command or query. `code` 0 is success, others are the machine's own enum; the
// front turns them into its API's words. `body` is encoded the way the front can forward it.
struct Reply {
  uint16_t code = 0;
  int64_t revision = 0;  // of the store when the answer was made
  Bytes body;
};
// The code when there is no state to ask: it was lost, and is on its way from a peer.
inline constexpr uint16_t kStateUnavailable = UINT16_MAX;

// How far a store reaches in the log, and the configuration there.
struct AppliedPosition {
  Index index;
  uint64_t round = 0;  // ballot round of that entry (Raft: term)
  Bytes members;       // consensus::encode_members()
};

// What the state takes, as it is reckoned: the same on members that did the same.
struct SpaceUse {
  uint64_t taken = 0;   // at most so far, since what is gone was given back
  uint64_t in_use = 0;  // of that, now
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // Entries come in order without gaps, each index once. `reply` is null where nobody waits;
  // the effects must be the same.
  virtual void apply_command(Index index, uint64_t round, const Bytes& command, Reply* reply) = 0;
  // What is expected is of use so many entries, or queries, before its turn, and no more at once.
  static constexpr uint64_t kExpectedMax = 8;
  // This command will be applied a few entries from now: time to ask for the memory it takes.
  // Changes nothing.
  virtual void expect(const Bytes& /*command*/) {}
  virtual void apply_noop(Index index, uint64_t round) = 0;
  virtual void apply_members(Index index, uint64_t round, const Bytes& members) = 0;
  // Ends a run of apply calls: effects and applied position go to the store as one batch.
  // An error means the world failed: the node stops.
  virtual Result<void> commit_batch() = 0;

  // Reads the state as applied so far, uncommitted batch included. Never changes it.
  virtual void query(const Bytes& request, Reply& reply) const = 0;

  virtual Index applied() const = 0;
  // What would be left after a crash of the machine now: replay starts behind it, and the log
  // may be dropped up to it.
  virtual AppliedPosition durable_position() const = 0;
  virtual void start_flush() = 0;  // make durable_position() catch up, in the background
  // Checkpoint into a new directory; blocking, on the background lane, concurrent with apply.
  // The position it reports is what the directory holds.
  virtual Result<AppliedPosition> checkpoint(const std::string& directory) = 0;
  // Reads one more piece of what is stored, to see whether it is still good. `place` says where it
  // goes on and is empty at the beginning and again at the end. Bytes read, or what is wrong.
  // Blocking, on the background lane, concurrent with apply.
  virtual Result<uint64_t> verify_next(std::string& place) const {
    place.clear();
    return uint64_t{0};
  }
  // Gives back the room of what is gone. Blocking, on the background lane, concurrent with apply.
  virtual Result<void> defragment() { return {}; }
  virtual void on_defragmented() {}  // afterwards, on the thread that applies
  // commit_batch() has more to do, though nothing more is applied: what may wait for a pause.
  virtual bool has_chores() const { return false; }
  // A hash over all rows of the keyspace, equal on members that applied the same log.
  virtual uint32_t state_hash() const = 0;
  virtual uint64_t store_bytes() const = 0;  // of its files, and of what is not in them yet
  virtual SpaceUse space() const { return {store_bytes(), store_bytes()}; }
  // Null: this machine has none.
  virtual LeaseTable* leases() { return nullptr; }
};

}  // namespace quorate::machine
