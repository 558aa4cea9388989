#include "consensus/synod/acceptor.h"

#include "base/check.h"
#include "base/mutant.h"

namespace quorate::consensus::synod {

Answer Acceptor::on(const Prepare& prepare) {
  if (prepare.ballot <= state_.promised) return {Refused{prepare.ballot, state_.promised}};
  state_.promised = prepare.ballot;
  return {Promise{prepare.ballot, state_.accepted}, !QRT_MUTANT(X03_SYNOD)};
}

Answer Acceptor::on(const Accept& accept) {
  const Ballot& ballot = accept.proposal.ballot;
  // An acceptor may accept what it promised nothing against, promised or not (section 2.2, P1a).
  if (ballot < state_.promised && !QRT_MUTANT(X01_SYNOD_STALE)) {
    return {Refused{ballot, state_.promised}};
  }
  CHECK(!state_.accepted || state_.accepted->ballot != ballot ||
            state_.accepted->value == accept.proposal.value || QRT_MUTANT(X02_SYNOD),
        "a ballot has one value");
  state_.promised = ballot;
  state_.accepted = accept.proposal;
  return {Accepted{accept.proposal}, !QRT_MUTANT(X03_SYNOD_ACCEPT)};
}

}  // namespace quorate::consensus::synod
