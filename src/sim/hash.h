// sim/hash.h: the hashes of the simulator: of log prefixes and of whole traces.
//
// They are part of the proof of determinism, so they depend on nothing but the words fed in: no
// addresses, no sizes of types, no library hash. The same seed must give the same trace hash in
// every build type and with every compiler.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "consensus/factory.h"

namespace quorate::sim {

uint64_t mix(uint64_t state, uint64_t word);
uint64_t hash_text(std::string_view text);
// Everything in an entry except its position: index and prefix are the chain's business.
uint64_t hash_entry(const consensus::Entry& entry);
// Without the ballot: what was decided, not by whom.
uint64_t hash_decision(const consensus::Entry& entry);
uint64_t hash_entry(consensus::LogShape shape, const consensus::Entry& entry);

// 128 bits over a stream of words.
class TraceHash {
 public:
  void add(uint64_t word);
  std::string text() const;

 private:
  uint64_t low_ = 0x243f6a8885a308d3ULL;
  uint64_t high_ = 0x13198a2e03707344ULL;
};

}  // namespace quorate::sim
