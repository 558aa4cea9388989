// consensus/quorum.h: which sets of members decide.
//
// A decision needs a majority of the voters and, while the configuration is joint, a majority of
// the outgoing voters as well (Ongaro's thesis, section 4.3). Invariant: members are counted by
// id, each once; learners and strangers never count.
#pragma once

#include <cstdint>
#include <span>

#include "consensus/members.h"

namespace quorate::consensus {

// Returned for an empty half: it hinders no decision.
inline constexpr uint64_t kReachedByNobodyNeeded = UINT64_MAX;

// The largest value that a majority of `values` has reached; reorders them.
uint64_t majority_reaches(std::span<uint64_t> values);

// Whether those in favour are a majority of each half. Duplicates and strangers do not matter.
bool decides(const Members& members, std::span<const NodeId> in_favour);

}  // namespace quorate::consensus
