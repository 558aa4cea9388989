// consensus/register/proposer.h: one change of one register on its way through ballots.
//
// Each ballot reads what a majority has, applies the change to it and has a majority accept the
// result; a read is the change that changes nothing. A ballot that came to nothing may have taken
// effect all the same, or may still: the next one looks for the change's id among the recent
// changes of what it reads, and applies the change again only if it surely is not there.
#pragma once

#include <optional>
#include <vector>

#include "consensus/members.h"
#include "consensus/register/change.h"

namespace quorate::consensus::caspaxos {

class Proposer {
 public:
  Proposer(std::string name, Members acceptors, ProposalId id, Change change)
      : name_(std::move(name)),
        acceptors_(std::move(acceptors)),
        id_(id),
        change_(std::move(change)) {}

  // Above every ballot this node ever began.
  Prepare begin(const Ballot& ballot);
  // What to send to every acceptor, or the end.
  std::variant<std::monostate, Accept, Outcome> on(NodeId from, const Promise& promise);
  std::optional<Outcome> on(NodeId from, const Accepted& accepted);
  // True: the ballot under way is over.
  bool on(const Refused& refused) const { return refused.ballot == ballot_; }
  // What is known if no more ballots are begun.
  Outcome give_up(Why why) const;
  const Ballot& ballot() const { return ballot_; }

 private:
  std::variant<std::monostate, Accept, Outcome> propose(const Cell& base);
  bool found_itself(const Cell& base);
  bool surely_absent(const Cell& base) const;

  std::string name_;
  Members acceptors_;
  ProposalId id_;
  Change change_;
  Ballot ballot_;
  bool accepting_ = false;
  std::vector<NodeId> answered_;
  std::optional<Vote> highest_;  // accepted, among the promises
  // The lowest version that an accept of this change would have made; empty: none has left.
  std::optional<uint64_t> version_tried_;
  Outcome outcome_;  // once a majority has accepted
};

}  // namespace quorate::consensus::caspaxos
