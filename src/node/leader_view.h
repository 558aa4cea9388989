// node/leader_view.h: whom to hand work to, as seen at one moment.
#pragma once

#include "base/types.h"

namespace quorate::node {

struct LeaderView {
  NodeId leader;       // zero: none known
  uint64_t round = 0;  // of the replica at this moment; exact when `here`
  bool here = false;   // this replica leads
  bool operator==(const LeaderView&) const = default;
};

}  // namespace quorate::node
