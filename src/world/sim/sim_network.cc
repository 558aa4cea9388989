#include "world/sim/sim_network.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"

namespace quorate::world {
namespace {

enum class Step : uint64_t { connected = 11, disconnected, frame, bulk_sent };

// What a slow link holds for one lane before send() refuses, in time.
constexpr Duration kBacklogMax = std::chrono::seconds(2);
// What a silent link holds before send() refuses: as much as the real queue of a peer.
constexpr uint64_t kParkedBytesMax = uint64_t{64} << 20U;

}  // namespace

// The Network one node sees. What the node knows changes within its own turns only.
class SimFabric::NodePort final : public Network {
 public:
  NodePort(SimFabric& fabric, NodeId self, SimExecutor& executor)
      : fabric_(fabric), self_(self), executor_(executor) {}

  void start(Receiver& receiver) override {
    CHECK(receiver_ == nullptr, "a network starts once in a process's life");
    receiver_ = &receiver;
    fabric_.reconsider_all(self_);
  }
  void set_peer(NodeId peer, std::vector<std::string> /*addresses*/) override {
    CHECK(peer.value != 0 && peer != self_, "a peer is another member");
    peers_.insert(peer);
    fabric_.reconsider(key(self_, peer));
  }
  void forget_peer(NodeId peer) override {
    peers_.erase(peer);
    connections_.erase(peer);
    fabric_.reconsider(key(self_, peer));
  }
  bool send(NodeId peer, Lane lane, Bytes frame) override {
    const auto found = connections_.find(peer);
    if (found == connections_.end()) return false;
    return fabric_.transmit(self_, peer, lane, found->second, std::move(frame));
  }
  bool connected(NodeId peer) const override { return connections_.contains(peer); }

  // ---- For the fabric.
  bool started() const { return receiver_ != nullptr; }
  bool knows(NodeId peer) const { return peers_.contains(peer); }
  void crash() {
    receiver_ = nullptr;
    peers_.clear();
    connections_.clear();
  }
  void deliver_connected(NodeId peer, uint64_t connection) {
    executor_.post([this, peer, connection] {
      if (!knows(peer)) return;
      connections_[peer] = connection;
      receiver_->on_connected(peer);
    });
  }
  void deliver_disconnected(NodeId peer, uint64_t connection) {
    executor_.post([this, peer, connection] {
      if (!is_on(peer, connection)) return;
      connections_.erase(peer);
      receiver_->on_disconnected(peer);
    });
  }
  void deliver_frame(NodeId peer, uint64_t connection, Bytes frame) {
    executor_.post([this, peer, connection, frame = std::move(frame)]() mutable {
      if (is_on(peer, connection)) receiver_->on_frame(peer, std::move(frame));
    });
  }
  void deliver_bulk_sent(NodeId peer, uint64_t connection) {
    executor_.post([this, peer, connection] {
      if (is_on(peer, connection)) receiver_->on_bulk_sent(peer);
    });
  }

