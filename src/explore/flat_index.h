// explore/flat_index.h: an open-addressing map from 128 bits to a small number, for what a search
// has met. Keys are fingerprints: well mixed already, and equal only if what they stand for is.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "consensus/fingerprint.h"

namespace quorate::explore {

using Print = consensus::Fingerprint::Value;

class FlatIndex {
 public:
  static constexpr uint32_t kAbsent = UINT32_MAX;

  uint32_t find(const Print& key) const {
    if (cells_.empty()) return kAbsent;
    for (size_t place = key.low & mask();; place = (place + 1) & mask()) {
      const Cell& cell = cells_[place];
      if (cell.value == kAbsent || cell.key == key) return cell.value;
    }
  }
  void insert(const Print& key, uint32_t value) {  // which must be absent
    if ((size_ + 1) * 4 > cells_.size() * 3) grow();
    put({key, value});
    ++size_;
  }

 private:
  struct Cell {
    Print key;
    uint32_t value = kAbsent;
  };
  size_t mask() const { return cells_.size() - 1; }
  void put(const Cell& cell) {
    size_t place = cell.key.low & mask();
    while (cells_[place].value != kAbsent) place = (place + 1) & mask();
    cells_[place] = cell;
  }
  void grow() {
    const std::vector<Cell> before =
        std::exchange(cells_, std::vector<Cell>(cells_.empty() ? 1024 : cells_.size() * 2));
    for (const Cell& cell : before) {
      if (cell.value != kAbsent) put(cell);
    }
  }

  std::vector<Cell> cells_;
  size_t size_ = 0;
};

}  // namespace quorate::explore
