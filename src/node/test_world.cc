#include "node/test_world.h"

#include <cstdlib>
#include <filesystem>

#include "base/check.h"

namespace quorate::node::testing {

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "quorate-node-XXXXXX").string();
  CHECK(::mkdtemp(pattern.data()) != nullptr, "tests can make a temporary directory");
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

uint64_t TestClock::add(Time when, world::Task task) {
  const uint64_t id = next_++;
  const Time due = std::max(when, now_);
  tasks_.emplace(std::pair(due, id), std::move(task));
  times_.emplace(id, due);
  return id;
}

void TestClock::cancel(uint64_t id) {
  const auto place = times_.find(id);
  if (place == times_.end()) return;
  tasks_.erase({place->second, id});
  times_.erase(place);
}

void TestClock::run_until(Time end) {
  while (!tasks_.empty() && tasks_.begin()->first.first <= end) {
    auto node = tasks_.extract(tasks_.begin());
    now_ = std::max(now_, node.key().first);
    times_.erase(node.key().second);
    node.mapped()();
  }
  now_ = end;
}

world::TimerId TestExecutor::run_at(Time when, world::Task task) {
  return clock_.add(when, [this, alive = alive_, task = std::move(task)]() mutable {
    if (!*alive) return;
    task();
    // Each task is a turn of its own: the strictest order there is.
    for (size_t position = 0; *alive && position < hooks_.size(); ++position) hooks_[position]();
  });
}

void TestExecutor::post(world::Task task) { run_at(clock_.now(), std::move(task)); }

world::TimerId TestExecutor::at(Time when, world::Task task) {
  return run_at(when, std::move(task));
}

void TestExecutor::run_blocking(world::DiskLane lane, world::Task work, world::Task done) {
  const bool is_log = lane == world::DiskLane::log;
  Time& free = lane_free_[is_log ? 0 : 1];
  free = std::max(free, clock_.now()) + (is_log ? disk_time : disk_time * 10);
  clock_.add(free,
             [this, alive = alive_, work = std::move(work), done = std::move(done)]() mutable {
               if (!*alive) return;
               work();
               post(std::move(done));
             });
}

std::pair<NodeId, NodeId> TestHub::pair(NodeId a, NodeId b) {
  return a < b ? std::pair(a, b) : std::pair(b, a);
}

void TestHub::attach(NodeId id, TestNetwork& network) {
  networks_[id] = &network;
  for (const auto& [other, unused] : networks_) {
    if (other != id) connect(id, other);
  }
}

void TestHub::detach(NodeId id) {
  if (networks_.erase(id) == 0) return;
  std::vector<NodeId> others;
  for (const auto& [other, unused] : networks_) others.push_back(other);
  for (const NodeId other : others) disconnect(id, other);
}

void TestHub::connect(NodeId a, NodeId b) {
  if (!networks_.contains(a) || !networks_.contains(b) || linked(a, b)) return;
  if (cut_.contains(pair(a, b)) || !networks_[a]->knows(b) || !networks_[b]->knows(a)) return;
  connections_[pair(a, b)] = next_epoch_++;
  networks_[a]->deliver_connected(b);
  networks_[b]->deliver_connected(a);
}

void TestHub::disconnect(NodeId a, NodeId b) {
  if (connections_.erase(pair(a, b)) == 0) return;
  if (networks_.contains(a)) networks_[a]->deliver_disconnected(b);
  if (networks_.contains(b)) networks_[b]->deliver_disconnected(a);
}

void TestHub::forget(NodeId who, NodeId whom) {
  if (connections_.erase(pair(who, whom)) == 0) return;
  if (networks_.contains(whom)) networks_[whom]->deliver_disconnected(who);
}

Bytes TestHub::introduction(NodeId who, NodeId asked) const {
  const auto found = networks_.find(asked);
  if (found == networks_.end() || cut_.contains(pair(who, asked))) return {};
  return found->second->introduction();
}

void TestHub::cut(NodeId a, NodeId b) {
  cut_.insert(pair(a, b));
  disconnect(a, b);
}

void TestHub::heal(NodeId a, NodeId b) {
  cut_.erase(pair(a, b));
  connect(a, b);
}

void TestHub::isolate(NodeId id) {
  std::vector<NodeId> others;
  for (const auto& [other, unused] : networks_) others.push_back(other);
  for (const NodeId other : others) {
    if (other != id) cut(id, other);
  }
}

void TestHub::rejoin(NodeId id) {
  const auto all = cut_;
  for (const auto& [a, b] : all) {
    if (a == id || b == id) heal(a, b);
  }
}

bool TestHub::linked(NodeId a, NodeId b) const { return connections_.contains(pair(a, b)); }

bool TestHub::send(NodeId from, NodeId to, world::Lane lane, Bytes frame) {
  const auto connection = connections_.find(pair(from, to));
  if (connection == connections_.end()) return false;
  ++frames;
  clock_.add(clock_.now() + delay, [this, from, to, lane, epoch = connection->second,
                                    frame = std::move(frame)]() mutable {
    const auto current = connections_.find(pair(from, to));
    if (current == connections_.end() || current->second != epoch) return;
    networks_.at(to)->deliver_frame(from, std::move(frame), lane);
  });
  return true;
}

void TestNetwork::start(Receiver& receiver) {
  receiver_ = &receiver;
  hub_.attach(self_, *this);
}

void TestNetwork::set_peer(NodeId peer, std::vector<std::string> addresses) {
  static_cast<void>(addresses);
  known_.insert(peer);
  hub_.connect(self_, peer);
}

void TestNetwork::forget_peer(NodeId peer) {
  known_.erase(peer);
  hub_.forget(self_, peer);
}

void TestNetwork::inquire(const std::string& address, std::function<void(Result<Bytes>)> done) {
  CHECK(address.starts_with('m'), "test addresses are m1, m2, ...");
  const NodeId asked{std::stoull(address.substr(1))};
  executor_.at(executor_.now() + hub_.delay, [this, asked, done = std::move(done)] {
    Bytes told = hub_.introduction(self_, asked);
    done(told.empty() ? Result<Bytes>(fail(ErrorKind::unavailable, "nobody there")) : told);
  });
}

bool TestNetwork::send(NodeId peer, world::Lane lane, Bytes frame) {
  return hub_.send(self_, peer, lane, std::move(frame));
}

void TestNetwork::deliver_connected(NodeId peer) {
  executor_.post([this, peer] { receiver_->on_connected(peer); });
}

void TestNetwork::deliver_disconnected(NodeId peer) {
  executor_.post([this, peer] { receiver_->on_disconnected(peer); });
}

void TestNetwork::deliver_frame(NodeId peer, Bytes frame, world::Lane lane) {
  static_cast<void>(lane);
  executor_.post([this, peer, frame = std::move(frame)] { receiver_->on_frame(peer, frame); });
}

}  // namespace quorate::node::testing
