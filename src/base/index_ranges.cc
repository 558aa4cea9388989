#include "base/index_ranges.h"

#include <algorithm>

#include "base/check.h"

namespace quorate {

bool IndexRanges::contains(Index index) const {
  const auto found = std::ranges::lower_bound(ranges_, index, {}, &IndexRange::last);
  return found != ranges_.end() && found->first <= index;
}

uint64_t IndexRanges::count() const {
  uint64_t count = 0;
  for (const IndexRange& range : ranges_) count += range.last - range.first + 1;
  return count;
}

Index IndexRanges::first_behind(Index index) const {
  const auto found = std::ranges::upper_bound(ranges_, index, {}, &IndexRange::last);
  return found == ranges_.end() ? Index{} : std::max(found->first, index.next());
}

void IndexRanges::add(IndexRange range) {
  CHECK(range.first && range.first <= range.last, "a range has at least one position");
  // Everything that overlaps or touches becomes one.
  const auto begin =
      std::ranges::lower_bound(ranges_, range.first.previous(), {}, &IndexRange::last);
  auto end = begin;
  for (; end != ranges_.end() && end->first <= range.last.next(); ++end) {
    range.first = std::min(range.first, end->first);
    range.last = std::max(range.last, end->last);
  }
  ranges_.insert(ranges_.erase(begin, end), range);
}

void IndexRanges::remove(IndexRange range) {
  std::vector<IndexRange> left;
  for (const IndexRange& known : ranges_) {
    if (known.last < range.first || known.first > range.last) {
      left.push_back(known);
      continue;
    }
    if (known.first < range.first) left.push_back({known.first, range.first.previous()});
    if (known.last > range.last) left.push_back({range.last.next(), known.last});
  }
  ranges_ = std::move(left);
}

void IndexRanges::truncate_from(Index index) {
  while (!ranges_.empty() && ranges_.back().first >= index) ranges_.pop_back();
  if (!ranges_.empty() && ranges_.back().last >= index) ranges_.back().last = index.previous();
}

void IndexRanges::drop_through(Index index) {
  if (ranges_.empty() || ranges_.front().first > index) return;
  remove({ranges_.front().first, index});
}

}  // namespace quorate
