// base/index_ranges.h: a set of log positions, kept as ranges.
//
// For sets that are usually empty and otherwise made of a few runs: positions whose content is
// lost. Invariant: ranges are sorted, disjoint, do not touch and are never empty.
#pragma once

#include <vector>

#include "base/types.h"

namespace quorate {

struct IndexRange {  // both included
  Index first;
  Index last;
  bool operator==(const IndexRange&) const = default;
};

class IndexRanges {
 public:
  IndexRanges() = default;
  explicit IndexRanges(const std::vector<IndexRange>& ranges) {
    for (const IndexRange& range : ranges) add(range);
  }

  bool empty() const { return ranges_.empty(); }
  bool contains(Index index) const;
  Index first() const { return ranges_.front().first; }  // of a set that is not empty
  Index last() const { return ranges_.back().last; }     // likewise
  uint64_t count() const;
  // The lowest member behind `index`; zero when there is none.
  Index first_behind(Index index) const;
  const std::vector<IndexRange>& list() const { return ranges_; }

  void add(IndexRange range);
  void remove(IndexRange range);
  void truncate_from(Index index);  // drops [index, ...)
  void drop_through(Index index);   // drops [..., index]
  bool operator==(const IndexRanges&) const = default;

 private:
  std::vector<IndexRange> ranges_;
};

}  // namespace quorate
