// consensus/synod/proposer.h: who tries to have a value chosen, one ballot after the other.
//
// Invariants: no round is ever used twice, restarts included, so a ballot has at most one value;
// what is proposed is what the highest accepted ballot in a majority of promises says, and the
// own wish only if nobody in that majority had accepted anything.
#pragma once

#include <optional>
#include <vector>

#include "consensus/members.h"
#include "consensus/synod/message.h"

namespace quorate::consensus::synod {

class Proposer {
 public:
  enum class Phase : uint8_t { idle, preparing, accepting };

  // `acceptors`: the voters decide. `round_used`: the largest round that was ever made durable.
  Proposer(NodeId self, Members acceptors, Bytes wish, uint64_t round_used);

  // A new ballot above `above` and above all of its own. The prepare goes to every acceptor once
  // round_used() is durable. Whatever the ballot before was up to is given up.
  Prepare begin(uint64_t above = 0);
  // What to send to every acceptor next, if this promise completes a majority.
  std::optional<Accept> on(NodeId from, const Promise& promise);
  // The ballot under way cannot succeed any more; begin() when it is time again.
  void on(const Refused& refused);

  uint64_t round_used() const { return round_used_; }
  uint64_t round_seen() const { return round_seen_; }
  Phase phase() const { return phase_; }
  const Ballot& ballot() const { return ballot_; }
  const Bytes& wish() const { return wish_; }
  const std::vector<NodeId>& promisers() const { return promisers_; }
  const std::optional<Proposal>& highest() const { return highest_; }

 private:
  bool majority() const;

  NodeId self_;
  Members acceptors_;
  Bytes wish_;
  uint64_t round_used_ = 0;
  uint64_t round_seen_ = 0;
  Phase phase_ = Phase::idle;
  Ballot ballot_;
  std::vector<NodeId> promisers_;
  std::optional<Proposal> highest_;  // among what the promises say was accepted
};

}  // namespace quorate::consensus::synod
