// sim/full/atlas.h: which members still hold what was decided, and so what may be damaged next.
//
// In availability mode a quorum of members is whole at every moment: neither is what they stored
// damaged, nor have they lost it and not been re-admitted yet (docs/decisions/0004). Then every
// committed byte is intact on a member of every quorum of the whole ones, and a cluster whose
// whole members are up must recover: a failure to do so is a bug, never the disks' fault.
#pragma once

#include <cstdint>
#include <vector>

#include "sim/full/swarm.h"

namespace quorate::sim::full {

class Atlas {
 public:
  enum class State : uint8_t {
    whole,
    damaged,  // some of what it stored is not what was written
    lost      // an empty or new directory, not (re-)admitted yet
  };

  Atlas(AtlasMode mode, uint64_t members) : mode_(mode), states_(members, State::lost) {}

  State state(uint64_t member) const { return states_.at(member); }
  void set(uint64_t member, State state) { states_.at(member) = state; }
  bool whole(uint64_t member) const { return state(member) == State::whole; }
  uint64_t whole_count() const;
  uint64_t quorum() const { return states_.size() / 2 + 1; }
  // Whether this member may lose what it holds now.
  bool may_lose(uint64_t member) const;
  // Whether the cluster must come back when all whole members are up and connected.
  bool recoverable() const { return whole_count() >= quorum(); }

 private:
  AtlasMode mode_;
  std::vector<State> states_;
};

}  // namespace quorate::sim::full
