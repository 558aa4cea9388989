#include "load/event_check.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::load {

void EventCheck::take_other(uint32_t watcher, int64_t revision) {
  CHECK(watcher < places_.size(), "checked by the caller");
  ++delivered_;
  if (gave_up_) return;
  uint64_t& place = places_[watcher];
  if (place == events() && (revisions_.empty() || revision > revisions_.back())) {
    append(revision);
    ++place;
  } else {
    follow_again(watcher, revision);
  }
}

// Something is wrong with this event; from the next one on it is held to the order again.
void EventCheck::follow_again(uint32_t watcher, int64_t revision) {
  uint64_t& place = places_[watcher];
  const auto found = std::ranges::lower_bound(revisions_, revision);
  const uint64_t where = base_ + static_cast<uint64_t>(found - revisions_.begin());
  const bool known = found != revisions_.end() && *found == revision;
  if (where < place) {
    ++out_of_order_;
    return;
  }
  // It jumped forward; or it saw one that whoever was in front did not.
  missed_ += std::max<uint64_t>(where - place, 1);
  if (!known && found == revisions_.end()) append(revision);
  place = where + (known || where + 1 == events() ? 1 : 0);
}

void EventCheck::append(int64_t revision) {
  if (revisions_.size() >= forget_at_) forget_seen();
  if (revisions_.size() >= kRevisionsKeptMax) {
    gave_up_ = true;
    return;
  }
  revisions_.push_back(revision);
}

void EventCheck::forget_seen() {
  const uint64_t seen_by_all = std::ranges::min(places_);
  revisions_.erase(revisions_.begin(),
                   revisions_.begin() + static_cast<std::ptrdiff_t>(seen_by_all - base_));
  base_ = seen_by_all;
  forget_at_ = 2 * revisions_.size() + 1'000'000;
}

uint32_t EventCheck::behind() const {
  return static_cast<uint32_t>(
      std::ranges::count_if(places_, [this](uint64_t place) { return place < events(); }));
}

uint64_t EventCheck::lacking() const {
  uint64_t sum = 0;
  for (const uint64_t place : places_) sum += events() - std::min(place, events());
  return sum;
}

}  // namespace quorate::load
