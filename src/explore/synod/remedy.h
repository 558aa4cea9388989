// explore/synod/remedy.h: how two proposers come to an end after all, measured in simulated time.
//
// Three ways to try again, over two networks that lose nothing and deliver within 10 ms. One is
// fair; the other is as unfair as its bound allows: what could choose a value is slow, what could
// prevent it is fast. There, trying again at once need not ever end; a random back-off does, and
// so does a proposer that the other leaves alone while it hears of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace quorate::explore::synod {

enum class Retry : uint8_t { at_once, back_off, distinguished };
enum class Delays : uint8_t { fair, unfair };

inline constexpr uint64_t kBallotsMax = 1000;  // a run with more counts as undecided

struct Remedy {
  Retry retry = Retry::at_once;
  Delays delays = Delays::fair;
  uint64_t runs = 0;
  uint64_t decided = 0;
  // Of the decided runs.
  uint64_t ballots_median = 0;
  uint64_t ballots_99 = 0;
  uint64_t ballots_most = 0;
  uint64_t microseconds_median = 0;
  uint64_t microseconds_most = 0;
};

// All six, each with the same seeds. In half of the runs proposer A crashes on the way.
std::vector<Remedy> measure_remedies(uint64_t runs);

}  // namespace quorate::explore::synod