 private:
  bool is_on(NodeId peer, uint64_t connection) const {
    const auto found = connections_.find(peer);
    return found != connections_.end() && found->second == connection;
  }
  SimFabric& fabric_;
  const NodeId self_;
  SimExecutor& executor_;
  Receiver* receiver_ = nullptr;
  std::set<NodeId> peers_;
  std::map<NodeId, uint64_t> connections_;  // as the node knows them
};

SimFabric::SimFabric(SimExecutor::World& world, uint64_t seed)
    : world_(world), seed_(seed), rng_(seed) {}

SimFabric::~SimFabric() = default;

SimFabric::PairKey SimFabric::key(NodeId left, NodeId right) {
  return {std::min(left, right), std::max(left, right)};
}

Network& SimFabric::add_node(NodeId node, SimExecutor& executor) {
  auto& port = ports_[node];
  CHECK(port == nullptr, "a node is added once");
  port = std::make_unique<NodePort>(*this, node, executor);
  return *port;
}

SimFabric::Link& SimFabric::link_of(NodeId from, NodeId to) {
  const auto found = links_.find({from, to});
  if (found != links_.end()) return found->second;
  // A stream of its own for each link, whatever the order in which they are first used.
  Rng rng(seed_ ^ (from.value * 0x9e3779b97f4a7c15ULL) ^ (to.value * 0xc2b2ae3d27d4eb4fULL + 1));
  return links_.emplace(PairKey{from, to}, Link{{}, rng, {}, {}, {}, {}, 0, 0}).first->second;
}

LinkOptions SimFabric::link(NodeId from, NodeId to) { return link_of(from, to).options; }

void SimFabric::set_link(NodeId from, NodeId to, const LinkOptions& options) {
  Link& link = link_of(from, to);
  const bool was_silent = link.options.silent;
  link.options = options;
  if (options.silent && !was_silent) begin_silence({from, to}, link);
  if (!options.silent && was_silent) end_silence({from, to}, link);
  reconsider(key(from, to));
}

void SimFabric::reset(NodeId left, NodeId right) {
  const PairKey pair = key(left, right);
  if (pairs_[pair].live == 0) return;
  disconnect(pair);
  reconsider(pair);
}

void SimFabric::begin_silence(const PairKey& route, Link& link) {
  world_.queue.add(world_.now + options_.give_up, [this, route, silence = ++link.silences] {
    Link& there = link_of(route.first, route.second);
    const PairKey pair = key(route.first, route.second);
    if (options_.datagram_chaos || !there.options.silent || there.silences != silence) return;
    if (pairs_[pair].live != 0) disconnect(pair);
  });
}

// What was lost is sent again, in its order, as far as its connection still stands.
void SimFabric::end_silence(const PairKey& route, Link& link) {
  ++link.silences;
  link.parked_bytes = 0;
  for (Parked& sent : std::exchange(link.parked, {})) {
    if (pairs_[key(route.first, route.second)].live != sent.connection) continue;
    send_on(route, link, std::move(sent));
  }
}

bool SimFabric::silent(const PairKey& pair) {
  if (options_.datagram_chaos) return false;
  return link_of(pair.first, pair.second).options.silent ||
         link_of(pair.second, pair.first).options.silent;
}

void SimFabric::set_options(const NetworkOptions& options) {
  options_ = options;
  for (const auto& [node, port] : ports_) reconsider_all(node);
}

bool SimFabric::connected(NodeId left, NodeId right) const {
  const auto found = pairs_.find(key(left, right));
  return found != pairs_.end() && found->second.live != 0;
}

bool SimFabric::reachable(const PairKey& pair) {
  const auto& [left, right] = pair;
  const auto left_port = ports_.find(left);
  const auto right_port = ports_.find(right);
  if (left_port == ports_.end() || right_port == ports_.end()) return false;
  if (!left_port->second->started() || !left_port->second->knows(right)) return false;
  if (!right_port->second->started() || !right_port->second->knows(left)) return false;
  if (options_.datagram_chaos) return true;
  return link_of(left, right).options.up && link_of(right, left).options.up;
}

void SimFabric::reconsider_all(NodeId node) {
  for (const auto& [other, port] : ports_) {
    if (other != node) reconsider(key(node, other));
  }
}

void SimFabric::reconsider(const PairKey& key) {
  Pair& pair = pairs_[key];
  const bool possible = reachable(key);
  if (pair.live != 0 && !possible) disconnect(key);
  const bool free = pair.live == 0 && pair.believed[0] == 0 && pair.believed[1] == 0;
  if (!possible || !free || pair.connecting || silent(key)) return;
  pair.connecting = true;
  world_.queue.add(world_.now + options_.connect.draw(rng_), [this, key] {
    pairs_.at(key).connecting = false;
    connect(key);
  });
}

void SimFabric::connect(const PairKey& key) {
  Pair& pair = pairs_.at(key);
  if (!reachable(key) || silent(key)) return;
  if (pair.live != 0 || pair.believed[0] != 0 || pair.believed[1] != 0) return;
  pair.live = next_connection_++;
  pair.believed = {pair.live, pair.live};
  world_.trace.mix(static_cast<uint64_t>(Step::connected));
  world_.trace.mix(pair.live);
  ports_.at(key.first)->deliver_connected(key.second, pair.live);
  ports_.at(key.second)->deliver_connected(key.first, pair.live);
}

void SimFabric::disconnect(const PairKey& key) {
  Pair& pair = pairs_.at(key);
  world_.trace.mix(static_cast<uint64_t>(Step::disconnected));
  world_.trace.mix(pair.live);
  pair.live = 0;
  for (size_t side = 0; side < 2; ++side) {
    if (pair.believed[side] == 0) continue;
    world_.queue.add(world_.now + options_.detect.draw(rng_),
                     [this, key, side, connection = pair.believed[side]] {
                       learn_of_end(key, side, connection);
                     });
  }
}

void SimFabric::learn_of_end(const PairKey& key, size_t side, uint64_t connection) {
  Pair& pair = pairs_.at(key);
  if (pair.believed[side] != connection) return;
  pair.believed[side] = 0;
  const auto& [self, peer] = side == 0 ? key : PairKey{key.second, key.first};
  ports_.at(self)->deliver_disconnected(peer, connection);
  reconsider(key);
}

void SimFabric::crash(NodeId node) {
  ports_.at(node)->crash();
  for (auto& [key, pair] : pairs_) {
    if (key.first == node) pair.believed[0] = 0;
    if (key.second == node) pair.believed[1] = 0;
  }
  reconsider_all(node);
}

// When the last byte leaves. Bulk waits for the rest, never the other way round.
Time SimFabric::departure(Link& link, Lane lane, size_t size) const {
  if (link.options.bytes_per_second == 0) return world_.now;
  const Duration needed(size * 1'000'000'000 / link.options.bytes_per_second);
  Time& busy = lane == Lane::bulk ? link.bulk_busy_until : link.busy_until;
  busy = std::max({busy, world_.now, lane == Lane::bulk ? link.busy_until : world_.now}) + needed;
  return busy;
}

bool SimFabric::transmit(NodeId from, NodeId to, Lane lane, uint64_t connection, Bytes frame) {
  Link& link = link_of(from, to);
  const Time busy = lane == Lane::bulk ? link.bulk_busy_until : link.busy_until;
  if (busy - world_.now > kBacklogMax) return false;
  // The sender believes in a connection that has ended: what it sends goes nowhere.
  if (pairs_.at(key(from, to)).live != connection) return true;
  if (link.options.silent) {
    if (options_.datagram_chaos || (loose_ && loose_(frame))) return true;
    if (link.parked_bytes + frame.size() > kParkedBytesMax) return false;
    link.parked_bytes += frame.size();
    link.parked.push_back({lane, connection, std::move(frame)});
    return true;
  }
  send_on({from, to}, link, {lane, connection, std::move(frame)});
  return true;
}

void SimFabric::send_on(const PairKey& route, Link& link, Parked sent) {
  const LinkOptions& options = link.options;
  const Lane lane = sent.lane;
  const Time leaves = departure(link, lane, sent.frame.size());
  if (lane == Lane::bulk) {
    world_.queue.add(leaves, [this, route, connection = sent.connection] {
      world_.trace.mix(static_cast<uint64_t>(Step::bulk_sent));
      ports_.at(route.first)->deliver_bulk_sent(route.second, connection);
    });
  }
  if (options_.datagram_chaos || (loose_ && loose_(sent.frame)))
    return send_datagram(route, link, std::move(sent), leaves);
  Time arrives = leaves + options.latency.draw(link.rng);
  if (link.rng.chance_per_million(options.loss_per_million)) arrives += options.resend;
  Time& last = link.last_arrival[static_cast<size_t>(lane)];
  arrives = last = std::max(arrives, last + Duration(1));
  const uint32_t breaks = options.corrupt_per_million + options.reset_per_million;
  if (breaks != 0 && link.rng.chance_per_million(breaks)) {
    return schedule_break(route, arrives, sent.connection);
  }
  schedule_arrival(route, arrives, sent.connection, std::move(sent.frame));
}

void SimFabric::send_datagram(const PairKey& route, Link& link, Parked sent, Time leaves) {
  const LinkOptions& options = link.options;
  Time arrives = leaves + options.latency.draw(link.rng);
  const bool lost = link.rng.chance_per_million(options.loss_per_million);
  const bool damaged =
      options.corrupt_per_million != 0 && link.rng.chance_per_million(options.corrupt_per_million);
  if (lost || damaged || !options.up) return;
  if (link.rng.chance_per_million(options.reorder_per_million)) {
    arrives += Duration(link.rng.below(static_cast<uint64_t>(options.reorder.count()) + 1));
  }
  if (link.rng.chance_per_million(options.duplicate_per_million)) {
    schedule_arrival(route, arrives + options.latency.draw(link.rng), sent.connection, sent.frame);
  }
  schedule_arrival(route, arrives, sent.connection, std::move(sent.frame));
}

void SimFabric::schedule_break(const PairKey& route, Time when, uint64_t connection) {
  world_.queue.add(when, [this, route, connection] {
    const PairKey pair = key(route.first, route.second);
    if (pairs_.at(pair).live != connection) return;
    disconnect(pair);
    reconsider(pair);
  });
}

void SimFabric::schedule_arrival(const PairKey& route, Time when, uint64_t connection,
                                 Bytes frame) {
  world_.queue.add(when, [this, route, connection, frame = std::move(frame)]() mutable {
    const auto& [from, to] = route;
    if (pairs_.at(key(from, to)).live != connection) return;
    world_.trace.mix(static_cast<uint64_t>(Step::frame));
    world_.trace.mix(from.value);
    world_.trace.mix(to.value);
    world_.trace.mix((uint64_t{crc32c(frame.span())} << 32U) | frame.size());
    ++frames_delivered_;
    if (observer_) observer_(from, to, frame);
    ports_.at(to)->deliver_frame(from, connection, std::move(frame));
  });
}

}  // namespace quorate::world
