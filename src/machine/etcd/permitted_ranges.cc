#include "machine/etcd/permitted_ranges.h"

#include <algorithm>

#include "base/mutant.h"

namespace quorate::machine::etcd {

PermittedRanges::Piece PermittedRanges::piece(std::string_view key, std::string_view range_end) {
  Piece made;
  made.first = key;
  made.unbounded = range_end == std::string_view("\0", 1);
  if (made.unbounded) return made;
  if (range_end.empty()) {
    made.end = made.first + '\0';  // nothing sorts between a key and this
  } else {
    made.end = range_end;
  }
  return made;
}

void PermittedRanges::add(std::string_view key, std::string_view range_end) {
  Piece added = piece(key, range_end);
  if (!added.unbounded && added.end <= added.first) return;
  // Whatever overlaps it or touches it becomes part of it.
  const auto first = std::ranges::find_if(
      pieces_, [&](const Piece& each) { return !each.ends_before(added.first); });
  auto last = first;
  while (last != pieces_.end() && (added.unbounded || last->first <= added.end)) {
    added.first = std::min(added.first, last->first);
    if (last->reaches(added)) {
      added.end = last->end;
      added.unbounded = last->unbounded;
    }
    ++last;
  }
  const auto place = pieces_.erase(first, last);
  pieces_.insert(place, std::move(added));
}

bool PermittedRanges::contains(std::string_view key, std::string_view range_end) const {
  const Piece wanted = piece(key, range_end);
  auto place = std::ranges::upper_bound(
      pieces_, key, {}, [](const Piece& each) { return std::string_view(each.first); });
  if (place == pieces_.begin()) return false;
  --place;
  const bool holds_first = place->unbounded || key < place->end;
  return holds_first && (QRT_MUTANT(A06_END) || place->reaches(wanted));
}

}  // namespace quorate::machine::etcd
