// world/sim/sim_executor.h: the executor of one simulated node: turns, timers, disk lanes.
//
// What becomes ready gathers until the node's next turn, a little later, as in the real loop;
// a turn is one event of the world and runs whole. The node's clock may drift and be off; a
// paused node takes no turn and its lanes stand still; a crashed one has forgotten everything
// and ignores what is asked of it until it is started again.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "base/rng.h"
#include "world/executor.h"
#include "world/sim/event_queue.h"
#include "world/sim/trace_hash.h"

namespace quorate::world {

struct DelayRange {
  Duration low{};
  Duration high{};
  Duration draw(Rng& rng) const {
    return Duration(
        rng.between(static_cast<uint64_t>(low.count()), static_cast<uint64_t>(high.count())));
  }
};

// What of a node may stand still while the rest goes on.
enum class Stage : uint8_t { turn, log_lane, background_lane };
inline constexpr size_t kStages = 3;
// As a drift: the clock stands still.
inline constexpr int64_t kFrozenClock = -1'000'000;

struct SimNodeOptions {
  // From something becoming ready to the turn that handles it.
  DelayRange turn{std::chrono::microseconds(1), std::chrono::microseconds(20)};
  // One job of a disk lane, its syncs included.
  DelayRange log_lane{std::chrono::microseconds(50), std::chrono::microseconds(500)};
  DelayRange background_lane{std::chrono::microseconds(100), std::chrono::milliseconds(5)};
  int64_t clock_drift_per_million = 0;  // positive: this node's clock runs fast
  Duration clock_offset{};              // of its monotonic clock against the world's
};

class SimExecutor final : public Executor {
 public:
  // What every node shares.
  struct World {
    Time now;
    EventQueue& queue;
    TraceHash& trace;
  };
  SimExecutor(World& world, NodeId node, const SimNodeOptions& options, Rng rng);

  Time now() const override { return local(world_.now); }
  int64_t wall_nanoseconds() const override;
  void post(Task task) override;
  TimerId at(Time when, Task task) override;
  void cancel(TimerId timer) override;
  void run_blocking(DiskLane lane, Task work, Task done) override;
  void at_turn_end(std::function<void()> hook) override;

  // ---- For the world.
  void start();
  void crash();
  void pause() { paused_ = true; }
  void resume();
  bool running() const { return running_; }
  bool paused() const { return paused_; }
  // One stage alone. A job that a lane is at is done or not when the lane goes on, and its end is
  // not heard of before that.
  void hold(Stage stage);
  void release(Stage stage);
  bool held(Stage stage) const { return held_[static_cast<size_t>(stage)]; }
  // The clock goes on from where it is, at another speed; `step` moves it ahead at once.
  void set_clock(int64_t drift_per_million, Duration step);
  // The wall clock jumps, either way, and may stand still.
  void step_wall(Duration step) { wall_offset_ += step; }
  void freeze_wall(bool frozen);
  void set_turn_delay(DelayRange delay) { turn_delay_ = delay; }
  void set_lane_delay(DiskLane lane, DelayRange delay);
  size_t jobs_waiting(DiskLane lane) const { return lanes_[static_cast<size_t>(lane)].jobs.size(); }

 private:
  struct Timer {
    Time when;  // by the node's clock
    uint64_t event = 0;
    Task task;
  };
  struct ReadyItem {  // a task, or a timer that may be cancelled before its turn comes
    Task task;
    TimerId timer = 0;
  };
  struct Job {
    Task work;
    Task done;
  };
  struct Lane {
    Stage stage = Stage::log_lane;
    DelayRange delay;
    std::deque<Job> jobs;
    bool scheduled = false;
    bool first_done = false;  // the work of the first job, while the lane is held
  };
  template <class Action>
  void schedule(Time when, Action action);
  Time local(Time world_time) const;
  Time world_time_of(Time local_time) const;
  void make_ready(ReadyItem item);
  bool stands(Stage stage) const { return paused_ || held(stage); }
  void schedule_turn();
  void turn();
  void schedule_timer(TimerId id, Timer& timer);
  void timer_due(TimerId id, uint64_t event);
  void schedule_lane(Lane& lane);
  void lane_due(Lane& lane);

  World& world_;
  const NodeId node_;
  Rng rng_;
  DelayRange turn_delay_;
  int64_t drift_per_million_;
  Time clock_base_world_;
  Time clock_base_local_;
  Duration wall_offset_{};
  std::optional<int64_t> wall_frozen_at_;
  std::array<bool, kStages> held_{};
  bool running_ = true;
  bool paused_ = false;
  bool turn_scheduled_ = false;
  uint64_t life_ = 1;  // events of an earlier one are void
  TimerId next_timer_ = 1;
  uint64_t next_timer_event_ = 1;
  std::vector<ReadyItem> ready_;
  std::map<TimerId, Timer> timers_;
  std::array<Lane, 2> lanes_;
  std::deque<std::function<void()>> hooks_;
};

}  // namespace quorate::world
