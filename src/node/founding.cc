#include "node/founding.h"

#include <algorithm>

#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {

Founding::Founding(std::vector<NodeId> others, Time started)
    : others_(std::move(others)), patience_ends_(started + kFoundingPatience) {}

void Founding::heard(NodeId peer, LifeState state) {
  // Whoever is formed knows more than the flags do: the cluster may have other members now.
  if (state != LifeState::formed && std::ranges::find(others_, peer) == others_.end()) return;
  heard_[peer] = state;
}

void Founding::forget(NodeId peer) { heard_.erase(peer); }

Founding::Verdict Founding::verdict(Time now) const {
  const bool formed = std::ranges::any_of(
      heard_, [](const auto& entry) { return entry.second == LifeState::formed; });
  if (formed && !QRT_MUTANT(FOUND_NODE)) return Verdict::lost;
  if (heard_.size() == others_.size()) return Verdict::found;
  const size_t known = heard_.size() + 1;
  const size_t majority = (others_.size() + 1) / 2 + 1;
  return now >= patience_ends_ && known >= majority ? Verdict::found : Verdict::wait;
}

Time Founding::deadline(Time now) const { return now < patience_ends_ ? patience_ends_ : kNever; }

}  // namespace quorate::node
