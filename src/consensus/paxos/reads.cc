// Linearizable reads without a slot of their own: note the decided prefix, ask a quorum whether the
// ballot is still ours, and serve from there. Until a quorum says so a higher ballot may have been
// prepared and something decided at it; afterwards that can only have been after the read began.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {

void Replica::on(const ReadBarrier& event) {
  if (stage_ != Stage::leader) return refuse(event.id, Refusal::not_leader);
  if (reads_held_ >= kWaitingReadsMax) return refuse(event.id, Refusal::busy);
  ++reads_held_;
  waiting_reads_.push_back(event.id);
}

void Replica::start_read_rounds() {
  if (waiting_reads_.empty()) return;
  // Before everything found in phase 1 is decided, our decided prefix may be behind what an earlier
  // leader has answered: the reads wait.
  if (!established_ && !QRT_MUTANT(R07)) return;
  if (lease_holds() || QRT_MUTANT(P03)) {
    for (const ReadId id : waiting_reads_) ready_.reads.push_back({id, committed_});
    reads_held_ -= waiting_reads_.size();
    waiting_reads_.clear();
    return;
  }
  if (rounds_.size() >= kReadRoundsMax) return;
  ++round_;
  rounds_.push_back({round_, committed_, std::move(waiting_reads_)});
  waiting_reads_ = {};
  heartbeat_due_ = true;
}

void Replica::confirm_reads() {
  if (rounds_.empty()) return;
  uint64_t confirmed = quorum_value([](const Progress& peer) { return peer.round; });
  if (QRT_MUTANT(R07_ROUND)) ++confirmed;
  while (!rounds_.empty() && rounds_.front().number <= confirmed) {
    const ReadRound& done = rounds_.front();
    for (const ReadId id : done.ids) ready_.reads.push_back({id, done.index});
    CHECK(reads_held_ >= done.ids.size(), "every read in a round was counted");
    reads_held_ -= done.ids.size();
    rounds_.pop_front();
  }
}

// ---- Leases (PML, section 5.2): while a quorum has promised to promise nobody else, no other can
// have decided anything. Counted from when the round left, so the promises end later.

bool Replica::lease_holds() const { return lease_reads_ && !lease_void_ && now_ < lease_ends_; }

void Replica::begin_lease_round() {
  ++round_;
  rounds_sent_.push_back({round_, now_});
  if (rounds_sent_.size() > kLeaseRoundsMax) rounds_sent_.pop_front();
}

void Replica::renew_lease() {
  if (rounds_sent_.empty()) return;
  const uint64_t confirmed =
      quorum_value([](const Progress& peer) { return peer.promises ? peer.round : 0; });
  while (!rounds_sent_.empty() && rounds_sent_.front().number <= confirmed) {
    const RoundSent& round = rounds_sent_.front();
    const Time from = QRT_MUTANT(LEASE_SENT) ? now_ : round.at;
    if (round.number > lease_after_round_)
      lease_ends_ = std::max(lease_ends_, from + lease_length_);
    rounds_sent_.pop_front();
  }
}

// While in office: someone else was told to campaign.
void Replica::void_lease() {
  lease_ends_ = {};
  lease_void_ = true;
  rounds_sent_.clear();
}

void Replica::refuse_reads() {
  if (QRT_MUTANT(R07_LOST)) rounds_.clear();
  for (const ReadRound& lost : rounds_) {
    for (const ReadId id : lost.ids) refuse(id, Refusal::not_leader);
  }
  for (const ReadId id : waiting_reads_) refuse(id, Refusal::not_leader);
  rounds_.clear();
  waiting_reads_.clear();
  reads_held_ = 0;
}

}  // namespace quorate::consensus::paxos
