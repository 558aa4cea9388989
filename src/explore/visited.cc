#include "explore/visited.h"

#include <bit>

#include "base/check.h"

namespace quorate::explore {

// Memory from calloc() is zero without having been touched: a small search pays for what it uses.
Visited::Visited(size_t bytes) {
  const size_t places = std::bit_floor(std::max<size_t>(bytes / kBytesEach, 1024));
  CHECK(places <= size_t{1} << 31U, "places are numbered by 32 bits");
  mask_ = places - 1;
  prints_.reset(static_cast<Print*>(std::calloc(places, sizeof(Print))));
  parents_.reset(static_cast<uint32_t*>(std::calloc(places, sizeof(uint32_t))));
  CHECK(prints_ != nullptr && parents_ != nullptr, "the table of states fits into memory");
}

Visited::Answer Visited::insert(Print print, uint32_t parent) {
  if (print == Print{}) print.low = 1;
  for (size_t place = print.low & mask_;; place = (place + 1) & mask_) {
    Print& there = prints_[place];
    if (there == print) return {static_cast<uint32_t>(place), false};
    if (there != Print{}) continue;
    CHECK(!full(), "the search ends before its table is full");
    there = print;
    parents_[place] = parent;
    ++size_;
    return {static_cast<uint32_t>(place), true};
  }
}

}  // namespace quorate::explore
