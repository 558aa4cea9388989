// node/read_gate.h: linearizable reads: a read waits for a round that began after it came, and
// then until this node has applied what that round found decided.
//
// All reads of one turn share one round; while rounds are under way the next ones gather. On a
// follower the leader is asked once for each round. Invariant: a read is released only by a
// round opened after it arrived, and only when `applied` has reached that round's index.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "node/leader_view.h"
#include "node/service.h"

namespace quorate::node {

class ReadGate {
 public:
  class Door {
   public:
    virtual ~Door() = default;
    virtual void barrier_here(ReadId id) = 0;
    virtual bool ask_leader(NodeId leader, ReadId id) = 0;  // false: it did not leave
    virtual void answer_peer(NodeId peer, ReadId theirs, std::optional<Index> index) = 0;
  };

  explicit ReadGate(Door& door) : door_(door) {}

  void read(Time deadline, BarrierCallback done);
  void on_peer_asks(NodeId peer, ReadId theirs);
  void open_rounds(Time now, const LeaderView& view);

  void on_ready(ReadId id, Index index);  // from the replica here
  void on_refused(Time now, ReadId id);
  void on_leader_answer(Time now, NodeId from, ReadId id, std::optional<Index> index);

  // Runs the callbacks of reads whose index is applied, and of refused ones. True if any ran.
  bool release(Index applied);
  void expire(Time now);
  Time deadline() const;
  void stop(RefusedWhy why);  // refuses all, and all that come later

  size_t waiting() const { return waiting_; }
  uint64_t failed() const { return failed_; }
  uint64_t asked_again() const { return asked_again_; }  // rounds without an answer for long

 private:
  struct Waiter {
    Time deadline;
    BarrierCallback done;
  };
  struct PeerWaiter {
    NodeId peer;
    ReadId theirs;
  };
  struct Batch {
    std::vector<Waiter> waiters;
    std::vector<PeerWaiter> peers;
    Time earliest = kNever;
    bool asked = false;  // a leader was asked at least once
    bool empty() const { return waiters.empty() && peers.empty(); }
  };
  struct Round {
    std::vector<ReadId> ids;  // each asked after the whole batch had come; the last is the newest
    LeaderView view;          // whom it was asked
    Time ask_again;           // kNever when the replica here was asked: it forgets nothing
    Batch batch;
  };

  bool open_one(Time now, const LeaderView& view);
  void ask_again(Time now, Round& round);
  std::vector<Round>::iterator find_round(ReadId id);
  std::optional<Round> take_round(ReadId id);
  void land(Batch batch, Index index);
  void gather_again(Batch batch);
  void expire_batch(Batch& batch, Time now);
  void refuse_peers(Batch& batch);
  void refuse(Waiter& waiter, RefusedWhy why);

  Door& door_;
  uint64_t next_id_ = 1;
  Batch gathering_;
  std::vector<Round> rounds_;           // at most kReadRoundsMax
  std::multimap<Index, Batch> landed_;  // waiting for `applied`
  size_t waiting_ = 0;
  uint64_t failed_ = 0;
  uint64_t asked_again_ = 0;
  LeaderView last_view_;
  Time paused_until_ = Time::min();
  std::optional<RefusedWhy> stopped_;
  std::vector<std::pair<BarrierCallback, RefusedWhy>> refused_;
};

}  // namespace quorate::node
