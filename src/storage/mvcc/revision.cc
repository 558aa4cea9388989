#include "storage/mvcc/revision.h"

namespace quorate::storage::mvcc {

namespace {

constexpr size_t kRowKeySize = 17;

void append_big_endian(uint64_t value, std::string& out) {
  for (int shift = 56; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((value >> static_cast<unsigned>(shift)) & 0xffU));
  }
}

int64_t read_big_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = (value << 8U) | static_cast<uint8_t>(byte);
  return static_cast<int64_t>(value);
}

}  // namespace

void append_row_key(const RowKey& key, std::string& out) {
  append_big_endian(static_cast<uint64_t>(key.revision.main), out);
  out.push_back('_');
  append_big_endian(static_cast<uint64_t>(key.revision.sub), out);
  if (key.tombstone) out.push_back('t');
}

std::optional<RowKey> decode_row_key(std::string_view bytes) {
  const bool tombstone = bytes.size() == kRowKeySize + 1 && bytes.back() == 't';
  if (bytes.size() != kRowKeySize && !tombstone) return std::nullopt;
  if (bytes[8] != '_') return std::nullopt;
  return RowKey{{read_big_endian(bytes.substr(0, 8)), read_big_endian(bytes.substr(9, 8))},
                tombstone};
}

}  // namespace quorate::storage::mvcc
