#include "world/sim/sim_executor.h"

#include <utility>

#include "base/check.h"

namespace quorate::world {
namespace {

constexpr int64_t kMillion = 1'000'000;
// The wall clock of a simulated world begins at an arbitrary moment of the year 2024.
constexpr int64_t kWallStart = 1'704'067'200LL * 1'000'000'000;

enum class Step : uint64_t { turn = 1, timer, lane };

}  // namespace

SimExecutor::SimExecutor(World& world, NodeId node, const SimNodeOptions& options, Rng rng)
    : world_(world),
      node_(node),
      rng_(rng),
      turn_delay_(options.turn),
      drift_per_million_(options.clock_drift_per_million),
      clock_base_world_(world.now),
      clock_base_local_(world.now + options.clock_offset) {
  CHECK(drift_per_million_ >= kFrozenClock, "a clock does not run backwards");
  Lane& log = lanes_[static_cast<size_t>(DiskLane::log)];
  log.stage = Stage::log_lane;
  log.delay = options.log_lane;
  Lane& background = lanes_[static_cast<size_t>(DiskLane::background)];
  background.stage = Stage::background_lane;
  background.delay = options.background_lane;
}

// Actions of an earlier life of the node find that it is over.
template <class Action>
void SimExecutor::schedule(Time when, Action action) {
  world_.queue.add(when, [this, life = life_, action = std::move(action)]() mutable {
    if (life == life_ && running_) action();
  });
}

Time SimExecutor::local(Time world_time) const {
  const int64_t passed = (world_time - clock_base_world_).count();
  // Split so that the product stays within 64 bits for every simulated century.
  const int64_t gained =
      passed / kMillion * drift_per_million_ + passed % kMillion * drift_per_million_ / kMillion;
  return clock_base_local_ + Duration(passed + gained);
}

// The first instant at which the node's clock shows at least `local_time`.
Time SimExecutor::world_time_of(Time local_time) const {
  const int64_t speed = kMillion + drift_per_million_;
  const int64_t wanted = (local_time - clock_base_local_).count();
  if (wanted <= 0) return world_.now;
  if (speed == 0) return kNever;
  Time guess =
      clock_base_world_ + Duration(wanted / speed * kMillion + wanted % speed * kMillion / speed);
  while (local(guess) < local_time) guess += Duration(1);
  return std::max(guess, world_.now);
}

int64_t SimExecutor::wall_nanoseconds() const {
  if (wall_frozen_at_) return *wall_frozen_at_;
  return kWallStart + now().time_since_epoch().count() + wall_offset_.count();
}

void SimExecutor::freeze_wall(bool frozen) {
  if (!frozen) {
    wall_frozen_at_.reset();
  } else if (!wall_frozen_at_) {
    wall_frozen_at_ = wall_nanoseconds();
  }
}

void SimExecutor::set_clock(int64_t drift_per_million, Duration step) {
  CHECK(drift_per_million >= kFrozenClock && step >= Duration::zero(),
        "a monotonic clock only runs ahead");
  clock_base_local_ = now() + step;
  clock_base_world_ = world_.now;
  drift_per_million_ = drift_per_million;
  for (auto& [id, timer] : timers_) schedule_timer(id, timer);
}

void SimExecutor::set_lane_delay(DiskLane lane, DelayRange delay) {
  lanes_[static_cast<size_t>(lane)].delay = delay;
}

void SimExecutor::post(Task task) { make_ready({.task = std::move(task)}); }

void SimExecutor::make_ready(ReadyItem item) {
  if (!running_) return;
  ready_.push_back(std::move(item));
  schedule_turn();
}

void SimExecutor::schedule_turn() {
  if (turn_scheduled_ || stands(Stage::turn) || ready_.empty()) return;
  turn_scheduled_ = true;
  schedule(world_.now + turn_delay_.draw(rng_), [this] { turn(); });
}

void SimExecutor::turn() {
  turn_scheduled_ = false;
  if (stands(Stage::turn)) return;
  std::vector<ReadyItem> batch = std::exchange(ready_, {});
  world_.trace.mix(static_cast<uint64_t>(Step::turn));
  world_.trace.mix(node_.value);
  world_.trace.mix(batch.size());
  for (ReadyItem& item : batch) {
    if (item.timer == 0) {
      item.task();
    } else if (auto timer = timers_.extract(item.timer); !timer.empty()) {
      timer.mapped().task();
    }
  }
  // By position: a hook may register another one.
  for (size_t position = 0; position < hooks_.size(); ++position) hooks_[position]();
  schedule_turn();
}

TimerId SimExecutor::at(Time when, Task task) {
  const TimerId id = next_timer_++;
  if (!running_) return id;
  Timer& timer = timers_[id];
  timer.when = when;
  timer.task = std::move(task);
  schedule_timer(id, timer);
  return id;
}

void SimExecutor::schedule_timer(TimerId id, Timer& timer) {
  timer.event = next_timer_event_++;
  if (timer.when == kNever) return;
  const Time when = world_time_of(timer.when);
  if (when == kNever) return;  // until the clock runs again
  schedule(when, [this, id, event = timer.event] { timer_due(id, event); });
}

void SimExecutor::timer_due(TimerId id, uint64_t event) {
  const auto found = timers_.find(id);
  if (found == timers_.end() || found->second.event != event) return;
  world_.trace.mix(static_cast<uint64_t>(Step::timer));
  world_.trace.mix(id);
  make_ready({.task = nullptr, .timer = id});
}

void SimExecutor::cancel(TimerId timer) {
  // Destroyed outside the map: what the task captured may call back here.
  const auto dropped = timers_.extract(timer);
}

void SimExecutor::run_blocking(DiskLane lane_name, Task work, Task done) {
  if (!running_) return;
  Lane& lane = lanes_[static_cast<size_t>(lane_name)];
  lane.jobs.push_back({std::move(work), std::move(done)});
  schedule_lane(lane);
}

void SimExecutor::schedule_lane(Lane& lane) {
  if (lane.scheduled || stands(lane.stage) || lane.jobs.empty()) return;
  lane.scheduled = true;
  schedule(world_.now + lane.delay.draw(rng_), [this, &lane] { lane_due(lane); });
}

void SimExecutor::lane_due(Lane& lane) {
  lane.scheduled = false;
  if (paused_) return;
  world_.trace.mix(static_cast<uint64_t>(Step::lane));
  world_.trace.mix(node_.value);
  if (held(lane.stage)) {
    // The device hangs in the middle of a job, before or after the deed.
    if (lane.first_done || rng_.below(2) == 0) return;
    lane.first_done = true;
    Task work = std::move(lane.jobs.front().work);
    work();
    return;
  }
  Job job = std::move(lane.jobs.front());
  lane.jobs.pop_front();
  if (!std::exchange(lane.first_done, false)) job.work();
  // A later event, so that a crash can come between the sync and the knowledge of it.
  post(std::move(job.done));
  schedule_lane(lane);
}

void SimExecutor::hold(Stage stage) { held_[static_cast<size_t>(stage)] = true; }

void SimExecutor::release(Stage stage) {
  held_[static_cast<size_t>(stage)] = false;
  schedule_turn();
  for (Lane& lane : lanes_) schedule_lane(lane);
}

void SimExecutor::at_turn_end(std::function<void()> hook) {
  if (running_) hooks_.push_back(std::move(hook));
}

void SimExecutor::start() {
  CHECK(!running_, "only a crashed node is started again");
  running_ = true;
  paused_ = false;
  held_ = {};
}

void SimExecutor::crash() {
  running_ = false;
  ++life_;
  turn_scheduled_ = false;
  // What the tasks captured may call back here while it is destroyed.
  const auto ready = std::exchange(ready_, {});
  const auto timers = std::exchange(timers_, {});
  const auto hooks = std::exchange(hooks_, {});
  for (Lane& lane : lanes_) {
    lane.scheduled = false;
    lane.first_done = false;
    const auto jobs = std::exchange(lane.jobs, {});
  }
}

void SimExecutor::resume() {
  paused_ = false;
  schedule_turn();
  for (Lane& lane : lanes_) schedule_lane(lane);
}

}  // namespace quorate::world
