// machine/etcd/big_endian.h: numbers as etcd's database file has them in its keys and values.
#pragma once

#include <cstdint>
#include <string>

namespace quorate::machine::etcd {

inline std::string big_endian(uint64_t number) {
  std::string text;
  for (int shift = 56; shift >= 0; shift -= 8) {
    text.push_back(static_cast<char>(number >> static_cast<unsigned>(shift) & 0xffU));
  }
  return text;
}

}  // namespace quorate::machine::etcd
