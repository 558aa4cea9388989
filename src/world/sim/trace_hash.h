// world/sim/trace_hash.h: a running 128-bit fingerprint of everything a simulated world did.
//
// Two lanes of multiply and rotate over 64-bit words; the same on every compiler. It tells runs
// apart, it guards nothing against an adversary.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace quorate::world {

class TraceHash {
 public:
  void mix(uint64_t word) {
    low_ = std::rotl((low_ ^ word) * 0x9e3779b97f4a7c15ULL, 29);
    high_ = std::rotl((high_ + word) * 0xd6e8feb86659fd93ULL, 37) ^ low_;
  }
  void mix(std::string_view text) {
    mix(text.size());
    uint64_t word = 0;
    for (size_t position = 0; position < text.size(); ++position) {
      word = (word << 8U) | static_cast<uint8_t>(text[position]);
      if (position % 8 == 7) mix(word);
    }
    mix(word);
  }
  uint64_t low() const { return low_; }
  uint64_t high() const { return high_; }
  std::string hex() const {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string text;
    for (const uint64_t word : {high_, low_}) {
      for (int shift = 60; shift >= 0; shift -= 4) {
        text.push_back(kDigits[(word >> static_cast<unsigned>(shift)) & 15U]);
      }
    }
    return text;
  }

 private:
  uint64_t low_ = 0x243f6a8885a308d3ULL;
  uint64_t high_ = 0x13198a2e03707344ULL;
};

}  // namespace quorate::world
