#include "world/real/event_loop.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "world/real/lane_thread.h"
#include "world/real/timer_heap.h"

namespace quorate::world {
namespace {

// Ready descriptors collected by one turn. More would only delay timers and tasks.
constexpr int kEventsMax = 256;
// Timers run by one turn, so that timers that set timers cannot starve the sockets.
constexpr int kTimersPerTurnMax = 1024;

class EpollLoop;
thread_local const EpollLoop* loop_of_this_thread = nullptr;

class EpollLoop final : public EventLoop {
 public:
  EpollLoop();
  ~EpollLoop() override;
  EpollLoop(const EpollLoop&) = delete;
  EpollLoop& operator=(const EpollLoop&) = delete;

  Time now() const override;
  int64_t wall_nanoseconds() const override;
  void post(Task task) override;
  TimerId at(Time when, Task task) override { return timers_.add(when, std::move(task)); }
  void cancel(TimerId timer) override { timers_.cancel(timer); }
  void run_blocking(DiskLane lane, Task work, Task done) override;
  void at_turn_end(std::function<void()> hook) override { hooks_.push_back(std::move(hook)); }

  Result<void> watch(int descriptor, bool read, bool write, Handler& handler) override;
  void change(int descriptor, bool read, bool write) override;
  void forget(int descriptor) override;

  void run() override;
  void stop() override;
  uint64_t turns() const override { return turns_; }

 private:
  // The generation tells a registration from an earlier one of the same descriptor, whose
  // events may have been collected already.
  struct Watched {
    Handler* handler = nullptr;
    uint32_t generation = 0;
  };
  void turn();
  int wait_for_events();
  int epoll_wait_until(Time when);
  void dispatch(int count);
  void run_timers();
  void run_tasks();
  void wake();
  epoll_event describe(int descriptor, bool read, bool write) const;

  int epoll_ = -1;
  int wake_ = -1;
  bool precise_wait_ = true;
  std::atomic<bool> stop_requested_{false};
  std::atomic<bool> asleep_{false};
  uint64_t turns_ = 0;
  std::array<epoll_event, kEventsMax> events_{};
  std::vector<Watched> watched_;  // by descriptor
  TimerHeap timers_;
  std::vector<Task> own_tasks_;  // posted by the loop's own thread
  std::vector<Task> running_;
  std::vector<Task> taken_;
  std::deque<std::function<void()>> hooks_;  // does not move them when one registers another
  std::mutex mutex_;
  std::vector<Task> foreign_tasks_;  // posted by other threads; guarded by mutex_
  LaneThread log_lane_{*this};
  LaneThread background_lane_{*this};
};

// Marks the registration of the wake-up descriptor; no other has generation 0.
constexpr uint64_t kWakeTag = 0;

EpollLoop::EpollLoop()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  CHECK(epoll_ >= 0 && wake_ >= 0, "a process can open the two descriptors of its event loop");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &event) == 0, "a new descriptor can be watched");
}

EpollLoop::~EpollLoop() {
  // The lanes post to this loop, so they end first.
  log_lane_.stop();
  background_lane_.stop();
  ::close(wake_);
  ::close(epoll_);
}

Time EpollLoop::now() const {
  timespec time{};
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return Time(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

int64_t EpollLoop::wall_nanoseconds() const {
  timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

void EpollLoop::post(Task task) {
  if (loop_of_this_thread == this) {
    own_tasks_.push_back(std::move(task));
    return;
  }
  {
    const std::scoped_lock lock(mutex_);
    foreign_tasks_.push_back(std::move(task));
  }
  // One write for each sleep: whoever finds the loop asleep wakes it, the others need not. The
  // loop announces its sleep before it looks at the queue under the same mutex.
  if (asleep_.exchange(false)) wake();
}

void EpollLoop::wake() {
  const uint64_t one = 1;
  // A full counter means that a wake-up is pending already.
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
}

void EpollLoop::stop() {
  // Async-signal-safe: a lock-free store and a write.
  static_assert(std::atomic<bool>::is_always_lock_free);
  const int saved = errno;
  stop_requested_.store(true);
  wake();
  errno = saved;
}

void EpollLoop::run_blocking(DiskLane lane, Task work, Task done) {
  LaneThread& thread = lane == DiskLane::log ? log_lane_ : background_lane_;
  thread.add(std::move(work), std::move(done));
}

epoll_event EpollLoop::describe(int descriptor, bool read, bool write) const {
  epoll_event event{};
  event.events = (read ? uint32_t{EPOLLIN} : 0U) | (write ? uint32_t{EPOLLOUT} : 0U);
  const Watched& watched = watched_[static_cast<size_t>(descriptor)];
  event.data.u64 = (uint64_t{watched.generation} << 32U) | static_cast<uint32_t>(descriptor);
  return event;
}

Result<void> EpollLoop::watch(int descriptor, bool read, bool write, Handler& handler) {
  CHECK(descriptor >= 0, "only an open descriptor can be watched");
  const auto position = static_cast<size_t>(descriptor);
  if (watched_.size() <= position) watched_.resize(position + 1);
  CHECK(watched_[position].handler == nullptr, "a descriptor has one handler at a time");
  ++watched_[position].generation;
  epoll_event event = describe(descriptor, read, write);
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) != 0) {
    return fail(ErrorKind::io,
                std::string("cannot watch a descriptor for readiness: ") + std::strerror(errno));
  }
  watched_[position].handler = &handler;
  return {};
}

void EpollLoop::change(int descriptor, bool read, bool write) {
  CHECK(static_cast<size_t>(descriptor) < watched_.size() &&
            watched_[static_cast<size_t>(descriptor)].handler != nullptr,
        "only a watched descriptor can be changed");
  epoll_event event = describe(descriptor, read, write);
  CHECK(::epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event) == 0,
        "a watched descriptor stays open until it is forgotten");
}

