// node/store_directory.h: which directory holds the machine's store, and how a peer's snapshot
// takes its place.
//
// store/ holds one numbered directory; an installed snapshot becomes a new, higher one by a
// rename, so that at every instant the highest is whole and the machine of the older one can go
// on answering until the new one is open. snapshots/ holds what is received (incoming, then
// arrived-NUMBER when verified) and what is sent (outgoing-NUMBER).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/types.h"
#include "machine/state_machine.h"
#include "node/node.h"
#include "world/disk.h"

namespace quorate::node {

class StoreDirectory {
 public:
  StoreDirectory(world::Disk& disk, const std::string& directory);

  std::string store_path(Index generation) const;
  std::string arrived_path(Index index) const;
  std::string incoming_path() const { return snapshots_ + "/incoming"; }
  std::string outgoing_path(uint64_t number) const;
  const std::string& snapshots_path() const { return snapshots_; }

  // All blocking.
  Result<void> prepare();                   // makes the two directories
  Result<Index> newest();                   // highest generation, 0 when there is none
  Result<void> adopt_arrived(Index index);  // makes arrived_path(index) the newest generation
  void remove_others(Index generation);     // older generations; what fails is tried next start
  void clear_snapshots();                   // leftovers of an earlier run

  // Opens the newest store; if the log was cut for a snapshot the store does not cover, the
  // install that a crash interrupted is finished first. `log_starts_behind`: index of the log's
  // snapshot.
  Result<std::shared_ptr<machine::StateMachine>> open_machine(const MachineFactory& factory,
                                                              Index log_starts_behind);

 private:
  world::Disk& disk_;
  std::string directory_;
  std::string stores_;
  std::string snapshots_;
};

}  // namespace quorate::node
