#include "world/sim/sim_world.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace quorate::world {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr NodeId kOne{1};
constexpr NodeId kTwo{2};
constexpr NodeId kThree{3};

struct Recorder : Network::Receiver {
  void on_connected(NodeId peer) override { events += "+" + std::to_string(peer.value); }
  void on_disconnected(NodeId peer) override { events += "-" + std::to_string(peer.value); }
  void on_frame(NodeId peer, Bytes frame) override {
    frames.push_back(frame.str());
    if (action) action(peer, frame);
  }
  void on_bulk_sent(NodeId) override { ++bulk_sent; }
  std::string events;
  std::vector<std::string> frames;
  int bulk_sent = 0;
  std::function<void(NodeId, const Bytes&)> action;
};

void introduce(SimWorld& world, const std::vector<std::pair<NodeId, Recorder*>>& members) {
  for (const auto& [node, recorder] : members) {
    for (const auto& [other, ignored] : members) {
      if (other != node) world.network(node).set_peer(other, {});
    }
    world.network(node).start(*recorder);
  }
}

struct Two {
  explicit Two(uint64_t seed) : world(seed) {
    world.add_node(kOne);
    world.add_node(kTwo);
    introduce(world, {{kOne, &one}, {kTwo, &two}});
    world.run_for(milliseconds(200));
  }
  Recorder one;
  Recorder two;
  SimWorld world;
};

Bytes text(int number) { return Bytes(std::to_string(number)); }

TEST(SimExecutor, TimersFireInTimeUnlessCancelled) {
  SimWorld world(3);
  world.add_node(kOne);
  SimExecutor& executor = world.executor(kOne);
  std::string order;
  const Time start = executor.now();
  executor.at(start + milliseconds(2), [&] { order += 'b'; });
  executor.at(start + milliseconds(1), [&] {
    order += 'a';
    EXPECT_GE(executor.now(), start + milliseconds(1));
    EXPECT_LE(executor.now(), start + milliseconds(1) + microseconds(30));
  });
  const TimerId cancelled = executor.at(start + milliseconds(1), [&] { order += 'x'; });
  executor.cancel(cancelled);
  executor.at(kNever, [&] { order += 'n'; });
  world.run_for(seconds(1));
  EXPECT_EQ(order, "ab");
  EXPECT_FALSE(world.step()) << "nothing polls";
}

TEST(SimExecutor, ATurnRunsTasksInOrderThenTheHooks) {
  SimWorld world(3);
  world.add_node(kOne);
  SimExecutor& executor = world.executor(kOne);
  std::string order;
  executor.at_turn_end([&] { order += '|'; });
  executor.post([&] {
    order += 'a';
    executor.post([&] { order += 'c'; });
  });
  executor.post([&] { order += 'b'; });
  world.run_for(milliseconds(1));
  EXPECT_EQ(order, "ab|c|");
}

