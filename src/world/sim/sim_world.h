// world/sim/sim_world.h: one simulated cluster's world: time, nodes, disks, network, faults.
//
// How to use it: add_node() for each member, build the node's objects over executor(), disk()
// and network(), then step() until done; look at whatever you like between two steps. To crash a
// node call crash() between steps, destroy its objects, call restart() and build them anew from
// its disk. A disk told to die (disk().crash_after_operations) takes its node down in the middle
// of whatever it was doing; the crash handler then tells you to destroy the objects.
//
// Deterministic: the same seed and the same calls give the same run on every machine, and
// trace_hash() proves it. Each node's executor, disk and each directed link draw from streams of
// their own, so that one more draw in one place does not change the others.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "world/sim/sim_disk.h"
#include "world/sim/sim_executor.h"
#include "world/sim/sim_network.h"

namespace quorate::world {

enum class CrashKind : uint8_t {
  power,   // what was not synced survives in part or not at all
  process  // kill -9: the system keeps what was written
};

class SimWorld {
 public:
  explicit SimWorld(uint64_t seed);
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;
  ~SimWorld();

  // ---- Nodes. Added running; references stay valid for the life of the world, crashes included.
  void add_node(NodeId node, const SimNodeOptions& options = {});
  SimExecutor& executor(NodeId node) { return at_node(node).executor; }
  SimDisk& disk(NodeId node) { return at_node(node).disk; }
  Network& network(NodeId node) { return *at_node(node).network; }
  std::vector<NodeId> nodes() const;

  // ---- Time
  Time now() const { return shared_.now; }  // the world's; a node's clock may differ
  Time next_event() const { return queue_.next_time(); }
  // Runs one event; false when nothing is left to happen. A node's turn is one event, a job on a
  // disk lane another.
  bool step();
  // Runs everything due up to and including `time`, and leaves the world at that time.
  void run_until(Time time);
  void run_for(Duration duration) { run_until(now() + duration); }
  // An action of the test itself, outside every node.
  void at(Time when, Task action) { queue_.add(when, std::move(action)); }
  uint64_t events() const { return events_; }
  const TraceHash& trace_hash() const { return trace_; }

  // ---- Processes. Between steps, or from an action given to at().
  void crash(NodeId node, CrashKind kind = CrashKind::power);
  void restart(NodeId node);
  bool running(NodeId node) { return at_node(node).executor.running(); }
  // Stands still with all its threads (SIGSTOP); frames arrive and wait.
  void pause(NodeId node) { at_node(node).executor.pause(); }
  void resume(NodeId node) { at_node(node).executor.resume(); }
  // Called between steps after a disk died and took its node with it.
  void set_crash_handler(std::function<void(NodeId)> handler) { on_crash_ = std::move(handler); }

  // ---- Network
  void set_network(const NetworkOptions& options) { fabric_.set_options(options); }
  const NetworkOptions& network_options() const { return fabric_.options(); }
  LinkOptions link(NodeId from, NodeId to) { return fabric_.link(from, to); }
  void set_link(NodeId from, NodeId to, const LinkOptions& options) {
    fabric_.set_link(from, to, options);
  }
  // Sets every link's qualities; which links are up stays as it is.
  void set_all_links(const LinkOptions& options);
  // One direction only.
  void cut(NodeId from, NodeId to) { set_up(from, to, false); }
  void mend(NodeId from, NodeId to) { set_up(from, to, true); }
  // Both directions between every node of the one side and every other node.
  void partition(const std::vector<NodeId>& side);
  void isolate(NodeId node) { partition({node}); }
  void heal();
  void reset_connection(NodeId left, NodeId right) { fabric_.reset(left, right); }
  void set_loose(SimFabric::Judge judge) { fabric_.set_loose(std::move(judge)); }
  void set_frame_observer(SimFabric::Observer observer) {
    fabric_.set_observer(std::move(observer));
  }
  bool connected(NodeId left, NodeId right) const { return fabric_.connected(left, right); }
  uint64_t frames_delivered() const { return fabric_.frames_delivered(); }

 private:
  struct Node {
    Node(SimExecutor::World& world, NodeId id, const SimNodeOptions& options, Rng rng)
        : executor(world, id, options, rng.split()), disk(rng.split(), world.trace) {}
    SimExecutor executor;
    SimDisk disk;
    Network* network = nullptr;
  };
  Node& at_node(NodeId node);
  void set_up(NodeId from, NodeId to, bool up);
  void reap_dead_disks();

  uint64_t seed_;
  TraceHash trace_;
  EventQueue queue_;
  SimExecutor::World shared_;
  SimFabric fabric_;
  std::map<NodeId, std::unique_ptr<Node>> nodes_;
  std::function<void(NodeId)> on_crash_;
  uint64_t events_ = 0;
  bool stepping_ = false;
};

}  // namespace quorate::world
