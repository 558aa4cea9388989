// node/applier.h: feeds decided entries to the state machine, in order, each once.
//
// Entries come from the replica's tail, or from the write-ahead log when the tail no longer has
// them (replay at start). One slice ends with one commit_batch(); proposers hear of their
// entries after it. Invariant: applies exactly machine.applied() + 1 next, never beyond
// `committed`, and nothing while it is held.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "base/histogram.h"
#include "base/result.h"
#include "consensus/replicated_log.h"
#include "machine/state_machine.h"
#include "node/lifeline.h"
#include "storage/wal/wal.h"

namespace quorate::node {

class Applier {
 public:
  class Listener {
   public:
    virtual ~Listener() = default;
    virtual bool waits_for(ProposalId id) const = 0;
    virtual void on_entry(const consensus::Entry& entry) = 0;  // before it is applied
    virtual void on_reply(ProposalId id, Index index, machine::Reply reply) = 0;
    // All replies of entries up to one of this round have been given.
    virtual void on_round(uint64_t round) = 0;
    virtual void on_log_read() = 0;  // more may be applied now
    virtual void on_apply_failed(const Error& error) = 0;
  };
  struct Budget {
    size_t entries = 0;
    size_t bytes = 0;
  };

  Applier(GroupId group, world::Executor& executor, storage::Wal& wal, Listener& listener)
      : group_(group), executor_(executor), wal_(wal), listener_(listener) {}

  void set_replica(const consensus::ReplicatedLog& replica) { replica_ = &replica; }
  void set_machine(machine::StateMachine& machine);
  void set_committed(Index committed);
  // While a snapshot replaces the machine.
  void hold() { held_ = true; }
  void release() { held_ = false; }
  // Newly durable entries can be read from the log now.
  void on_durable() { starved_ = false; }

  // Applies what is at hand within the budget, which it reduces. False: the world failed (the
  // listener was told).
  bool apply(Budget& budget);
  // What the machine has left to do while nothing is decided. False: as above.
  bool tidy();
  bool can_apply() const;  // at once, without reading the log

  Index applied() const { return applied_; }
  Index committed() const { return committed_; }
  const DiskTimes& store_write_times() const { return store_write_times_; }
  uint64_t slow() const { return slow_; }

 private:
  const consensus::Entry* next_entry();
  void read_log();
  bool commit();
  void tell_ahead();
  void apply_one(const consensus::Entry& entry);

  GroupId group_;
  world::Executor& executor_;
  storage::Wal& wal_;
  Listener& listener_;
  const consensus::ReplicatedLog* replica_ = nullptr;
  machine::StateMachine* machine_ = nullptr;
  Index applied_;
  uint64_t round_ = 0;  // of the entry at applied_
  Index committed_;
  Index told_;  // the machine knows what comes, up to here
  bool held_ = false;
  bool reading_ = false;
  bool starved_ = false;  // the log did not have it yet
  std::deque<consensus::Entry> replay_;
  std::vector<std::pair<std::pair<ProposalId, Index>, machine::Reply>> replies_;
  DiskTimes store_write_times_;
  uint64_t slow_ = 0;
  Lifeline lifeline_;
};

}  // namespace quorate::node
