// node/shard.h: one thread's loop over all its groups.
//
// During a turn events reach the groups; at its end each group with work is drained, what they
// appended goes to the log as one batch, once what they send has left, and one timer is set for
// the nearest deadline. A group that has more to do than fits into a turn gets another one, after
// whatever else is waiting.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "node/group.h"
#include "node/lifeline.h"
#include "storage/wal/wal.h"
#include "world/executor.h"

namespace quorate::node {

class Shard {
 public:
  Shard(world::Executor& executor, storage::Wal& wal);

  // `after_drain` runs at the end of each turn that had work; it answers its own next deadline.
  void set_after_drain(std::function<Time(Time now)> after_drain);
  void add(GroupId group, std::unique_ptr<Group> member);
  Group* find(GroupId group);
  void on_durable(GroupId group, WriteId write);
  // Work came in a turn that may have been drained already.
  void ask_for_turn();
  // Work came; this turn's end will see it.
  void work_came();
  // Starts writing what the groups appended in this turn. Called once what they send has left: an
  // entry needs another member's disk to be committed, so their way begins first.
  void flush_log();
  void stop() { stopped_ = true; }

 private:
  void turn_end();
  void arm();
  void on_timer();

  world::Executor& executor_;
  storage::Wal& wal_;
  std::map<GroupId, std::unique_ptr<Group>> groups_;
  std::function<Time(Time)> after_drain_;
  Time owner_deadline_ = kNever;
  Time armed_at_ = kNever;
  world::TimerId timer_ = 0;
  bool turn_asked_ = false;
  bool dirty_ = false;
  bool stopped_ = false;
  bool appended_ = false;
  Lifeline lifeline_;
};

}  // namespace quorate::node
