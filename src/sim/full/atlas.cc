#include "sim/full/atlas.h"

#include <algorithm>

namespace quorate::sim::full {

uint64_t Atlas::whole_count() const {
  return static_cast<uint64_t>(std::ranges::count(states_, State::whole));
}

bool Atlas::may_lose(uint64_t member) const {
  if (mode_ == AtlasMode::none) return false;
  const uint64_t left = whole_count() - (whole(member) ? 1 : 0);
  return left >= quorum();
}

}  // namespace quorate::sim::full