TEST(SimExecutor, ClocksDriftAndTimersFollowThem) {
  SimWorld world(3);
  world.add_node(kOne, {.clock_drift_per_million = 100'000});  // a tenth fast
  world.add_node(kTwo, {.clock_drift_per_million = -100'000, .clock_offset = seconds(5)});
  const Time beginning = world.now();
  Time fast;
  Time slow;
  const Time one = world.executor(kOne).now();
  const Time two = world.executor(kTwo).now();
  EXPECT_EQ(two - one, seconds(5));
  world.executor(kOne).at(one + milliseconds(1100), [&] { fast = world.now(); });
  world.executor(kTwo).at(two + milliseconds(900), [&] { slow = world.now(); });
  world.run_for(seconds(2));
  EXPECT_GE(fast - beginning, seconds(1));
  EXPECT_LE(fast - beginning, seconds(1) + milliseconds(1));
  EXPECT_GE(slow - beginning, seconds(1));
  EXPECT_LE(slow - beginning, seconds(1) + milliseconds(1));
  // A step brings forward what is due, and the clock stays monotonic.
  bool fired = false;
  const Time before = world.executor(kOne).now();
  world.executor(kOne).at(before + seconds(10), [&] { fired = true; });
  world.executor(kOne).set_clock(0, seconds(10));
  EXPECT_EQ(world.executor(kOne).now(), before + seconds(10));
  world.run_for(milliseconds(1));
  EXPECT_TRUE(fired);
}

TEST(SimExecutor, LanesRunInOrderAndCrashesForget) {
  SimWorld world(4);
  world.add_node(kOne);
  SimExecutor& executor = world.executor(kOne);
  std::string order;
  for (const char job : {'a', 'b', 'c'}) {
    executor.run_blocking(
        DiskLane::log, [&order, job] { order += job; },
        [&order, job] { order += static_cast<char>(job - 'a' + 'A'); });
  }
  world.run_for(milliseconds(10));
  std::string works = order;
  std::erase_if(works, [](char c) { return c < 'a'; });
  EXPECT_EQ(works, "abc");
  EXPECT_EQ(order.size(), 6U);
  EXPECT_LT(order.find('a'), order.find('A'));
  executor.post([&] { order = "wrong"; });
  executor.at(executor.now() + milliseconds(1), [&] { order = "wrong"; });
  executor.run_blocking(DiskLane::log, [&] { order = "wrong"; }, [&] { order = "wrong"; });
  executor.at_turn_end([&] { order = "wrong"; });
  world.crash(kOne);
  executor.post([&] { order = "wrong"; });
  world.run_for(seconds(1));
  EXPECT_EQ(order.size(), 6U);
  world.restart(kOne);
  executor.post([&] { order = "again"; });
  world.run_for(milliseconds(1));
  EXPECT_EQ(order, "again");
}

TEST(SimExecutor, APausedNodeStandsStillAndGoesOn) {
  SimWorld world(4);
  world.add_node(kOne);
  SimExecutor& executor = world.executor(kOne);
  int done = 0;
  executor.at(executor.now() + milliseconds(5), [&] { ++done; });
  executor.run_blocking(DiskLane::log, [] {}, [&] { ++done; });
  executor.post([&] { ++done; });
  world.pause(kOne);
  world.run_for(seconds(1));
  EXPECT_EQ(done, 0);
  world.resume(kOne);
  world.run_for(milliseconds(1));
  EXPECT_EQ(done, 3);
}

TEST(SimExecutor, StagesStandStillOneByOne) {
  SimWorld world(4);
  world.add_node(kOne);
  SimExecutor& executor = world.executor(kOne);
  int works = 0;
  int ends = 0;
  executor.hold(Stage::log_lane);
  executor.run_blocking(DiskLane::log, [&] { ++works; }, [&] { ++ends; });
  executor.run_blocking(DiskLane::background, [&] { works += 10; }, [&] { ends += 10; });
  world.run_for(seconds(1));
  EXPECT_EQ(works, 10);
  EXPECT_EQ(ends, 10);
  executor.release(Stage::log_lane);
  world.run_for(seconds(1));
  EXPECT_EQ(works, 11);
  EXPECT_EQ(ends, 11);
  executor.hold(Stage::turn);
  executor.run_blocking(DiskLane::log, [&] { ++works; }, [&] { ++ends; });
  world.run_for(seconds(1));
  EXPECT_EQ(works, 12);
  EXPECT_EQ(ends, 11);
  executor.release(Stage::turn);
  world.run_for(seconds(1));
  EXPECT_EQ(ends, 12);
}

// A hung device: the job under way may be done although its end is not heard of.
TEST(SimExecutor, AJobUnderWayIsDoneOnceWhateverHangs) {
  int done_early = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    SimWorld world(seed);
    world.add_node(kOne);
    SimExecutor& executor = world.executor(kOne);
    int works = 0;
    int ends = 0;
    executor.run_blocking(DiskLane::log, [&] { ++works; }, [&] { ++ends; });
    executor.hold(Stage::log_lane);
    world.run_for(seconds(1));
    done_early += works;
    EXPECT_EQ(ends, 0);
    executor.release(Stage::log_lane);
    world.run_for(seconds(1));
    EXPECT_EQ(works, 1);
    EXPECT_EQ(ends, 1);
  }
  EXPECT_GT(done_early, 10);
  EXPECT_LT(done_early, 40);
}

TEST(SimExecutor, ClocksStandStillAndJump) {
  SimWorld world(4);
  world.add_node(kOne);
  SimExecutor& executor = world.executor(kOne);
  bool fired = false;
  executor.at(executor.now() + milliseconds(5), [&] { fired = true; });
  const Time frozen = executor.now();
  executor.set_clock(kFrozenClock, {});
  world.run_for(seconds(1));
  EXPECT_EQ(executor.now(), frozen);
  EXPECT_FALSE(fired);
  executor.set_clock(0, {});
  world.run_for(milliseconds(6));
  EXPECT_TRUE(fired);
  const int64_t wall = executor.wall_nanoseconds();
  executor.step_wall(-seconds(100));
  EXPECT_EQ(executor.wall_nanoseconds(), wall - 100'000'000'000);
  executor.freeze_wall(true);
  world.run_for(seconds(1));
  EXPECT_EQ(executor.wall_nanoseconds(), wall - 100'000'000'000);
  executor.freeze_wall(false);
  EXPECT_EQ(executor.wall_nanoseconds(), wall - 99'000'000'000);
}

TEST(SimWorld, ADyingDiskTakesItsNodeDownInTheMiddleOfAJob) {
  SimWorld world(4);
  world.add_node(kOne);
  NodeId crashed;
  world.set_crash_handler([&](NodeId node) { crashed = node; });
  world.disk(kOne).crash_after_operations(2);
  bool after = false;
  bool reported = false;
  world.executor(kOne).run_blocking(
      DiskLane::log,
      [&] {
        EXPECT_TRUE(world.disk(kOne).make_directory("/a").has_value());
        after = world.disk(kOne).make_directory("/b").has_value();
      },
      [&] { reported = true; });
  world.run_for(seconds(1));
  EXPECT_EQ(crashed, kOne);
  EXPECT_FALSE(world.running(kOne));
  EXPECT_FALSE(after || reported);
}

TEST(SimNetwork, KeepsTheOrderOfALaneWhileConnected) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Two two(seed);
    EXPECT_EQ(two.one.events, "+2");
    EXPECT_EQ(two.two.events, "+1");
    LinkOptions options;
    options.loss_per_million = 100'000;
    two.world.set_all_links(options);
    std::vector<std::string> expected;
    for (int frame = 0; frame < 100; ++frame) {
      EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::normal, text(frame)));
      expected.push_back(std::to_string(frame));
    }
    two.world.run_for(seconds(30));
    EXPECT_EQ(two.two.frames, expected);
    EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::bulk, text(1)));
    two.world.run_for(seconds(1));
    EXPECT_EQ(two.one.bulk_sent, 1);
  }
}

