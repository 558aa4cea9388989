#include "world/real/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "world/real/timer_heap.h"

namespace quorate::world {
namespace {

using std::chrono::milliseconds;

TEST(TimerHeap, FiresInOrderAndForgetsWhatIsCancelled) {
  TimerHeap heap;
  std::vector<int> fired;
  const auto add = [&](int when, int name) {
    return heap.add(Time(milliseconds(when)), [&fired, name] { fired.push_back(name); });
  };
  add(30, 1);
  const TimerId cancelled = add(10, 2);
  add(20, 3);
  add(20, 4);
  heap.cancel(cancelled);
  heap.cancel(cancelled);
  heap.cancel(0);
  Task task;
  EXPECT_EQ(heap.next_due(), Time(milliseconds(20)));
  EXPECT_FALSE(heap.take_due(Time(milliseconds(19)), task));
  while (heap.take_due(Time(milliseconds(30)), task)) task();
  EXPECT_EQ(fired, (std::vector<int>{3, 4, 1}));
  EXPECT_EQ(heap.next_due(), kNever);
  // A slot used again has another id: the old one cancels nothing.
  add(40, 5);
  heap.cancel(cancelled);
  EXPECT_EQ(heap.size(), 1U);
}

TEST(TimerHeap, KeepsTheLiveOnesThroughManyCancellations) {
  TimerHeap heap;
  int fired = 0;
  for (int round = 0; round < 10'000; ++round) {
    heap.cancel(heap.add(Time(milliseconds(round)), [] { FAIL() << "cancelled"; }));
    if (round % 100 == 0) heap.add(Time(milliseconds(round)), [&fired] { ++fired; });
  }
  Task task;
  while (heap.take_due(kNever - milliseconds(1), task)) task();
  EXPECT_EQ(fired, 100);
}

TEST(EventLoop, RunsTimersInOrderAndNeverEarly) {
  const auto loop = make_event_loop();
  std::vector<int> fired;
  const Time start = loop->now();
  loop->at(start + milliseconds(20), [&] {
    fired.push_back(2);
    EXPECT_GE(loop->now() - start, milliseconds(20));
    loop->stop();
  });
  loop->at(start + milliseconds(5), [&] { fired.push_back(1); });
  const TimerId never = loop->at(start + milliseconds(10), [&] { fired.push_back(9); });
  loop->cancel(never);
  loop->run();
  EXPECT_EQ(fired, (std::vector<int>{1, 2}));
  EXPECT_LT(loop->now() - start, std::chrono::seconds(5));
}

TEST(EventLoop, TakesTasksFromManyThreadsEachInItsOrder) {
  const auto loop = make_event_loop();
  constexpr int kThreads = 4;
  constexpr int kTasks = 20'000;
  std::array<int, kThreads> next{};
  int left = kThreads * kTasks;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int task = 0; task < kTasks; ++task) {
        loop->post([&, thread, task] {
          EXPECT_EQ(next[static_cast<size_t>(thread)]++, task);
          if (--left == 0) loop->stop();
        });
        // Gaps let the loop fall asleep, so that wake-ups are tested too.
        if (task % 5'000 == 0) std::this_thread::sleep_for(milliseconds(2));
      }
    });
  }
  loop->run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(left, 0);
}

TEST(EventLoop, HooksEndTheTurnAndTheirTasksRunAtOnce) {
  const auto loop = make_event_loop();
  std::string order;
  int hook_calls = 0;
  loop->at_turn_end([&] {
    order += 'h';
    if (++hook_calls == 1) {
      loop->post([&] {
        order += 'c';
        loop->stop();
      });
    }
  });
  loop->post([&] { order += 'a'; });
  loop->post([&] { order += 'b'; });
  loop->run();
  EXPECT_EQ(order, "abhch");
  EXPECT_EQ(loop->turns(), 2U);
}

