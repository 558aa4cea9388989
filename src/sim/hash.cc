#include "sim/hash.h"

#include <bit>
#include <cstring>

namespace quorate::sim {

static_assert(std::endian::native == std::endian::little, "hash_text reads words as they lie");

uint64_t mix(uint64_t state, uint64_t word) {
  uint64_t mixed = (state ^ word) * 0x9fb21c651e98df25ULL;
  mixed ^= mixed >> 29U;
  mixed = (mixed + word) * 0xd6e8feb86659fd93ULL;
  return mixed ^ (mixed >> 32U);
}

uint64_t hash_text(std::string_view text) {
  uint64_t state = text.size();
  while (text.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data(), 8);
    state = mix(state, word);
    text.remove_prefix(8);
  }
  uint64_t word = 0;
  if (!text.empty()) std::memcpy(&word, text.data(), text.size());
  return mix(state, word);
}

namespace {

uint64_t hash_behind(uint64_t state, const consensus::Entry& entry) {
  state = mix(state, static_cast<uint64_t>(entry.kind));
  state = mix(state, entry.id.node.value);
  state = mix(state, entry.id.sequence);
  return mix(state, hash_text(entry.data.view()));
}

}  // namespace

uint64_t hash_entry(const consensus::Entry& entry) {
  return hash_behind(mix(entry.ballot.round, entry.ballot.node.value), entry);
}

uint64_t hash_decision(const consensus::Entry& entry) { return hash_behind(0, entry); }

uint64_t hash_entry(consensus::LogShape shape, const consensus::Entry& entry) {
  return shape == consensus::LogShape::prefix ? hash_entry(entry) : hash_decision(entry);
}

void TraceHash::add(uint64_t word) {
  low_ = mix(low_, word);
  high_ = mix(high_ ^ std::rotl(low_, 23), word);
}

std::string TraceHash::text() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (const uint64_t half : {high_, low_}) {
    for (int shift = 60; shift >= 0; shift -= 4) digits.push_back(kDigits[(half >> shift) & 15U]);
  }
  return digits;
}

}  // namespace quorate::sim
