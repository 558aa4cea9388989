// Linearizable reads (consensus/read_rounds.h): the ballot is still ours if a quorum says so.
#include "base/mutant.h"
#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {

void Replica::on(const ReadBarrier& event) {
  if (stage_ != Stage::leader) return refuse(event.id, Refusal::not_leader);
  if (!reads_.add(event.id)) refuse(event.id, Refusal::busy);
}

void Replica::start_reads() {
  // Before everything found in phase 1 is decided, our decided prefix may be behind what an earlier
  // leader has answered: the reads wait.
  if (!established_ && !QRT_MUTANT(R07)) return;
  if (reads_.start(now_, committed_, ready_.reads)) heartbeat_due_ = true;
}

void Replica::confirm_reads() {
  if (!reads_.open()) return;
  reads_.confirm(quorum_value([](const Progress& peer) { return peer.round; }), ready_.reads);
}

void Replica::renew_lease() {
  if (!reads_.may_renew()) return;
  reads_.renew_lease(
      now_, quorum_value([](const Progress& peer) { return peer.promises ? peer.round : 0; }));
}

void Replica::refuse_reads() {
  for (const ReadId id : reads_.drop()) refuse(id, Refusal::not_leader);
}

}  // namespace quorate::consensus::paxos
