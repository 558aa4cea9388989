// consensus/weight.h: what an entry costs in memory and on the wire, for every window.
#pragma once

#include "consensus/replicated_log.h"

namespace quorate::consensus {

inline constexpr size_t kEntryOverheadBytes = 32;  // position, ballot, identity

inline size_t weight(const Entry& entry) { return entry.data.size() + kEntryOverheadBytes; }

}  // namespace quorate::consensus
