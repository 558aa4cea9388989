// Linearizable reads without the log (thesis, section 6.4): note the committed position, make
// sure by a round of heartbeats that nobody else leads, then serve from that position.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {

void Replica::on(const ReadBarrier& event) {
  if (stage_ != Stage::leader) return refuse(event.id, Refusal::not_leader);
  if (reads_held_ >= kWaitingReadsMax) return refuse(event.id, Refusal::busy);
  ++reads_held_;
  waiting_reads_.push_back(event.id);
}

void Replica::start_read_rounds() {
  if (waiting_reads_.empty() || rounds_.size() >= kReadRoundsMax) return;
  // Before an entry of our own term is committed, our committed position may be behind what an
  // earlier leader has answered: the reads wait.
  if (!established_ && !QRT_MUTANT(R07)) return;
  ++round_;
  rounds_.push_back({round_, committed_, std::move(waiting_reads_)});
  waiting_reads_ = {};
  heartbeat_due_ = true;
}

void Replica::confirm_reads() {
  if (rounds_.empty()) return;
  const uint64_t confirmed = quorum_value([](const Progress& peer) { return peer.round; });
  while (!rounds_.empty() && rounds_.front().number <= confirmed) {
    const ReadRound& done = rounds_.front();
    for (const ReadId id : done.ids) ready_.reads.push_back({id, done.index});
    CHECK(reads_held_ >= done.ids.size(), "every read in a round was counted");
    reads_held_ -= done.ids.size();
    rounds_.pop_front();
  }
}

void Replica::refuse_reads() {
  for (const ReadRound& lost : rounds_) {
    for (const ReadId id : lost.ids) refuse(id, Refusal::not_leader);
  }
  for (const ReadId id : waiting_reads_) refuse(id, Refusal::not_leader);
  rounds_.clear();
  waiting_reads_.clear();
  reads_held_ = 0;
}

}  // namespace quorate::consensus::raft
