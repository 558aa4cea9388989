// explore/visited.h: all states of the cluster that a search has met, 20 bytes each.
//
// Open addressing over 128-bit fingerprints in a table of fixed size, so that the place of a state
// names it for good: each remembers the place of the state it was first reached from, which by
// breadth-first order is the shortest way back to the start.
#pragma once

#include <cstdlib>
#include <memory>

#include "explore/flat_index.h"

namespace quorate::explore {

class Visited {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kBytesEach = sizeof(Print) + sizeof(uint32_t);

  explicit Visited(size_t bytes);  // rounded down to a power of two of places

  struct Answer {
    uint32_t place = kNone;
    bool fresh = false;
  };
  Answer insert(Print print, uint32_t parent);
  void prefetch(const Print& print) const { __builtin_prefetch(&prints_[print.low & mask_]); }

  size_t size() const { return size_; }
  size_t capacity() const { return mask_ / 8 * 7; }  // beyond, looking becomes slow
  bool full() const { return size_ >= capacity(); }
  const Print& print(uint32_t place) const { return prints_[place]; }
  uint32_t parent(uint32_t place) const { return parents_[place]; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  size_t mask_ = 0;
  size_t size_ = 0;
  std::unique_ptr<Print[], Free> prints_;  // all zero: free
  std::unique_ptr<uint32_t[], Free> parents_;
};

}  // namespace quorate::explore
