#include "base/crc32c.h"

#include <array>
#include <cstring>
#if defined(__x86_64__)
#include <nmmintrin.h>
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
__attribute__((target("sse4.2"))) uint32_t crc32c_hardware(std::span<const uint8_t> data,
                                                           uint32_t crc) {
  uint64_t state = ~crc;
  const uint8_t* position = data.data();
  size_t left = data.size();
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
  static const bool hardware = __builtin_cpu_supports("sse4.2") != 0;
  if (hardware) return crc32c_hardware(data, crc);
#endif
  return crc32c_portable(data, crc);
}

}  // namespace quorate
