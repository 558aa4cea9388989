// consensus/test_chaos.h: random schedules over a few replicas of a protocol: loss, duplication,
// reordering, cuts, crashes that lose what was not durable, stalled disks, compaction, transfers,
// lost data, changes of members, and disks that rot. The cluster harness checks safety after every
// step; here we add that a healed cluster converges. The simulator (src/sim) goes much further;
// this is a core's own quick smoke alarm.
#pragma once

#include "consensus/test_cluster.h"

namespace quorate::consensus::testing {

struct ChaosChoices {
  Protocol protocol = Protocol::raft;
  uint64_t seed = 0;
  size_t voters = 3;
  bool pre_vote = true;
  bool wipes = false;
  bool changes = false;  // members come and go, among five
  bool rots = false;
  bool leases = false;
};

// The first `seeds` seeds of these choices. QUORATE_CHAOS multiplies them, for a longer hunt by
// hand.
void play_chaos(ChaosChoices choices, uint64_t seeds);

}  // namespace quorate::consensus::testing
