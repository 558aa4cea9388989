#include "consensus/synod/learner.h"

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/quorum.h"

namespace quorate::consensus::synod {

void Learner::on(NodeId from, const Accepted& accepted) {
  const Ballot ballot = QRT_MUTANT(X04_SYNOD_LEARN) ? Ballot{} : accepted.proposal.ballot;
  Tally& tally = tallies_[ballot];
  tally.value = accepted.proposal.value;
  tally.acceptors.push_back(from);
  if (decides(acceptors_, tally.acceptors)) {
    CHECK(!learned_ || *learned_ == tally.value, "one decree, one value");
    learned_ = tally.value;
    tallies_.clear();
  } else if (tallies_.size() > kBallotsLearnedMax) {
    tallies_.erase(tallies_.begin());
  }
}

}  // namespace quorate::consensus::synod
