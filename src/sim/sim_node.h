// sim/sim_node.h: one node of the simulated cluster: a replica, its clock, its disk, its machine.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "consensus/replicated_log.h"
#include "sim/event_queue.h"
#include "sim/log_image.h"

namespace quorate::sim {

// Runs `drift` parts per million faster than true time, from a start of its own.
struct LocalClock {
  int64_t true_base = 0;
  int64_t local_base = 0;
  int64_t drift = 0;

  int64_t local(int64_t true_time) const;
  int64_t true_time(int64_t local_time) const;  // the earliest at which local() reaches it
  void change_drift(int64_t now, int64_t parts_per_million);
};

// The state machine: a position and the hash of everything applied. Copying it is a snapshot.
struct Machine {
  Index applied;
  consensus::Ballot ballot;  // of the last applied entry
  Bytes members;             // the configuration in force there
  uint64_t chain = 0;
};

struct WaitingRead {
  uint64_t id = 0;
  Index index;
};

// One step of a fuse that counts down to a crash; zero is no fuse.
inline bool burns_down(uint64_t& fuse) {
  if (fuse == 0) return false;
  --fuse;
  return fuse == 0;
}

struct SimNode {
  NodeId id;
  uint64_t position = 0;
  bool alive = false;
  bool paused = false;
  bool outside = false;      // no part of the cluster, switched off, without data
  uint64_t life = 0;         // grows with every start of any node
  uint64_t starts = 0;       // of this one
  uint64_t incarnation = 1;  // grows when the disk is lost
  bool amnesiac = false;
  LocalClock clock;
  // Each node draws for itself, so that what happens to one disturbs no other's numbers.
  Rng rng_disk{0};
  Rng rng_turn{0};
  Rng rng_fate{0};  // when it comes back and who hears of its death
  std::unique_ptr<consensus::ReplicatedLog> replica;

  LogImage logical;
  LogImage durable;
  std::optional<LogImage> ghost;  // what an amnesiac held before
  std::deque<consensus::Write> pending;
  size_t in_flight = 0;  // the first so many of `pending` are on their way to the disk
  Bytes bootstrap;       // the configuration it was told at first, if any
  int64_t disk_factor = 1;
  bool disk_stalled = false;            // nothing becomes durable until it goes on
  bool disk_waits = false;              // what was in flight was due while it stood still
  std::deque<consensus::Message> held;  // waiting for their write

  Machine machine;
  Machine durable_machine;
  std::vector<Machine> received;  // snapshots of peers, whole and durable
  Index committed;
  Index installing;  // nothing is applied until this snapshot is in place
  bool apply_pending = false;
  bool apply_stalled = false;
  std::vector<WaitingRead> waiting_reads;
  std::vector<uint64_t> open_reads;  // asked in this life and not yet answered

  int64_t wake_at = INT64_MAX;
  bool turn_pending = false;
  bool fetch_open = false;
  bool damage_seen = false;        // and not yet told
  uint64_t step_fuse = 0;          // the node dies at this many turns from now; 0: never
  uint64_t disk_fuse = 0;          // the same in disk completions
  std::vector<Scheduled> backlog;  // what waits for a paused node
  std::string shown;               // the role and term an observer was last told
};

}  // namespace quorate::sim
