// node/test_world.h: a small world for this room's tests: simulated time, in-process network,
// real files. Everything runs on one thread in a fixed order, so a failing test fails again.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "world/disk.h"
#include "world/executor.h"
#include "world/network.h"

namespace quorate::node::testing {

// A directory of its own, removed at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Simulated time for any number of executors.
class TestClock {
 public:
  Time now() const { return now_; }
  uint64_t add(Time when, world::Task task);
  void cancel(uint64_t id);
  // Runs everything due until `end`.
  void run_until(Time end);
  void run_for(Duration duration) { run_until(now_ + duration); }

 private:
  Time now_{std::chrono::seconds(1000)};
  uint64_t next_ = 1;
  std::map<std::pair<Time, uint64_t>, world::Task> tasks_;
  std::map<uint64_t, Time> times_;
};

// One node's thread. After kill() nothing of it runs any more.
class TestExecutor : public world::Executor {
 public:
  explicit TestExecutor(TestClock& clock) : clock_(clock) {}
  ~TestExecutor() override { kill(); }
  TestExecutor(const TestExecutor&) = delete;
  TestExecutor& operator=(const TestExecutor&) = delete;
  Time now() const override { return clock_.now(); }
  int64_t wall_nanoseconds() const override { return wall_; }
  void post(world::Task task) override;
  world::TimerId at(Time when, world::Task task) override;
  void cancel(world::TimerId timer) override { clock_.cancel(timer); }
  void run_blocking(world::DiskLane lane, world::Task work, world::Task done) override;
  void at_turn_end(std::function<void()> hook) override { hooks_.push_back(std::move(hook)); }
  void kill() { *alive_ = false; }

  int64_t wall_ = 1'700'000'000'000'000'000;
  // How long the log's jobs take; background jobs take ten times as long.
  Duration disk_time = std::chrono::microseconds(100);

 private:
  world::TimerId run_at(Time when, world::Task task);
  TestClock& clock_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::vector<std::function<void()>> hooks_;
  Time lane_free_[2] = {};
};

class TestNetwork;

// Connects what is attached to it; links can be cut and healed.
class TestHub {
 public:
  explicit TestHub(TestClock& clock) : clock_(clock) {}
  // Connects those who know each other, as the real network does.
  void attach(NodeId id, TestNetwork& network);
  void detach(NodeId id);
  void cut(NodeId a, NodeId b);
  void heal(NodeId a, NodeId b);
  void isolate(NodeId id);
  void rejoin(NodeId id);
  bool linked(NodeId a, NodeId b) const;
  void connect(NodeId a, NodeId b);  // if nothing hinders it
  // One side does not want it any more; the other one notices.
  void forget(NodeId who, NodeId whom);
  // What `asked` tells strangers; empty: it is not there, or does not hear `who`.
  Bytes introduction(NodeId who, NodeId asked) const;
  bool send(NodeId from, NodeId to, world::Lane lane, Bytes frame);

  Duration delay = std::chrono::microseconds(50);
  uint64_t frames = 0;

 private:
  void disconnect(NodeId a, NodeId b);
  static std::pair<NodeId, NodeId> pair(NodeId a, NodeId b);

  TestClock& clock_;
  std::map<NodeId, TestNetwork*> networks_;
  std::set<std::pair<NodeId, NodeId>> cut_;
  std::map<std::pair<NodeId, NodeId>, uint64_t> connections_;  // pair to epoch
  uint64_t next_epoch_ = 1;
};

class TestNetwork : public world::Network {
 public:
  TestNetwork(TestHub& hub, world::Executor& executor, NodeId self)
      : hub_(hub), executor_(executor), self_(self) {}
  ~TestNetwork() override { hub_.detach(self_); }
  void start(Receiver& receiver) override;
  void set_peer(NodeId peer, std::vector<std::string> addresses) override;
  void forget_peer(NodeId peer) override;
  void set_introduction(Bytes introduction) override { introduction_ = std::move(introduction); }
  // Addresses are "m" and the number of the node.
  void inquire(const std::string& address, std::function<void(Result<Bytes>)> done) override;
  bool knows(NodeId peer) const { return known_.contains(peer); }
  const Bytes& introduction() const { return introduction_; }
  bool send(NodeId peer, world::Lane lane, Bytes frame) override;
  bool connected(NodeId peer) const override { return hub_.linked(self_, peer); }

  // Through the node's own executor, so that its turn ends are seen.
  void deliver_connected(NodeId peer);
  void deliver_disconnected(NodeId peer);
  void deliver_frame(NodeId peer, Bytes frame, world::Lane lane);

 private:
  TestHub& hub_;
  world::Executor& executor_;
  NodeId self_;
  Receiver* receiver_ = nullptr;
  std::set<NodeId> known_;
  Bytes introduction_;
};

}  // namespace quorate::node::testing
