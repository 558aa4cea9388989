// base/huge_block.h: memory in pieces of 2 MiB that the system may back with one huge page each.
//
// For large tables that are walked at random: with pages of 4 KiB each step costs a look into the
// page tables as well, and filling a table costs a fault every 4 KiB. Where the system has no
// huge page to give, the piece is ordinary memory. Contents begin as zeros.
#pragma once

#include <cstddef>
#include <utility>

namespace quorate {

class HugeBlock {
 public:
  static constexpr size_t kBytes = size_t{2} << 20U;

  HugeBlock();
  ~HugeBlock();
  HugeBlock(const HugeBlock&) = delete;
  HugeBlock& operator=(const HugeBlock&) = delete;

  char* data() const { return data_; }  // aligned to kBytes

 private:
  char* data_ = nullptr;
};

}  // namespace quorate
