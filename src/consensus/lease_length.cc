#include "consensus/lease_length.h"

#include "base/mutant.h"

namespace quorate::consensus {
namespace {

constexpr int64_t kMillion = 1'000'000;

}  // namespace

Duration lease_length(const Config& config) {
  const int64_t drift = QRT_MUTANT(P07) ? 0 : config.clock_drift_per_million;
  return config.election_timeout / (kMillion + drift) * (kMillion - drift);
}

}  // namespace quorate::consensus
