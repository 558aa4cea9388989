#include "base/codec.h"

#include <bit>
#include <cstring>

namespace quorate {

static_assert(std::endian::native == std::endian::little, "integers are copied as they lie");

void Encoder::u32(uint32_t value) {
  char buffer[4];
  std::memcpy(buffer, &value, 4);
  text_.append(buffer, 4);
}

void Encoder::u64(uint64_t value) {
  char buffer[8];
  std::memcpy(buffer, &value, 8);
  text_.append(buffer, 8);
}

void Encoder::varint(uint64_t value) {
  if (value < 0x80) return text_.push_back(static_cast<char>(value));
  char buffer[kVarintBytesMax];
  // Not two pointers: of them the library makes a replacement, which takes longer.
  text_.append(buffer, static_cast<size_t>(put_varint(value, buffer) - buffer));
}

std::string_view Decoder::raw(size_t size) {
  if (size > input_.size()) {
    fail();
    return {};
  }
  const std::string_view result = input_.substr(0, size);
  input_.remove_prefix(size);
  return result;
}

uint8_t Decoder::u8() {
  if (input_.empty()) {
    fail();
    return 0;
  }
  const auto value = static_cast<uint8_t>(input_[0]);
  input_.remove_prefix(1);
  return value;
}

uint32_t Decoder::u32() {
  const std::string_view bytes = raw(4);
  uint32_t value = 0;
  if (!bytes.empty()) std::memcpy(&value, bytes.data(), 4);
  return value;
}

uint64_t Decoder::u64() {
  const std::string_view bytes = raw(8);
  uint64_t value = 0;
  if (!bytes.empty()) std::memcpy(&value, bytes.data(), 8);
  return value;
}

uint64_t Decoder::varint() {
  // Most numbers are small.
  if (!input_.empty() && static_cast<uint8_t>(input_[0]) < 0x80) {
    const auto small = static_cast<uint8_t>(input_[0]);
    input_.remove_prefix(1);
    return small;
  }
  uint64_t value = 0;
  for (size_t place = 0; place < input_.size() && place < 10; ++place) {
    const auto byte = static_cast<uint8_t>(input_[place]);
    if (place == 9 && byte > 1) break;  // more than 64 bits
    value |= static_cast<uint64_t>(byte & 0x7fU) << (7 * place);
    if (byte >= 0x80) continue;
    input_.remove_prefix(place + 1);
    return value;
  }
  fail();
  return 0;
}

std::string_view Decoder::string() {
  const uint64_t size = varint();
  if (size > input_.size()) {
    fail();
    return {};
  }
  return raw(static_cast<size_t>(size));
}

}  // namespace quorate