TEST(EventLoop, LanesKeepTheirOrderAndReportBack) {
  const auto loop = make_event_loop();
  std::vector<int> worked;
  std::vector<int> done;
  std::atomic<bool> background_waits{true};
  const std::thread::id here = std::this_thread::get_id();
  bool background_done = false;
  loop->run_blocking(
      DiskLane::background,
      [&] {
        while (background_waits) std::this_thread::sleep_for(milliseconds(1));
      },
      [&] {
        background_done = true;
        loop->stop();
      });
  for (int job = 0; job < 100; ++job) {
    loop->run_blocking(
        DiskLane::log,
        [&, job] {
          EXPECT_NE(std::this_thread::get_id(), here);
          worked.push_back(job);
        },
        [&, job] {
          EXPECT_EQ(std::this_thread::get_id(), here);
          done.push_back(job);
          // The log lane finished although the other one is stuck.
          if (job == 99) {
            EXPECT_FALSE(background_done);
            background_waits = false;
          }
        });
  }
  loop->run();
  EXPECT_TRUE(background_done);
  ASSERT_EQ(done.size(), 100U);
  EXPECT_EQ(worked, done);
  EXPECT_TRUE(std::ranges::is_sorted(done));
}

EventLoop* loop_to_stop = nullptr;

TEST(EventLoop, StopsFromASignalHandler) {
  const auto loop = make_event_loop();
  loop_to_stop = loop.get();
  const auto previous = std::signal(SIGUSR1, [](int) { loop_to_stop->stop(); });
  const pthread_t here = ::pthread_self();
  std::thread other([here] {
    std::this_thread::sleep_for(milliseconds(20));
    ::pthread_kill(here, SIGUSR1);
  });
  loop->run();
  other.join();
  std::signal(SIGUSR1, previous);
}

struct Pair {
  Pair() { EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0); }
  ~Pair() {
    for (const int end : ends) ::close(end);
  }
  std::array<int, 2> ends{};
};

struct Recorder : Poller::Handler {
  void on_ready(bool readable, bool writable, bool broken) override {
    ++calls;
    if (action) action(readable, writable, broken);
  }
  int calls = 0;
  std::function<void(bool, bool, bool)> action;
};

TEST(EventLoop, ReportsReadinessUntilForgotten) {
  const auto loop = make_event_loop();
  const Pair pair;
  Recorder recorder;
  ASSERT_TRUE(loop->watch(pair.ends[0], true, true, recorder).has_value());
  bool saw_write_only = false;
  recorder.action = [&](bool readable, bool writable, bool) {
    if (writable) {
      saw_write_only = !readable;
      loop->change(pair.ends[0], true, false);
      ASSERT_EQ(::write(pair.ends[1], "x", 1), 1);
      return;
    }
    EXPECT_TRUE(readable);
    loop->forget(pair.ends[0]);
    loop->at(loop->now() + milliseconds(5), [&] { loop->stop(); });
  };
  loop->run();
  EXPECT_TRUE(saw_write_only);
  EXPECT_EQ(recorder.calls, 2);  // still readable, but nobody asks
}

TEST(EventLoop, ForgettingDuringACallbackSilencesEventsAlreadyCollected) {
  const auto loop = make_event_loop();
  const Pair one;
  const Pair two;
  Recorder first;
  Recorder second;
  Recorder successor;
  ASSERT_TRUE(loop->watch(one.ends[0], true, false, first).has_value());
  ASSERT_TRUE(loop->watch(two.ends[0], true, false, second).has_value());
  ASSERT_EQ(::write(one.ends[1], "x", 1), 1);
  ASSERT_EQ(::write(two.ends[1], "x", 1), 1);
  // Whichever comes first silences the other and puts a new handler on the same descriptor.
  const auto silence = [&](int own, int other) {
    loop->forget(own);
    loop->forget(other);
    ASSERT_TRUE(loop->watch(other, true, false, successor).has_value());
    loop->stop();
  };
  first.action = [&](bool, bool, bool) { silence(one.ends[0], two.ends[0]); };
  second.action = [&](bool, bool, bool) { silence(two.ends[0], one.ends[0]); };
  loop->run();
  EXPECT_EQ(first.calls + second.calls, 1);
  EXPECT_EQ(successor.calls, 0);  // its own event comes in the next turn only
}

TEST(EventLoop, TellsThatThePeerIsGone) {
  const auto loop = make_event_loop();
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()), 0);
  Recorder recorder;
  ASSERT_TRUE(loop->watch(ends[0], false, false, recorder).has_value());
  bool broken_seen = false;
  recorder.action = [&](bool, bool, bool broken) {
    broken_seen = broken;
    loop->forget(ends[0]);
    loop->stop();
  };
  ::close(ends[1]);
  loop->run();
  EXPECT_TRUE(broken_seen);
  ::close(ends[0]);
}

}  // namespace
}  // namespace quorate::world
