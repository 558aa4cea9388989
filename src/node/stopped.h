// node/stopped.h: the state of a member that does not run, from its data directory alone
// (docs/decisions/0020).
//
// A store has no log of its own, so after a stop it lacks what was applied last; the member's log
// brings it back. How far that may go is for the log to say: up to what is known there to have been
// decided. What stands behind it may have been acknowledged and may as well be replaced by others,
// and this directory cannot tell. The store itself is not written to: the factory opens a copy.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "consensus/members.h"
#include "machine/state_machine.h"
#include "node/identity.h"
#include "node/node.h"
#include "world/disk.h"
#include "world/executor.h"

namespace quorate::node {

struct StoppedMember {
  std::unique_ptr<world::DirectoryLock> lock;  // nobody starts it meanwhile
  Identity identity;
  std::shared_ptr<machine::StateMachine> machine;
  consensus::Members members;  // as of the end of its log
  Index stored;                // how far the store alone had come
  Index decided;               // how far the log knows what was decided
  Index last;                  // where the log ends, and in which round that was proposed
  uint64_t last_round = 0;
  uint64_t undecided() const { return last.value - decided.value; }
};

// How much of the log counts.
enum class TakeLog : uint8_t { decided, all };

// `make_machine` is given the path of a store, which may be absent and must be left as it is.
// `done` is called once, from the executor. Damage is an error and is not repaired here.
void open_stopped(world::Executor& executor, world::Disk& disk, const std::string& directory,
                  const MachineFactory& make_machine, TakeLog take,
                  std::function<void(Result<StoppedMember>)> done);

}  // namespace quorate::node
