// base/sha256.h: SHA-256 (FIPS 180-4), a piece at a time.
//
// etcd puts one behind every snapshot. Ours is plain code: rooms below the application link no
// cryptographic library, and nothing here is secret.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace quorate {

inline constexpr size_t kSha256Bytes = 32;

class Sha256 {
 public:
  void add(std::string_view bytes);
  // The digest of everything added. Afterwards nothing may be added.
  std::string finish();

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> partial_{};
  size_t partial_size_ = 0;
  uint64_t total_ = 0;
};

}  // namespace quorate