void EpollLoop::forget(int descriptor) {
  const auto position = static_cast<size_t>(descriptor);
  if (position >= watched_.size() || watched_[position].handler == nullptr) return;
  watched_[position].handler = nullptr;
  ++watched_[position].generation;
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr);
}

void EpollLoop::run() {
  CHECK(loop_of_this_thread == nullptr, "a thread runs one loop at a time");
  loop_of_this_thread = this;
  while (!stop_requested_.load()) turn();
  stop_requested_.store(false);
  loop_of_this_thread = nullptr;
}

void EpollLoop::turn() {
  ++turns_;
  dispatch(wait_for_events());
  run_timers();
  run_tasks();
  // By position: a hook may register another one.
  for (size_t position = 0; position < hooks_.size(); ++position) hooks_[position]();
}

int EpollLoop::wait_for_events() {
  if (!own_tasks_.empty()) return ::epoll_wait(epoll_, events_.data(), kEventsMax, 0);
  const Time due = timers_.next_due();
  asleep_.store(true);
  bool waiting = false;
  {
    const std::scoped_lock lock(mutex_);
    waiting = !foreign_tasks_.empty();
  }
  const int count = epoll_wait_until(waiting ? Time::min() : due);
  asleep_.store(false);
  return count;
}

int EpollLoop::epoll_wait_until(Time when) {
  if (when == kNever) return ::epoll_wait(epoll_, events_.data(), kEventsMax, -1);
  const Duration left =
      when == Time::min() ? Duration::zero() : std::max(Duration::zero(), when - now());
  if (left == Duration::zero()) return ::epoll_wait(epoll_, events_.data(), kEventsMax, 0);
  if (precise_wait_) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec timeout{.tv_sec = seconds.count(), .tv_nsec = (left - seconds).count()};
    const int count = ::epoll_pwait2(epoll_, events_.data(), kEventsMax, &timeout, nullptr);
    if (count >= 0 || errno != ENOSYS) return count;
    precise_wait_ = false;  // a kernel before 5.11
  }
  // Rounded up, since a turn that wakes before its timer is due would only wait again.
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(left).count();
  const int64_t bounded = std::min<int64_t>(milliseconds, 60'000);
  return ::epoll_wait(epoll_, events_.data(), kEventsMax, static_cast<int>(bounded));
}

void EpollLoop::dispatch(int count) {
  CHECK(count >= 0 || errno == EINTR, "waiting for readiness fails only when interrupted");
  for (int position = 0; position < count; ++position) {
    const epoll_event& event = events_[static_cast<size_t>(position)];
    if (event.data.u64 == kWakeTag) {
      uint64_t drained = 0;
      [[maybe_unused]] const ssize_t size = ::read(wake_, &drained, sizeof drained);
      continue;
    }
    const Watched watched = watched_[event.data.u64 & 0xffffffffU];
    if (watched.handler == nullptr || watched.generation != event.data.u64 >> 32U) continue;
    const uint32_t ready = event.events;
    watched.handler->on_ready((ready & EPOLLIN) != 0, (ready & EPOLLOUT) != 0,
                              (ready & (EPOLLERR | EPOLLHUP)) != 0);
  }
}

void EpollLoop::run_timers() {
  if (timers_.size() == 0) return;
  const Time time = now();
  Task task;
  for (int run = 0; run < kTimersPerTurnMax && timers_.take_due(time, task); ++run) task();
}

void EpollLoop::run_tasks() {
  std::swap(running_, own_tasks_);
  {
    const std::scoped_lock lock(mutex_);
    std::swap(taken_, foreign_tasks_);
  }
  for (Task& task : running_) task();
  running_.clear();
  for (Task& task : taken_) task();
  taken_.clear();
}

}  // namespace

std::unique_ptr<EventLoop> make_event_loop() { return std::make_unique<EpollLoop>(); }

}  // namespace quorate::world
