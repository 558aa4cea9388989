// front/etcd/compaction_plan.h: when to compact by itself, and how far. Pure.
//
// Two rules, both etcd's: keep what is younger than a period, or keep so many revisions. Every
// member watches the revisions pass, so that whoever becomes leader knows how old they are; only
// the leader compacts.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

#include "base/types.h"

namespace quorate::front::etcd {

enum class CompactionMode : uint8_t { never, periodic, revisions };
struct CompactionRule {
  CompactionMode mode = CompactionMode::never;
  Duration period{};      // periodic
  int64_t revisions = 0;  // revisions
};

class CompactionPlan {
 public:
  CompactionPlan(const CompactionRule& rule, Time now) : rule_(rule), done_at_(now) {}

  Duration interval() const;  // between two looks
  // Takes note of the newest revision. What to compact up to now; empty: nothing.
  std::optional<int64_t> look(Time now, int64_t newest, bool leads);
  void done(Time now, int64_t revision);

 private:
  std::optional<int64_t> due(Time now, int64_t newest) const;

  const CompactionRule rule_;
  std::deque<int64_t> seen_;  // periodic: the newest revision at earlier looks, a period's worth
  Time done_at_;              // or begun
  bool done_once_ = false;
  int64_t compacted_ = 0;
};

}  // namespace quorate::front::etcd
