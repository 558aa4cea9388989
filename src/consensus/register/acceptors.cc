#include "consensus/register/acceptors.h"

#include "base/mutant.h"
#include "consensus/register/limits.h"

namespace quorate::consensus::caspaxos {

Acceptors::Answer Acceptors::on(const Prepare& prepare) {
  AcceptorState* state = find_or_add(prepare.name);
  if (state == nullptr) return {Refused{prepare.name, prepare.ballot, prepare.ballot, true}};
  if (prepare.ballot <= state->promised) {
    return {Refused{prepare.name, prepare.ballot, state->promised}};
  }
  state->promised = prepare.ballot;
  return {Promise{prepare.name, prepare.ballot, state->accepted}, true, !QRT_MUTANT(X03_REGISTER)};
}

Acceptors::Answer Acceptors::on(const Accept& accept) {
  const Ballot& ballot = accept.vote.ballot;
  AcceptorState* state = find_or_add(accept.name);
  if (state == nullptr) return {Refused{accept.name, ballot, ballot, true}};
  if (ballot < state->promised) return {Refused{accept.name, ballot, state->promised}};
  state->promised = ballot;
  state->accepted = accept.vote;
  return {Accepted{accept.name, ballot}, true, !QRT_MUTANT(X03_REGISTER_ACCEPT)};
}

AcceptorState* Acceptors::find_or_add(const std::string& name) {
  const auto found = states_.find(name);
  if (found != states_.end()) return &found->second;
  return states_.size() < kRegistersMax ? &states_[name] : nullptr;
}

}  // namespace quorate::consensus::caspaxos
