#include "base/rng.h"

#include <bit>

#include "base/check.h"

namespace quorate {
namespace {

uint64_t split_mix(uint64_t& state) {
  state += 0x9e3779b97f4a7c15ULL;
  uint64_t mixed = state;
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebULL;
  return mixed ^ (mixed >> 31U);
}

}  // namespace

Rng::Rng(uint64_t seed) : state_{} {
  for (uint64_t& word : state_) word = split_mix(seed);
}

// All zero is the one state that this generator never leaves.
Rng Rng::least() { return {}; }

uint64_t Rng::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17U;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Rng::below(uint64_t bound) {
  CHECK(bound != 0, "an empty range has no numbers");
  // Reject the tail of the 64-bit range that would favour small results.
  const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
  uint64_t drawn = next();
  while (drawn >= limit) drawn = next();
  return drawn % bound;
}

uint64_t Rng::between(uint64_t low, uint64_t high) {
  CHECK(low <= high, "a range has its bounds in order");
  if (low == 0 && high == UINT64_MAX) return next();
  return low + below(high - low + 1);
}

Rng Rng::split() { return Rng(next()); }

}  // namespace quorate
