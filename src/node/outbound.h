// node/outbound.h: the way out to other members, as far as one group's parts need it.
#pragma once

#include "base/bytes.h"
#include "world/network.h"

namespace quorate::node {

class Outbound {
 public:
  virtual ~Outbound() = default;
  virtual bool send(NodeId to, world::Lane lane, Bytes frame) = 0;  // false: it did not leave
};

}  // namespace quorate::node
