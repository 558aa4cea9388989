// node/lease_clock.h: the leader's half of leases: when each ends, by the leader's own clock.
//
// Nothing here is replicated. Who becomes leader gives every lease its full time again, or what
// its last checkpoint left of it, and an extension: so a lease may end late, never early. What
// has run out is revoked through the log, in bounded portions. Those commands are proposed for
// the round of this leadership only and never again: by the time another leader heard of them a
// client might have renewed the lease with it (docs/decisions/0017).
//
// Invariant: a revoke is proposed only for a lease whose time was over by this clock, in a round
// that this node had established.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "machine/state_machine.h"
#include "node/leader_view.h"
#include "node/lease_ask.h"

namespace quorate::node {

class LeaseClock : private machine::LeaseListener {
 public:
  class Door {
   public:
    virtual ~Door() = default;
    virtual Time lease_now() const = 0;
    // Where in the log it stands, if the replica here took it.
    virtual std::optional<Index> propose_own(Bytes command) = 0;
  };

  LeaseClock(Door& door, Duration extension) : door_(door), extension_(extension) {}

  // Another machine, or one without leases (null). Begins anew.
  void set_table(machine::LeaseTable* table);
  // How things stand after entries were applied. `committed` as of now, not earlier.
  void follow(const LeaderView& view, bool established, Index committed, Index applied);
  bool running() const { return running_; }
  uint64_t round() const { return round_; }
  // Only while running, and only when the leadership was confirmed after the question came.
  LeaseAnswer::One decide(const LeaseAsk::One& ask);
  // Takes leases over, revokes, makes checkpoints: one portion of each.
  void tick();
  Time deadline() const;

  size_t revokes_under_way() const { return revokes_under_way_; }
  uint64_t revoked() const { return revoked_; }  // proposed since the start

 private:
  struct Entry {
    uint64_t life = 0;
    Time ends;
    Time listed;  // under which it stands in order_: not later than `ends`
    Time checkpoint = kNever;
    bool ending = false;    // its revoke is in the log
    Index checkpointed_at;  // where the newest command about what is left of it stands
  };
  using Table = std::map<int64_t, Entry>;

  void on_lease_granted(int64_t lease, const machine::LeaseTerm& term) override;
  void on_lease_ended(int64_t lease) override;
  void reset();
  Table::iterator add(int64_t lease, const machine::LeaseTerm& term, Duration extension);
  void take_over();
  void revoke_due(Time now);
  void checkpoint_due(Time now);
  void plan_checkpoint(Time now, int64_t lease, Entry& entry);

  Door& door_;
  const Duration extension_;
  machine::LeaseTable* table_ = nullptr;
  Table entries_;
  std::set<std::pair<Time, int64_t>> order_;
  std::set<std::pair<Time, int64_t>> checkpoints_;
  uint64_t round_ = 0;
  bool armed_ = false;  // leads, and waits to have applied what came before
  bool running_ = false;
  Index begins_at_;
  Index applied_;
  bool taking_over_ = false;
  Time took_office_;
  std::optional<int64_t> taken_to_;
  Time next_portion_ = Time::min();
  size_t revokes_under_way_ = 0;
  uint64_t revoked_ = 0;
};

}  // namespace quorate::node
