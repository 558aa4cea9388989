// base/rng.h: the one source of randomness, seeded and passed in.
//
// The same seed gives the same numbers on every compiler and build type: the standard library's
// distributions and shuffle are unspecified, so none is used. The generator is xoshiro256**
// (Blackman and Vigna, "Scrambled Linear Pseudorandom Number Generators", 2018), seeded through
// SplitMix64. Not for secrets.
#pragma once

#include <cstdint>

namespace quorate {

class Rng {
 public:
  explicit Rng(uint64_t seed);
  // Always draws the least: for searchers, which try all orders and need no chance.
  static Rng least();
  uint64_t next();
  // Uniform in [0, bound); bound must not be 0.
  uint64_t below(uint64_t bound);
  // Uniform in [low, high], both included.
  uint64_t between(uint64_t low, uint64_t high);
  // True `parts` times in a million on average.
  bool chance_per_million(uint64_t parts) { return below(1'000'000) < parts; }
  // An independent stream: drawing more from one does not disturb the other.
  Rng split();

 private:
  Rng() = default;

  uint64_t state_[4] = {};
};

}  // namespace quorate
