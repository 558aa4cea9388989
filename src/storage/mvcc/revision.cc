#include "storage/mvcc/revision.h"

#include <array>
#include <bit>
#include <cstring>

namespace quorate::storage::mvcc {

namespace {

constexpr size_t kRowKeySize = 17;

void put_big_endian(uint64_t value, char* place) {
  if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
  std::memcpy(place, &value, sizeof value);
}

int64_t read_big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = (value << 8U) | static_cast<uint8_t>(byte);
  return static_cast<int64_t>(value);
}

}  // namespace

void append_row_key(const RowKey& key, std::string& out) {
  std::array<char, kRowKeySize + 1> text;
  put_big_endian(static_cast<uint64_t>(key.revision.main), text.data());
  text[8] = '_';
  put_big_endian(static_cast<uint64_t>(key.revision.sub), text.data() + 9);
  text[kRowKeySize] = 't';
  out.append(text.data(), kRowKeySize + (key.tombstone ? 1 : 0));
}

std::optional<RowKey> decode_row_key(std::string_view bytes) {
  const bool tombstone = bytes.size() == kRowKeySize + 1 && bytes.back() == 't';
  if (bytes.size() != kRowKeySize && !tombstone) return std::nullopt;
  if (bytes[8] != '_') return std::nullopt;
  return RowKey{{read_big_endian(bytes.substr(0, 8)), read_big_endian(bytes.substr(9, 8))},
                tombstone};
}

}  // namespace quorate::storage::mvcc