TEST(SimNetwork, UrgentOvertakesBulkOnASlowLink) {
  Two two(8);
  LinkOptions options;
  options.bytes_per_second = 1'000'000;
  two.world.set_all_links(options);
  int accepted = 0;
  const Bytes chunk(std::string(100'000, 'b'));
  while (two.world.network(kOne).send(kTwo, Lane::bulk, chunk)) ++accepted;
  EXPECT_GT(accepted, 10);
  EXPECT_LT(accepted, 30) << "a queue has an end";
  EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::urgent, text(1)));
  two.world.run_for(seconds(10));
  ASSERT_EQ(two.two.frames.size(), static_cast<size_t>(accepted) + 1);
  EXPECT_EQ(two.two.frames.front(), "1");
}

TEST(SimNetwork, ACutLinkDisconnectsBothAndMendingReconnects) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Two two(seed);
    two.world.network(kOne).send(kTwo, Lane::normal, text(1));
    two.world.cut(kTwo, kOne);  // one way is enough: nothing can be acknowledged
    two.world.network(kOne).send(kTwo, Lane::normal, text(2));
    two.world.run_for(seconds(2));
    EXPECT_EQ(two.two.frames.size(), 0U);
    EXPECT_EQ(two.one.events, "+2-2");
    EXPECT_EQ(two.two.events, "+1-1");
    EXPECT_FALSE(two.world.network(kOne).send(kTwo, Lane::normal, text(3)));
    two.world.heal();
    two.world.run_for(seconds(2));
    EXPECT_EQ(two.one.events, "+2-2+2");
    EXPECT_TRUE(two.world.network(kTwo).connected(kOne));
    EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::normal, text(4)));
    two.world.run_for(seconds(1));
    EXPECT_EQ(two.two.frames, (std::vector<std::string>{"4"}));
  }
}

