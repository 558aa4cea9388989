#include "consensus/synod/proposer.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/quorum.h"

namespace quorate::consensus::synod {

Proposer::Proposer(NodeId self, Members acceptors, Bytes wish, uint64_t round_used)
    : self_(self),
      acceptors_(std::move(acceptors)),
      wish_(std::move(wish)),
      round_used_(QRT_MUTANT(X02_SYNOD) ? 0 : round_used) {}

Prepare Proposer::begin(uint64_t above) {
  round_used_ = std::max({round_used_, round_seen_, above}) + 1;
  ballot_ = {round_used_, self_};
  phase_ = Phase::preparing;
  promisers_.clear();
  highest_.reset();
  return {ballot_};
}

std::optional<Accept> Proposer::on(NodeId from, const Promise& promise) {
  if (phase_ != Phase::preparing) return std::nullopt;
  // A promise of an earlier ballot says nothing about this one: its acceptor may have accepted a
  // higher ballot since, and may do so again.
  if (promise.ballot != ballot_ && !QRT_MUTANT(X01_SYNOD)) return std::nullopt;
  if (std::ranges::find(promisers_, from) == promisers_.end() || QRT_MUTANT(N09_SYNOD)) {
    promisers_.push_back(from);
  }
  if (promise.accepted) {
    CHECK(promise.accepted->ballot < ballot_ || QRT_MUTANT(X02_SYNOD),
          "nobody has accepted a ballot before it began");
    const bool higher =
        !highest_ || (highest_->ballot < promise.accepted->ballot && !QRT_MUTANT(X04_SYNOD));
    if (higher) highest_ = promise.accepted;
  }
  if (!majority()) return std::nullopt;
  phase_ = Phase::accepting;
  const bool adopt = highest_.has_value() && !QRT_MUTANT(X04_SYNOD_OWN);
  return Accept{{ballot_, adopt ? highest_->value : wish_}};
}

void Proposer::on(const Refused& refused) {
  round_seen_ = std::max(round_seen_, refused.promised.round);
  if (refused.ballot == ballot_) phase_ = Phase::idle;
}

bool Proposer::majority() const {
  if (QRT_MUTANT(N09_SYNOD)) return promisers_.size() > acceptors_.voters.size() / 2;
  return decides(acceptors_, promisers_);
}

}  // namespace quorate::consensus::synod
