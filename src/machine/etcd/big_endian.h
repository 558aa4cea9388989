// machine/etcd/big_endian.h: numbers as etcd's database file has them in its keys and values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace quorate::machine::etcd {

inline std::string big_endian(uint64_t number) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(number >> static_cast<unsigned>(shift) & 0xffU));
  }
  return text;
}

// nullopt: not eight bytes.
inline std::optional<uint64_t> decode_big_endian(std::string_view text) {
  if (text.size() != sizeof(uint64_t)) return std::nullopt;
  uint64_t number = 0;
  for (const char byte : text) number = number << 8U | static_cast<unsigned char>(byte);
  return number;
}

}  // namespace quorate::machine::etcd
