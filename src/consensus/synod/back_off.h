// consensus/synod/back_off.h: how long a refused proposer waits before it tries again.
//
// Two proposers that try again at once can refuse each other for ever (explore/synod/duel.h finds
// how). A wait drawn from a window that doubles with every refusal ends that with probability one
// as soon as messages arrive within some bound, known or not.
#pragma once

#include <algorithm>

#include "base/rng.h"
#include "base/types.h"

namespace quorate::consensus::synod {

class BackOff {
 public:
  BackOff(Duration first, Duration longest) : first_(first), longest_(longest), window_(first) {}

  Duration next(Rng& rng) {
    const auto wait = Duration(rng.between(0, static_cast<uint64_t>(window_.count())));
    window_ = std::min(2 * window_, longest_);
    return wait;
  }
  void reset() { window_ = first_; }

 private:
  Duration first_;
  Duration longest_;
  Duration window_;
};

}  // namespace quorate::consensus::synod
