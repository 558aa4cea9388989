// consensus/read_rounds.h: reads of a leader that wait for the word of a quorum, and its lease.
//
// Linearizable reads without an entry of their own: note how far things are decided, ask a quorum
// whether anybody else leads, and serve from there (Raft: thesis, section 6.4). Until the quorum
// answers, another may have been elected and something decided by it; afterwards that can only have
// been after the read began. A lease (section 6.4.1; Paxos Made Live, section 5.2) spares the
// question while a quorum has promised to elect nobody else; it is counted from when the round
// left, so the promises end later. What a quorum is, and who answers it, is the protocol's.
// Invariant: rounds are numbered in order and never twice by one replica, and every read held is
// either waiting or in exactly one round.
#pragma once

#include <vector>

#include "base/ring.h"
#include "base/types.h"
#include "consensus/factory.h"
#include "consensus/fingerprint.h"
#include "consensus/replicated_log.h"

namespace quorate::consensus {

class ReadRounds {
 public:
  explicit ReadRounds(const Config& config);

  bool add(ReadId id);  // false: as many wait as may
  // Serves what waits from `committed` if the lease holds, else begins a round for it. True: it
  // has begun, and heartbeats of it must leave. Not before the leader is established.
  bool start(Time now, Index committed, std::vector<ReadReady>& served);
  bool open() const { return !rounds_.empty(); }
  void confirm(uint64_t answered, std::vector<ReadReady>& served);  // by a quorum, up to this round
  std::vector<ReadId> drop();                                       // all that are held

  // The newest round; a heartbeat carries it. One begun here proves what its answers say, no more.
  uint64_t newest() const { return round_; }
  uint64_t begin_round() { return ++round_; }
  // Answers to rounds up to this one make no difference any more.
  uint64_t settled() const;

  void begin_lease_round(Time now);
  void renew_lease(Time now, uint64_t promised);  // a quorum has promised in rounds up to this one
  bool may_renew() const { return !rounds_sent_.empty(); }
  void restart_lease();  // a quorum of before is not one of now: only rounds from here on prove one
  void void_lease();     // until the next office: somebody else was told to campaign
  void enter_office();

  // `limit`: older rounds than that prove nothing.
  void fingerprint(Fingerprint& into, Time now, Duration limit) const;
  void check_invariants() const;

 private:
  struct Round {
    uint64_t number = 0;
    Index index;
    std::vector<ReadId> ids;
  };
  struct Sent {  // heartbeats of a round left at that time
    uint64_t number = 0;
    Time at;
  };
  bool lease_holds(Time now) const { return leases_ && !lease_void_ && now < lease_ends_; }

  const bool leases_;
  const Duration lease_length_;
  uint64_t round_ = 0;
  std::vector<ReadId> waiting_;
  size_t held_ = 0;  // waiting or in a round
  Ring<Round> rounds_;
  Ring<Sent> rounds_sent_;  // with leases: not yet confirmed
  Time lease_ends_{};
  uint64_t lease_after_round_ = 0;  // rounds up to this one prove no lease
  bool lease_void_ = false;
};

}  // namespace quorate::consensus
