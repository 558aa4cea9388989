// node/founding.h: what a member with an empty directory is: a founder of a new cluster, or one
// that lost its data (docs/decisions/0004). It asks the others and decides once.
//
// Invariant: `lost` as soon as any peer says formed; never `found` while fewer than a majority,
// itself included, is known to be new.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "base/types.h"
#include "node/wire.h"

namespace quorate::node {

class Founding {
 public:
  enum class Verdict : uint8_t { wait, found, lost };

  // `others`: the initial members without this one.
  Founding(std::vector<NodeId> others, Time started);
  void heard(NodeId peer, LifeState state);
  // What it said no longer counts: it may change while nobody hears it.
  void forget(NodeId peer);
  Verdict verdict(Time now) const;
  // When verdict() may change without anything being heard.
  Time deadline(Time now) const;

 private:
  std::vector<NodeId> others_;
  Time patience_ends_;
  std::map<NodeId, LifeState> heard_;
};

}  // namespace quorate::node
