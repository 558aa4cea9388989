// base/codec.h: our own byte order and varints, for log records, peer frames and commands.
//
// Encoder appends to a string it owns. Decoder reads from bytes that may be hostile: it never
// reads past the end, never allocates from a length it was told, and after the first malformed
// field every further read returns zero and ok() stays false, so a caller decodes straight
// through and asks once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace quorate {

inline constexpr size_t kVarintBytesMax = 10;
// Seven bits a byte, the lowest first. Room for kVarintBytesMax is there; returns what is behind.
inline char* put_varint(uint64_t value, char* place) {
  while (value >= 0x80) {
    *place++ = static_cast<char>((value & 0x7fU) | 0x80U);
    value >>= 7U;
  }
  *place++ = static_cast<char>(value);
  return place;
}

class Encoder {
 public:
  void reserve(size_t bytes) { text_.reserve(bytes); }
  void u8(uint8_t value) { text_.push_back(static_cast<char>(value)); }
  void u32(uint32_t value);  // little endian, 4 bytes
  void u64(uint64_t value);  // little endian, 8 bytes
  void varint(uint64_t value);
  void raw(std::string_view bytes) { text_.append(bytes); }
  void string(std::string_view bytes) {  // varint length, then the bytes
    varint(bytes.size());
    raw(bytes);
  }
  size_t size() const { return text_.size(); }
  std::string& text() { return text_; }
  Bytes take() { return Bytes::adopt(std::move(text_)); }

 private:
  std::string text_;
};

class Decoder {
 public:
  explicit Decoder(std::string_view input) : input_(input) {}
  uint8_t u8();
  uint32_t u32();
  uint64_t u64();
  uint64_t varint();
  std::string_view raw(size_t size);
  std::string_view string();  // borrowed from the input
  size_t remaining() const { return input_.size(); }
  bool ok() const { return ok_; }
  // Whole and nothing left over.
  bool finished() const { return ok_ && input_.empty(); }
  void fail() {
    ok_ = false;
    input_ = {};
  }

 private:
  std::string_view input_;
  bool ok_ = true;
};

}  // namespace quorate
