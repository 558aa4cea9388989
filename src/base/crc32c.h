// base/crc32c.h: CRC-32C (Castagnoli, RFC 3720 appendix B.4), guarding log records, peer frames
// and snapshots. Uses the processor's instruction where there is one, a table elsewhere; both
// give the same value.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quorate {

// Continues from `crc` (0 at the start), so that crc32c(b, crc32c(a)) covers a then b.
uint32_t crc32c(std::span<const uint8_t> data, uint32_t crc = 0);
inline uint32_t crc32c(std::string_view data, uint32_t crc = 0) {
  return crc32c(
      std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(data.data()), data.size()), crc);
}
// The table-driven path, for comparison in tests.
uint32_t crc32c_portable(std::span<const uint8_t> data, uint32_t crc = 0);

}  // namespace quorate
