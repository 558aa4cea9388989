// load/event_check.h: whether every watcher saw every event exactly once and in order.
//
// All of them watch the same keys, so all must see the same revisions in the same order. The
// order is learned from whoever is in front; the others are held to it.
#pragma once

#include <cstdint>
#include <vector>

namespace quorate::load {

// Revisions kept until the last watcher saw them; with more the check gives up and says so.
inline constexpr uint64_t kRevisionsKeptMax = 50'000'000;

class EventCheck {
 public:
  explicit EventCheck(uint32_t watchers) : places_(watchers, 0) {}
  void take(uint32_t watcher, int64_t revision) {
    // Nearly always it is what somebody else has seen already.
    if (watcher < places_.size() && !gave_up_) {
      uint64_t& place = places_[watcher];
      if (place < events() && revisions_[place - base_] == revision) {
        ++place;
        ++delivered_;
        return;
      }
    }
    take_other(watcher, revision);
  }
  // Events that whoever is in front saw.
  uint64_t events() const { return base_ + revisions_.size(); }
  uint64_t delivered() const { return delivered_; }
  // Watchers that have not seen all of them yet.
  uint32_t behind() const;
  // How many events these have not seen, in all.
  uint64_t lacking() const;
  uint64_t missed() const { return missed_; }
  uint64_t out_of_order() const { return out_of_order_; }  // repeated ones included
  bool gave_up() const { return gave_up_; }

 private:
  void take_other(uint32_t watcher, int64_t revision);
  void append(int64_t revision);
  void forget_seen();
  void follow_again(uint32_t watcher, int64_t revision);

  std::vector<int64_t> revisions_;  // strictly growing
  uint64_t base_ = 0;               // events before them
  uint64_t forget_at_ = 1'000'000;
  std::vector<uint64_t> places_;  // how many each watcher has seen
  uint64_t delivered_ = 0;
  uint64_t missed_ = 0;
  uint64_t out_of_order_ = 0;
  bool gave_up_ = false;
};

}  // namespace quorate::load
