#include "base/crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

namespace quorate {
namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t remainder = byte;
    for (int bit = 0; bit < 8; ++bit) {
      remainder = (remainder >> 1U) ^ ((remainder & 1U) != 0 ? 0x82f63b78U : 0U);
    }
    table[byte] = remainder;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
// x to the power of `exponent`, modulo the polynomial; bits stand as in a checksum.
constexpr uint32_t power_of_x(size_t exponent) {
  uint32_t power = 0x80000000U;
  for (; exponent > 0; --exponent) {
    power = (power >> 1U) ^ ((power & 1U) != 0 ? 0x82f63b78U : 0U);
  }
  return power;
}

// A step of the instruction takes one cycle to begin and three to end, so three parts of a piece
// take no longer than one. Each is continued over the bytes of those behind it by multiplying
// with a power of x: that of their bits, but for the 33 that the multiplication and the last step
// add by themselves (V. Gopal et al., Fast CRC Computation for iSCSI Polynomial, 2011).
template <size_t kPartBytes>
__attribute__((target("sse4.2,pclmul"))) uint64_t crc32c_in_parts(uint64_t state,
                                                                  const uint8_t*& position,
                                                                  size_t& left) {
  constexpr uint32_t kOver = power_of_x(8 * kPartBytes - 33);
  constexpr uint32_t kOverTwo = power_of_x(16 * kPartBytes - 33);
  const auto word_at = [](const uint8_t* place) {
    uint64_t word = 0;
    std::memcpy(&word, place, 8);
    return word;
  };
  const auto product = [](uint64_t checksum,
                          uint32_t power) __attribute__((target("sse4.2,pclmul"))) {
    const __m128i both =
        _mm_set_epi64x(static_cast<int64_t>(power), static_cast<int64_t>(checksum));
    return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_clmulepi64_si128(both, both, 0x10)));
  };
  for (; left >= 3 * kPartBytes; left -= 3 * kPartBytes, position += 3 * kPartBytes) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t byte = 0; byte < kPartBytes; byte += 8) {
      state = _mm_crc32_u64(state, word_at(position + byte));
      second = _mm_crc32_u64(second, word_at(position + kPartBytes + byte));
      third = _mm_crc32_u64(third, word_at(position + 2 * kPartBytes + byte));
    }
    state = _mm_crc32_u64(0, product(state, kOverTwo) ^ product(second, kOver)) ^ third;
  }
  return state;
}

__attribute__((target("sse4.2,pclmul"))) uint32_t crc32c_hardware(std::span<const uint8_t> data,
                                                                  uint32_t crc) {
  uint64_t state = static_cast<uint32_t>(~crc);
  const uint8_t* position = data.data();
  size_t left = data.size();
  state = crc32c_in_parts<512>(state, position, left);  // a batch of entries
  state = crc32c_in_parts<64>(state, position, left);   // an entry
  for (; left >= 8; left -= 8, position += 8) {
    uint64_t word = 0;
    std::memcpy(&word, position, 8);
    state = _mm_crc32_u64(state, word);
  }
  auto narrow = static_cast<uint32_t>(state);
  for (; left > 0; --left, ++position) narrow = _mm_crc32_u8(narrow, *position);
  return ~narrow;
}
#endif

}  // namespace

uint32_t crc32c_portable(std::span<const uint8_t> data, uint32_t crc) {
  uint32_t state = ~crc;
  for (const uint8_t byte : data) state = (state >> 8U) ^ kTable[(state ^ byte) & 0xffU];
  return ~state;
}

uint32_t crc32c(std::span<const uint8_t> data, uint32_t crc) {
#if defined(__x86_64__)
  static const bool hardware =
      __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
  if (hardware) return crc32c_hardware(data, crc);
#endif
  return crc32c_portable(data, crc);
}

}  // namespace quorate