TEST(SimNetwork, ACrashedPeerIsMissedAndFoundAgain) {
  Two two(8);
  two.world.crash(kTwo);
  two.world.run_for(seconds(1));
  EXPECT_EQ(two.one.events, "+2-2");
  EXPECT_EQ(two.two.events, "+1") << "the dead hear nothing";
  two.world.restart(kTwo);
  two.two.events.clear();
  two.world.network(kTwo).set_peer(kOne, {});
  two.world.network(kTwo).start(two.two);
  two.world.run_for(seconds(1));
  EXPECT_EQ(two.one.events, "+2-2+2");
  EXPECT_EQ(two.two.events, "+1");
  two.world.network(kOne).forget_peer(kTwo);
  EXPECT_FALSE(two.world.network(kOne).connected(kTwo));
  two.world.run_for(seconds(1));
  EXPECT_EQ(two.two.events, "+1-1");
}

TEST(SimNetwork, ASilentLinkHoldsBackUntilItIsGivenUp) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Two two(seed);
    LinkOptions silent;
    silent.silent = true;
    two.world.set_link(kOne, kTwo, silent);
    EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::normal, text(1)));
    EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::normal, text(2)));
    EXPECT_TRUE(two.world.network(kTwo).send(kOne, Lane::normal, text(3)));
    two.world.run_for(seconds(4));
    EXPECT_TRUE(two.two.frames.empty());
    EXPECT_EQ(two.one.frames, (std::vector<std::string>{"3"})) << "the other way works";
    two.world.set_link(kOne, kTwo, {});
    two.world.run_for(seconds(1));
    EXPECT_EQ(two.two.frames, (std::vector<std::string>{"1", "2"}));
    EXPECT_EQ(two.one.events, "+2") << "nobody noticed";
    two.world.set_link(kOne, kTwo, silent);
    two.world.network(kOne).send(kTwo, Lane::normal, text(4));
    two.world.run_for(seconds(10));
    EXPECT_EQ(two.one.events, "+2-2");
    EXPECT_EQ(two.two.events, "+1-1");
    two.world.set_link(kOne, kTwo, {});
    two.world.run_for(seconds(1));
    EXPECT_EQ(two.one.events, "+2-2+2");
    EXPECT_EQ(two.two.frames.size(), 2U) << "the fourth went with its connection";
  }
}

TEST(SimNetwork, ADamagedFrameAndAResetEndTheConnection) {
  Two two(11);
  LinkOptions bad;
  bad.corrupt_per_million = 100'000;
  bad.reset_per_million = 100'000;
  two.world.set_all_links(bad);
  for (int frame = 0; frame < 200; ++frame) {
    two.world.network(kOne).send(kTwo, Lane::normal, text(frame));
    two.world.run_for(milliseconds(100));
  }
  EXPECT_GT(two.two.frames.size(), 20U);
  EXPECT_LT(two.two.frames.size(), 190U);
  EXPECT_GT(two.one.events.size(), 10U) << "connections came and went";
  two.world.set_all_links({});
  two.world.run_for(seconds(1));
  const std::string before = two.two.events;
  two.world.reset_connection(kOne, kTwo);
  two.world.run_for(seconds(1));
  EXPECT_EQ(two.two.events, before + "-1+1");
}

TEST(SimNetwork, PartitionsSeparateExactlyTheSides) {
  SimWorld world(6);
  Recorder recorders[3];
  for (const NodeId node : {kOne, kTwo, kThree}) world.add_node(node);
  introduce(world, {{kOne, &recorders[0]}, {kTwo, &recorders[1]}, {kThree, &recorders[2]}});
  world.run_for(seconds(1));
  world.isolate(kThree);
  world.run_for(seconds(1));
  EXPECT_TRUE(world.connected(kOne, kTwo));
  EXPECT_FALSE(world.connected(kOne, kThree));
  EXPECT_FALSE(world.connected(kTwo, kThree));
  world.heal();
  world.run_for(seconds(1));
  EXPECT_TRUE(world.connected(kOne, kThree));
}

