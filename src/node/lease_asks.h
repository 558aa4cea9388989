// node/lease_asks.h: what this node's clients ask about leases, until each has its one answer.
//
// Only the leader knows when a lease ends, so asks go there, those of one turn in one frame.
// Renewing twice does no harm: whatever gets no answer is asked again, of whoever leads then.
// Invariant: every callback is called exactly once, only from deliver().
#pragma once

#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "node/leader_view.h"
#include "node/lease_ask.h"
#include "node/service.h"

namespace quorate::node {

class LeaseAsks {
 public:
  class Door {
   public:
    virtual ~Door() = default;
    virtual void ask_lease_clock(LeaseAsk ask) = 0;  // here; answered by on_answer()
    virtual bool send_lease_ask(NodeId leader, const LeaseAsk& ask) = 0;  // false: did not leave
  };

  LeaseAsks(NodeId self, Door& door) : self_(self), door_(door) {}

  void ask(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done);
  void hand_over(Time now, const LeaderView& view);
  void on_answer(Time now, NodeId from, const LeaseAnswer& answer);
  // Runs the callbacks of what has been answered. A look waits until this node has applied what
  // the leader had: the caller may read the lease's keys here. True when there were any.
  bool deliver(Index applied);
  void expire(Time now);
  Time deadline() const;
  void stop();  // refuses all, and all that come later

 private:
  struct Pending {
    LeaseAsk::One what;
    Time deadline;
    LeaseCallback done;
    NodeId taker;           // zero: waits
    uint32_t silences = 0;  // how often it was asked of this leader
    Time again = kNever;    // then it waits again
    bool was_asked = false;
  };
  using Table = std::map<uint64_t, Pending>;

  void wait_again(uint64_t id, Pending& pending);
  void retry_at(uint64_t id, Pending& pending, Time when);
  void answer(Table::iterator place, const LeaseOutcome& outcome, Index after);

  NodeId self_;
  Door& door_;
  uint64_t next_id_ = 1;
  Table pending_;
  std::set<uint64_t> waiting_;
  std::set<std::pair<Time, uint64_t>> again_;
  std::set<std::pair<Time, uint64_t>> deadlines_;
  std::multimap<Index, std::pair<LeaseCallback, LeaseOutcome>> answers_;  // by what to apply first
  LeaderView last_view_;
  Time paused_until_ = Time::min();
  bool stopped_ = false;
};

}  // namespace quorate::node
