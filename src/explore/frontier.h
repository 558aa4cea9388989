// explore/frontier.h: the states that wait to be expanded, first in, first out, in few bytes each.
//
// Numbers are small, so each takes as many bytes as it needs. Memory is taken and given back by
// the block.
#pragma once

#include <deque>
#include <memory>

#include "explore/moves.h"

namespace quorate::explore {

class Frontier {
 public:
  void push(const State& state, uint32_t place, size_t nodes);
  bool pop(State& state, uint32_t& place, size_t nodes);  // false: empty
  size_t size() const { return size_; }
  size_t bytes() const { return blocks_.size() * kBlockBytes; }

 private:
  static constexpr size_t kBlockBytes = size_t{1} << 20U;
  static constexpr size_t kStateBytesMax = 192;

  void put(uint64_t value);
  uint64_t get();

  std::deque<std::unique_ptr<uint8_t[]>> blocks_;
  size_t write_ = kBlockBytes;  // in the last block
  size_t read_ = 0;             // in the first block
  std::deque<size_t> ends_;     // of the blocks
  size_t size_ = 0;
};

}  // namespace quorate::explore
