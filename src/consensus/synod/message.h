// consensus/synod/message.h: what proposers, acceptors and learners of one decree say.
//
// The four messages of Paxos Made Simple, section 2.2, under their usual names, and a refusal,
// which the paper leaves out because safety needs none: it tells a proposer that waiting is vain.
#pragma once

#include <optional>
#include <variant>

#include "base/bytes.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus::synod {

// A value in a ballot: what a proposer asks for, what an acceptor accepts.
struct Proposal {
  Ballot ballot;
  Bytes value;
  bool operator==(const Proposal&) const = default;
};

struct Prepare {  // phase 1a, to every acceptor
  Ballot ballot;
};
struct Promise {  // phase 1b: nothing below `ballot` any more; and what was accepted so far
  Ballot ballot;
  std::optional<Proposal> accepted;
};
struct Accept {  // phase 2a, to every acceptor
  Proposal proposal;
};
struct Accepted {  // phase 2b, to the proposer and every learner
  Proposal proposal;
};
struct Refused {
  Ballot ballot;    // that was refused
  Ballot promised;  // because of this one
};
using Body = std::variant<Prepare, Promise, Accept, Accepted, Refused>;

}  // namespace quorate::consensus::synod
