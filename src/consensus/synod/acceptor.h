// consensus/synod/acceptor.h: the memory of a decree.
//
// Invariants: `promised` only grows and is never below the accepted ballot; whatever was answered
// with a promise or an acceptance is in a state that was made durable before the answer left.
#pragma once

#include "consensus/synod/message.h"

namespace quorate::consensus::synod {

struct AcceptorState {  // what must survive a crash: all of it
  Ballot promised;
  std::optional<Proposal> accepted;
  bool operator==(const AcceptorState&) const = default;
};

struct Answer {
  Body body;
  // It may leave only when everything that state() says by now is durable. Also for an answer
  // that changed nothing: what it repeats may still be on its way to the disk.
  bool after_write = false;
};

class Acceptor {
 public:
  explicit Acceptor(AcceptorState recovered) : state_(std::move(recovered)) {}
  Answer on(const Prepare& prepare);
  Answer on(const Accept& accept);
  const AcceptorState& state() const { return state_; }

 private:
  AcceptorState state_;
};

}  // namespace quorate::consensus::synod
