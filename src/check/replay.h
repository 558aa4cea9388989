// check/replay.h: all writes in the order of their revisions, into a store of our own, with every
// answer compared along the way.
//
// Where a revision has no known writer, the operations of unknown outcome that fit what was seen
// of it are tried in turn; a later contradiction that such a choice could have caused goes back to
// it. Without gaps there is nothing to try and the replay is one pass.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "check/apply.h"
#include "check/gap_makers.h"
#include "check/history.h"
#include "check/key_table.h"
#include "check/revisions.h"
#include "check/verdict.h"
#include "check/versioned_store.h"

namespace quorate::check {

// What the replay could not explain.
struct Failure {
  int64_t revision = 0;
  uint32_t operation = kNobody;    // whose answer is wrong; kNobody:
  uint32_t watch_reply = kNobody;  // which event is wrong; kNobody: nothing can have made it
  bool silent = false;             // the watch should have shown an event by then, and did not
  Mismatch mismatch = {};
  int64_t blame_until = kRevisionMax;  // choices behind it cannot have caused it
  Rank rank = kNoRank;  // only choices about this key can have caused it; kNoRank: any can
};

class Replay {
 public:
  Replay(const History& history, const KeyTable& keys, const Revisions& revisions,
         const CheckLimits& limits);

  // `no`: there are failures.
  Decision run();

  const std::vector<Failure>& failures() const { return failures_; }
  // The last failure stands for all ways to place the unknown writes.
  bool tried_all_ways() const { return tried_all_ways_; }
  const VersionedStore& store() const { return store_; }
  const GapMakers& gap_makers() const { return gap_makers_; }
  // Revisions up to this one are settled, except those whose maker is not known for sure.
  int64_t settled() const { return settled_; }
  const Maker& maker(int64_t revision) const { return makers_[slot(revision)]; }
  uint64_t steps() const { return steps_ + gap_makers_.steps(); }

 private:
  struct Choice {
    int64_t revision = 0;
    std::vector<Maker> candidates;
    size_t next = 0;
    Footprint footprint;  // of the candidates, and of makers that later had no rival left
  };

  size_t slot(int64_t revision) const { return static_cast<size_t>(revision - revisions_.first()); }
  // Each is false when it met a failure that a choice may have caused; the failure is in latest_.
  bool play(int64_t revision);
  bool play_gap(int64_t revision);
  bool play_watched(int64_t revision);
  bool play_operation(int64_t revision, uint32_t number, Changing changing);
  bool fail_with(const Failure& failure);
  bool caused_by_choice() const;
  void take(const Maker& maker, int64_t revision);
  void show_glimpses(int64_t revision);
  // Goes back to a choice that could have caused the failure; false when none is left.
  bool go_back(int64_t& revision);
  bool could_have_caused(const Choice& choice) const;
  void prefer(Choice& choice, Rank rank) const;

  const History& history_;
  const KeyTable& keys_;
  const Revisions& revisions_;
  VersionedStore store_;
  Applier applier_;
  GapMakers gap_makers_;
  std::vector<Maker> makers_;
  std::vector<Choice> choices_;
  std::vector<Failure> failures_;
  std::set<std::pair<int64_t, uint32_t>> recorded_;  // revision and operation of failures_
  Failure latest_;
  std::optional<Failure> deepest_;
  size_t failures_max_ = 0;
  bool tried_all_ways_ = false;
  int64_t settled_ = 0;
  uint64_t steps_ = 0;
  uint64_t steps_max_ = 0;
};

}  // namespace quorate::check
