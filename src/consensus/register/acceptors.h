// consensus/register/acceptors.h: one node's acceptors, one for each register it has heard of.
//
// Invariant: as for one decree, register by register: `promised` only grows; what was promised or
// accepted is durable before the answer leaves.
#pragma once

#include <map>
#include <string>

#include "consensus/register/message.h"

namespace quorate::consensus::caspaxos {

class Acceptors {
 public:
  struct Answer {
    Body body;
    bool changed = false;      // state_of() the register is to be written
    bool after_write = false;  // leaves when everything written so far is durable
  };

  explicit Acceptors(std::map<std::string, AcceptorState> recovered)
      : states_(std::move(recovered)) {}
  Answer on(const Prepare& prepare);
  Answer on(const Accept& accept);
  const std::map<std::string, AcceptorState>& states() const { return states_; }

 private:
  AcceptorState* find_or_add(const std::string& name);  // null: there are too many

  std::map<std::string, AcceptorState> states_;
};

}  // namespace quorate::consensus::caspaxos
