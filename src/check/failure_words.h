// check/failure_words.h: a replay's failure as a finding: which operations contradict each other,
// and in words why.
#pragma once

#include "check/history.h"
#include "check/key_table.h"
#include "check/replay.h"
#include "check/revisions.h"
#include "check/verdict.h"

namespace quorate::check {

class FailureWords {
 public:
  FailureWords(const History& history, const KeyTable& keys, const Revisions& revisions,
               const Replay& replay)
      : history_(history), keys_(keys), revisions_(revisions), replay_(replay) {}

  Finding describe(const Failure& failure) const;

 private:
  void describe_answer(const Failure& failure, Finding& finding) const;
  void describe_gap(const Failure& failure, Finding& finding) const;
  bool written_by_anybody(const Item& item) const;
  void name_deletion(const Failure& failure, Finding& finding) const;
  void name_maker(int64_t revision, Finding& finding) const;
  // Who wrote this row or would have, though it cannot have made the revision.
  void name_suspects(int64_t revision, const Glimpse& glimpse, Finding& finding) const;
  bool suspect(uint32_t number, int64_t revision, const Glimpse& glimpse, Finding& finding) const;
  bool writes(const Operation& operation, const Glimpse& glimpse) const;
  void add(Finding& finding, uint32_t number) const;

  const History& history_;
  const KeyTable& keys_;
  const Revisions& revisions_;
  const Replay& replay_;
};

}  // namespace quorate::check
