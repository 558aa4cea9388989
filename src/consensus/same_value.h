// consensus/same_value.h: whether two entries are the same value.
//
// The index and the ballot are where and when it was proposed: an acceptor takes the same value
// again, by a later ballot, and keeps one copy of it.
#pragma once

#include "consensus/replicated_log.h"

namespace quorate::consensus {

inline bool same_value(const Entry& one, const Entry& other) {
  return one.kind == other.kind && one.id == other.id && one.data == other.data;
}

}  // namespace quorate::consensus
