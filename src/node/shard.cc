#include "node/shard.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::node {

Shard::Shard(world::Executor& executor, storage::Wal& wal) : executor_(executor), wal_(wal) {
  executor_.at_turn_end(lifeline_.guard([this] { turn_end(); }));
}

void Shard::set_after_drain(std::function<Time(Time)> after_drain) {
  after_drain_ = std::move(after_drain);
}

void Shard::add(GroupId group, std::unique_ptr<Group> member) {
  CHECK(!groups_.contains(group), "a group is added once");
  groups_.emplace(group, std::move(member));
}

Group* Shard::find(GroupId group) {
  const auto place = groups_.find(group);
  return place == groups_.end() ? nullptr : place->second.get();
}

void Shard::on_durable(GroupId group, WriteId write) {
  if (Group* member = find(group)) member->on_durable(write);
}

void Shard::work_came() { dirty_ = true; }

void Shard::ask_for_turn() {
  dirty_ = true;
  if (std::exchange(turn_asked_, true)) return;
  executor_.post([] {});
}

void Shard::turn_end() {
  if (!dirty_ || stopped_) return;
  dirty_ = false;
  turn_asked_ = false;
  const Time now = executor_.now();
  bool more = false;
  for (auto& [id, group] : groups_) {
    more |= group->drain(now);
    appended_ |= group->appended();
  }
  if (after_drain_) owner_deadline_ = after_drain_(now);
  if (stopped_) return;
  dirty_ = false;  // whatever set it since was drained, or is in `more`
  arm();
  if (more) ask_for_turn();
}

void Shard::flush_log() {
  if (std::exchange(appended_, false)) wal_.flush();
}

void Shard::arm() {
  Time next = owner_deadline_;
  for (const auto& [id, group] : groups_) next = std::min(next, group->deadline());
  // A deadline that moved away is left to fire for nothing once: deadlines move with every
  // message, and setting a timer each time would cost more.
  if (next >= armed_at_) return;
  if (timer_ != 0) executor_.cancel(timer_);
  armed_at_ = next;
  timer_ = executor_.at(next, lifeline_.guard([this] { on_timer(); }));
}

void Shard::on_timer() {
  timer_ = 0;
  armed_at_ = kNever;
  if (stopped_) return;
  const Time now = executor_.now();
  for (auto& [id, group] : groups_) {
    if (group->deadline() <= now) group->on_time(now);
  }
  work_came();
}

}  // namespace quorate::node
