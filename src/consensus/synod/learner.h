// consensus/synod/learner.h: who finds out what was chosen.
//
// Invariant: a value is learned only if a majority of the acceptors accepted it in one and the
// same ballot; what was learned never changes.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "consensus/members.h"
#include "consensus/synod/message.h"

namespace quorate::consensus::synod {

// Ballots that may be half known at a time. What falls out was the lowest; if it was the one that
// chose, a later ballot chooses the same value again.
inline constexpr size_t kBallotsLearnedMax = 64;

class Learner {
 public:
  explicit Learner(Members acceptors) : acceptors_(std::move(acceptors)) {}
  void on(NodeId from, const Accepted& accepted);
  const std::optional<Bytes>& learned() const { return learned_; }

 private:
  struct Tally {
    Bytes value;
    std::vector<NodeId> acceptors;
  };

  Members acceptors_;
  std::map<Ballot, Tally> tallies_;
  std::optional<Bytes> learned_;
};

}  // namespace quorate::consensus::synod
