#include "world/sim/sim_world.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace quorate::world {
namespace {

// Streams of the world itself, told apart from those of the nodes.
constexpr uint64_t kQueueStream = 0x71756575652d3031ULL;
constexpr uint64_t kFabricStream = 0x6661627269632d31ULL;
constexpr uint64_t kNodeStream = 0x6e6f64652d2d3031ULL;

// Not zero, so that a time a little before now can be written down.
constexpr Time kBeginning = Time(std::chrono::seconds(1));

enum class Step : uint64_t { event = 21, crash, restart };

}  // namespace

SimWorld::SimWorld(uint64_t seed)
    : seed_(seed),
      queue_(Rng(seed ^ kQueueStream)),
      shared_{.now = kBeginning, .queue = queue_, .trace = trace_},
      fabric_(shared_, seed ^ kFabricStream) {
  trace_.mix(seed);
}

// Tasks first: what they captured belongs to the nodes' objects.
SimWorld::~SimWorld() {
  for (auto& [id, node] : nodes_) node->executor.crash();
}

void SimWorld::add_node(NodeId id, const SimNodeOptions& options) {
  CHECK(id.value != 0, "a node has an id");
  CHECK(!nodes_.contains(id), "a node is added once");
  Rng rng(seed_ ^ kNodeStream ^ (id.value * 0x9e3779b97f4a7c15ULL));
  auto node = std::make_unique<Node>(shared_, id, options, rng);
  node->network = &fabric_.add_node(id, node->executor);
  nodes_[id] = std::move(node);
}

std::vector<NodeId> SimWorld::nodes() const {
  std::vector<NodeId> ids;
  for (const auto& [id, node] : nodes_) ids.push_back(id);
  return ids;
}

SimWorld::Node& SimWorld::at_node(NodeId id) {
  const auto found = nodes_.find(id);
  CHECK(found != nodes_.end(), "only nodes that were added can be named");
  return *found->second;
}

bool SimWorld::step() {
  CHECK(!stepping_, "a step does not begin within another");
  if (queue_.empty()) return false;
  Time when;
  uint64_t sequence = 0;
  {
    Task action = queue_.take(when, sequence);
    CHECK(when >= shared_.now, "time does not run backwards");
    shared_.now = when;
    ++events_;
    trace_.mix(static_cast<uint64_t>(Step::event));
    trace_.mix(static_cast<uint64_t>(when.time_since_epoch().count()));
    trace_.mix(sequence);
    stepping_ = true;
    action();
    stepping_ = false;
  }
  reap_dead_disks();
  return true;
}

void SimWorld::run_until(Time time) {
  while (!queue_.empty() && queue_.next_time() <= time) step();
  shared_.now = std::max(shared_.now, time);
}

void SimWorld::reap_dead_disks() {
  for (auto& [id, node] : nodes_) {
    if (!node->disk.crashed() || !node->executor.running()) continue;
    crash(id);
    if (on_crash_) on_crash_(id);
  }
}

void SimWorld::crash(NodeId id, CrashKind kind) {
  Node& node = at_node(id);
  CHECK(node.executor.running(), "only a running node crashes");
  trace_.mix(static_cast<uint64_t>(Step::crash));
  trace_.mix(id.value);
  node.executor.crash();
  fabric_.crash(id);
  if (kind == CrashKind::power) {
    node.disk.power_off();
  } else {
    node.disk.kill();
  }
}

void SimWorld::restart(NodeId id) {
  trace_.mix(static_cast<uint64_t>(Step::restart));
  trace_.mix(id.value);
  at_node(id).executor.start();
}

void SimWorld::set_up(NodeId from, NodeId to, bool up) {
  LinkOptions options = fabric_.link(from, to);
  options.up = up;
  fabric_.set_link(from, to, options);
}

void SimWorld::set_all_links(const LinkOptions& options) {
  for (const auto& [from, left] : nodes_) {
    for (const auto& [to, right] : nodes_) {
      if (from == to) continue;
      LinkOptions changed = options;
      changed.up = fabric_.link(from, to).up;
      fabric_.set_link(from, to, changed);
    }
  }
}

void SimWorld::partition(const std::vector<NodeId>& side) {
  for (const auto& [other, node] : nodes_) {
    if (std::ranges::find(side, other) != side.end()) continue;
    for (const NodeId inside : side) {
      set_up(inside, other, false);
      set_up(other, inside, false);
    }
  }
}

void SimWorld::heal() {
  for (const auto& [from, left] : nodes_) {
    for (const auto& [to, right] : nodes_) {
      if (from != to) set_up(from, to, true);
    }
  }
}

}  // namespace quorate::world
