// sim/slot_oracle.h: what must be true of protocols that decide slot by slot (Multi-Paxos).
//
// Keeps, of every slot that nobody has reported decided yet, who has durably accepted what in which
// ballot. A value is chosen when a majority has accepted it in one ballot: "The Part-Time
// Parliament", B1-B3; "Paxos Made Simple", P2b. So two things are seen at the moment they happen
// and not when they are applied: a report without a quorum, and a later ballot that proposes
// something else for a slot that is chosen, though nobody may know that yet.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "consensus/replicated_log.h"

namespace quorate::sim {

class SlotOracle {
 public:
  // Somebody asks its disk to hold this acceptance. Returns the sentence of a broken rule, or
  // nothing.
  std::string asked(const consensus::Entry& entry);
  // It is durable at `node`. `members`: in force for every open slot; null: they are changing, and
  // then only reports are judged.
  void accepted(NodeId node, const consensus::Entry& entry, const consensus::Members* members);
  // Why no quorum of these members can have decided this value, or nothing.
  std::string undecided(const consensus::Entry& entry, const consensus::Members& members) const;
  void decided(Index index);  // everything up to here: forgotten

 private:
  struct Acceptance {
    consensus::Ballot ballot;
    uint64_t print = 0;
    std::vector<NodeId> nodes;  // durably; empty: only asked for
  };
  struct Slot {
    std::vector<Acceptance> acceptances;  // by ballot
    bool chosen = false;
    consensus::Ballot chosen_in;  // the lowest ballot with a quorum
    uint64_t chosen_print = 0;
  };
  Acceptance& at(Slot& slot, const consensus::Ballot& ballot, uint64_t print);

  Index decided_;
  std::map<Index, Slot> slots_;
};

}  // namespace quorate::sim