TEST(SimNetwork, DatagramChaosLosesDoublesAndReordersButNeverInvents) {
  Two two(9);
  two.world.set_network({.datagram_chaos = true});
  LinkOptions options;
  options.loss_per_million = 100'000;
  options.duplicate_per_million = 100'000;
  options.reorder_per_million = 200'000;
  two.world.set_all_links(options);
  for (int frame = 0; frame < 1000; ++frame) {
    EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::normal, text(frame)));
  }
  two.world.run_for(seconds(1));
  std::vector<int> counts(1000);
  for (const std::string& frame : two.two.frames) ++counts.at(std::stoul(frame));
  EXPECT_GT(std::ranges::count(counts, 0), 50);
  EXPECT_GT(std::ranges::count(counts, 2), 50);
  EXPECT_EQ(std::ranges::count_if(counts, [](int count) { return count > 2; }), 0);
  // One way only, and nobody notices.
  two.world.cut(kOne, kTwo);
  two.two.frames.clear();
  EXPECT_TRUE(two.world.network(kOne).send(kTwo, Lane::normal, text(1)));
  two.world.set_link(kTwo, kOne, {});
  EXPECT_TRUE(two.world.network(kTwo).send(kOne, Lane::normal, text(2)));
  two.world.run_for(seconds(1));
  EXPECT_TRUE(two.two.frames.empty());
  EXPECT_EQ(two.one.frames, (std::vector<std::string>{"2"}));
  EXPECT_EQ(two.one.events, "+2");
}

// Three nodes that pass numbers around and write them down, among faults.
struct Busy {
  explicit Busy(uint64_t seed) : world(seed), rng(seed) {
    for (const NodeId node : {kOne, kTwo, kThree}) {
      world.add_node(node, {.clock_drift_per_million = static_cast<int64_t>(node.value) * 50});
      EXPECT_TRUE(world.disk(node).make_directory("/d").has_value());
    }
    introduce(world, {{kOne, &recorders[0]}, {kTwo, &recorders[1]}, {kThree, &recorders[2]}});
    for (const NodeId node : {kOne, kTwo, kThree}) {
      recorders[node.value - 1].action = [this, node](NodeId, const Bytes& frame) {
        pass_on(node, std::stoi(frame.str()));
      };
      world.executor(node).at(world.executor(node).now() + milliseconds(100),
                              [this, node] { pass_on(node, 0); });
    }
    for (int fault = 0; fault < 20; ++fault) {
      const NodeId from{rng.between(1, 3)};
      const NodeId to{from.value % 3 + 1};
      world.at(world.now() + milliseconds(100 + 50 * fault),
               [this, from, to] { rng.below(2) == 0 ? world.cut(from, to) : world.heal(); });
    }
  }
  void pass_on(NodeId node, int number) {
    const NodeId next{(node.value + rng.between(0, 1)) % 3 + 1};
    if (next != node) world.network(node).send(next, Lane::normal, text(number + 1));
    world.executor(node).run_blocking(
        DiskLane::log,
        [this, node, number] {
          auto file = world.disk(node).open("/d/" + std::to_string(number), OpenMode::create);
          if (!file.has_value()) return;  // written before
          EXPECT_TRUE((*file)->sync_data().has_value());
        },
        [this, node] {
          world.network(node).send(NodeId{node.value % 3 + 1}, Lane::urgent, text(1));
        });
  }
  std::string run() {
    for (int step = 0; step < 20'000 && world.step(); ++step) {
    }
    return world.trace_hash().hex();
  }
  Recorder recorders[3];
  SimWorld world;
  Rng rng;
};

TEST(SimWorld, TheSameSeedGivesTheSameTrace) {
  EXPECT_EQ(Busy(1).run(), Busy(1).run());
  EXPECT_NE(Busy(1).run(), Busy(2).run());
  // The same in every build type and on every machine: a change of this number is a change of
  // every recorded seed's meaning, and belongs into the message of the commit that makes it.
  Busy busy(7);
  EXPECT_EQ(busy.run(), "24863cc091b27b5a67831c6c5f30b721");
  EXPECT_GT(busy.world.frames_delivered(), 1000U);
}

}  // namespace
}  // namespace quorate::world
