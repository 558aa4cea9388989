// node/proposals.h: the writes of this node's clients until each has its one answer.
//
// A proposal waits for a leader, is handed over (to the replica here or to the leader's node,
// for exactly one round), and is answered when it is applied here. What may be said otherwise is
// docs/decisions/0008: `refused` only when it surely was not and never will be applied, else
// `unknown`. One that is surely lost is handed over again while its deadline allows.
//
// Invariant: every callback is called exactly once, only from deliver(); a proposal is handed
// over again only when its earlier life is surely over.
#pragma once

#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "consensus/replicated_log.h"
#include "node/leader_view.h"
#include "node/sequence_table.h"
#include "node/service.h"
#include "node/wire.h"

namespace quorate::node {

class Proposals {
 public:
  class Door {
   public:
    virtual ~Door() = default;
    virtual void propose_here(ProposalId id, const Bytes& command) = 0;
    // A change of membership: empty when it was handed to the replica.
    virtual std::optional<ForwardRefusal> change_here(ProposalId id, const Bytes& change) = 0;
    // False: it surely did not leave.
    virtual bool forward(NodeId leader, const Forward& forward) = 0;
  };

  // Numbers [first, end) may be used.
  Proposals(NodeId self, uint64_t first_sequence, uint64_t end_sequence, Door& door);

  // `overloaded`: too much is decided and not applied yet.
  void propose(Bytes command, Time deadline, OutcomeCallback done, bool overloaded);
  void change(const MemberChange& change, Time deadline, OutcomeCallback done);
  // Hands over what waits; `view` must be exact.
  void hand_over(Time now, const LeaderView& view);

  // The replica here did not take it.
  void on_refused(Time now, ProposalId id, consensus::Refusal why);
  void on_forward_refused(Time now, NodeId from, const ForwardRefused& refused);
  // An entry of `round` is about to be applied here (only for protocols that keep ballots):
  // what was handed over for an earlier round and is not seen yet never will be.
  void on_round_applied(uint64_t round);
  // A snapshot replaced entries nobody here has seen: what was handed over may be among them.
  void on_entries_skipped();
  bool waits_for(ProposalId id) const;
  // A change of membership is answered only by on_members_settled(): it is complete once the
  // configuration applied is no longer joint, which is certain to come.
  void on_applied(ProposalId id, Index index, machine::Reply reply);
  void on_members_settled();
  // This node was removed and will not see the entry that did it.
  void on_removed();

  void expire(Time now);
  Time deadline() const;  // next time expire() or hand_over() has something to do
  // Refuses what is new and what never left. What was handed over may still be answered.
  void stop();
  // Answers everything: handed over is unknown.
  void abandon();

  // Runs the callbacks of what has been answered. True when there were any.
  bool deliver();

  size_t pending() const { return pending_.size(); }
  uint64_t failed() const { return failed_; }

 private:
  enum class Stage : uint8_t { waiting, handed_over, certain };
  struct Pending {
    Bytes command;
    bool is_change = false;
    bool was_busy = false;  // another change was under way at the last try
    Index applied;          // certain: where
    Time deadline;
    OutcomeCallback done;
    Stage stage = Stage::waiting;
    bool was_lost = false;     // handed over once, and surely lost
    bool is_doubtful = false;  // may be among entries that were skipped
    uint64_t round = 0;        // handed over for
    NodeId taker;              // handed over to
  };

  Pending* find_own(ProposalId id);
  void add(Pending pending);
  // False: it must wait.
  bool hand_over_one(uint64_t sequence, const LeaderView& view);
  void hand_over_changes(Time now, const LeaderView& view);
  void note_refusal(Time now, uint64_t sequence, ForwardRefusal why);
  void answer(uint64_t sequence, Pending& pending, Outcome outcome);
  void stop_waiting(uint64_t sequence);
  void refuse_at_once(OutcomeCallback done, RefusedWhy why);
  void wait_again(uint64_t sequence, Pending& pending);
  void pause(Time now, bool is_change);

  NodeId self_;
  uint64_t next_sequence_;
  uint64_t end_sequence_;
  Door& door_;
  SequenceTable<Pending> pending_;
  size_t pending_bytes_ = 0;
  // Commands, each part in order of arrival. What waits again was handed over before, in order,
  // and so came before everything that never was.
  std::set<uint64_t> waiting_again_;
  std::deque<uint64_t> waiting_;
  std::set<uint64_t> waiting_changes_;  // apart: a change that must wait holds up no command
  std::set<std::pair<Time, uint64_t>> unordered_deadlines_;
  // Most deadlines grow with time: those stay here, and are dropped when they come to the front.
  std::deque<std::pair<Time, uint64_t>> ordered_deadlines_;
  uint64_t applied_round_ = 0;
  LeaderView last_view_;
  Time paused_until_ = Time::min();
  Time changes_paused_until_ = Time::min();
  size_t certain_ = 0;  // pending ones in that stage
  bool stopping_ = false;
  uint64_t failed_ = 0;
  std::vector<std::pair<OutcomeCallback, Outcome>> answers_;
};

}  // namespace quorate::node
