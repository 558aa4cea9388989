#include "sim/registers/world.h"

#include <algorithm>

namespace quorate::sim::registers {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kClients = 4;
constexpr uint64_t kOperations = 25;  // of each client
constexpr Duration kTroubleEnds = seconds(20);
constexpr Duration kEnd = seconds(120);

std::string register_name(uint64_t number) {
  return std::string(1, static_cast<char>('x' + number));
}

check::Row row_of(const caspaxos::Outcome& outcome) {
  check::Row row;
  row.value = outcome.value.str();
  return row;
}

}  // namespace

World::World(uint64_t seed) : rng_(seed) {
  const size_t count = chance(70) ? 3 : 5;
  loss_percent_ = chance(50) ? rng_.below(15) : 0;
  trouble_gap_ = between(milliseconds(100), milliseconds(2500));
  for (size_t node = 0; node < count; ++node) {
    members_.voters.push_back({NodeId{node + 1}, 0, {}});
  }
  nodes_.resize(count);
  cut_.resize(count);
  for (size_t node = 0; node < count; ++node) start(node);
  clients_.resize(kClients);
  for (size_t client = 0; client < kClients; ++client) {
    clients_[client].operations_left = kOperations;
    at(between({}, milliseconds(5)), [this, client] { next_operation(client); });
  }
  at(milliseconds(20), [this] { make_trouble(); });
}

void World::play() {
  while (!tasks_.empty() && !all_served()) {
    const auto first = tasks_.begin();
    now_ = first->first.first;
    if (now_ > Time{} + kEnd) return;
    Task task = std::move(first->second);
    tasks_.erase(first);
    task();
  }
}

void World::at(Duration later, Task task) {
  tasks_.emplace(std::pair(now_ + later, ++order_), std::move(task));
}

Duration World::between(Duration low, Duration high) {
  return Duration(
      rng_.between(static_cast<uint64_t>(low.count()), static_cast<uint64_t>(high.count())));
}

// ---- Nodes.

void World::start(size_t node) {
  Node& it = nodes_[node];
  const NodeId id{node + 1};
  it.core.emplace(caspaxos::Self{id, id}, members_, it.disk, rng_.split());
  it.durable = {};
}

// What the disk was at may have arrived there all the same.
void World::crash(size_t node) {
  Node& it = nodes_[node];
  if (!it.core) return;
  ++totals_.crashes;
  if (!it.writing.empty() && chance(30)) caspaxos::apply(it.writing.front(), it.disk);
  it.writing.clear();
  it.held.clear();
  it.disk_busy = false;
  ++it.life;
  it.core.reset();
  for (const auto& [id, client] : std::exchange(it.asked, {})) {
    caspaxos::Outcome lost;
    const bool read = caspaxos::is_read(clients_[client].change);
    lost.verdict = read ? caspaxos::Verdict::not_applied : caspaxos::Verdict::unknown;
    finish(client, lost);
  }
  at(between(milliseconds(5), milliseconds(800)), [this, node] {
    if (!nodes_[node].core) start(node);
  });
}

void World::drain(size_t node) {
  Node& it = nodes_[node];
  caspaxos::Effects effects = it.core->take_effects();
  if (effects.write) {
    it.writing.push_back(std::move(*effects.write));
    write_next(node);
  }
  for (const caspaxos::Envelope& envelope : effects.messages) {
    if (std::holds_alternative<caspaxos::Prepare>(envelope.body)) ++totals_.ballots;
    if (envelope.after <= it.durable) {
      send(node, envelope);
    } else {
      it.held.push_back(envelope);
    }
  }
  for (const caspaxos::Finished& finished : effects.finished) {
    const auto asked = it.asked.find(finished.id);
    const size_t client = asked->second;
    it.asked.erase(asked);
    finish(client, finished.outcome);
  }
  arm(node);
}

void World::write_next(size_t node) {
  Node& it = nodes_[node];
  if (it.disk_busy || it.writing.empty()) return;
  it.disk_busy = true;
  const Duration takes = chance(20) ? between(milliseconds(5), milliseconds(60))
                                    : between(microseconds(50), milliseconds(2));
  at(takes, [this, node, life = it.life] {
    Node& writer = nodes_[node];
    if (writer.life != life) return;
    caspaxos::apply(writer.writing.front(), writer.disk);
    writer.durable = writer.writing.front().id;
    writer.writing.pop_front();
    writer.disk_busy = false;
    std::vector<caspaxos::Envelope> held;
    std::swap(held, writer.held);
    for (const caspaxos::Envelope& envelope : held) {
      if (envelope.after <= writer.durable) {
        send(node, envelope);
      } else {
        writer.held.push_back(envelope);
      }
    }
    write_next(node);
  });
}

void World::send(size_t from, const caspaxos::Envelope& envelope) {
  const size_t to = envelope.to.value - 1;
  ++totals_.messages;
  const bool own = to == from;
  if (!own && (cut_[from] || cut_[to] || (trouble_ && chance(loss_percent_)))) return;
  const uint64_t copies = !own && trouble_ && chance(5) ? 2 : 1;
  for (uint64_t copy = 0; copy < copies; ++copy) {
    const Duration way = own                     ? Duration{}
                         : trouble_ && chance(5) ? between(milliseconds(20), milliseconds(700))
                                                 : between(microseconds(100), milliseconds(5));
    // A message to oneself does not outlive a crash.
    at(way, [this, from, to, own, life = nodes_[from].life, bytes = encode(envelope.body)] {
      Node& receiver = nodes_[to];
      if (!receiver.core || (own && receiver.life != life)) return;
      receiver.core->receive(now_, NodeId{from + 1}, *caspaxos::decode(bytes));
      drain(to);
    });
  }
}

void World::arm(size_t node) {
  Node& it = nodes_[node];
  if (!it.core) return;
  const Time deadline = it.core->deadline();
  const uint64_t number = ++it.wake;
  if (deadline == kNever) return;
  at(std::max(deadline - now_, Duration{}), [this, node, number] {
    Node& sleeper = nodes_[node];
    if (!sleeper.core || sleeper.wake != number) return;
    sleeper.core->wake(now_);
    drain(node);
  });
}

// ---- Clients.

void World::next_operation(size_t client) {
  Client& it = clients_[client];
  if (it.operations_left == 0) {
    ++finished_clients_;
    return;
  }
  const size_t node = rng_.below(nodes_.size());
  if (!nodes_[node].core) {
    at(milliseconds(10), [this, client] { next_operation(client); });
    return;
  }
  --it.operations_left;
  it.name = register_name(rng_.below(2));
  const Bytes value("v" + std::to_string(++calls_));
  it.call = calls_;
  const auto seen = it.seen.find(it.name);
  if (chance(40)) {
    it.change = caspaxos::Get{};
  } else if (chance(50)) {
    it.change = caspaxos::Set{value};
  } else {
    it.change = caspaxos::CompareAndSet{seen == it.seen.end() ? std::nullopt : seen->second, value};
  }
  record_call(client);
  const ProposalId id{NodeId{node + 1}, ++sequence_};
  nodes_[node].asked[id] = client;
  nodes_[node].core->change(now_, id, it.name, it.change,
                            now_ + between(milliseconds(200), seconds(4)));
  drain(node);
}

void World::record_call(size_t client) {
  const Client& it = clients_[client];
  check::Call call;
  check::Request request;
  request.key = it.name;
  if (caspaxos::is_read(it.change)) {
    call.then = {request};
  } else if (const auto* set = std::get_if<caspaxos::Set>(&it.change)) {
    request.verb = check::Verb::put;
    request.value = set->value.str();
    call.then = {request};
  } else {
    const auto& swap = std::get<caspaxos::CompareAndSet>(it.change);
    call.transaction = true;
    check::Condition condition;
    condition.key = it.name;
    if (swap.expected) {
      condition.value = swap.expected->str();
    } else {
      condition.target = check::Target::version;
    }
    call.conditions = {condition};
    call.otherwise = {request};
    request.verb = check::Verb::put;
    request.value = swap.value.str();
    call.then = {request};
  }
  history_.record(now_, check::Invoked{it.call, static_cast<uint32_t>(client), std::move(call)});
}

void World::finish(size_t client, const caspaxos::Outcome& outcome) {
  Client& it = clients_[client];
  const bool read = caspaxos::is_read(it.change);
  using caspaxos::Verdict;
  if (outcome.why == caspaxos::Why::full) ++totals_.full;
  if (outcome.verdict == Verdict::not_applied) {
    ++totals_.not_applied;
    history_.record(now_, check::Failed{it.call, "surely not applied"});
  } else if (outcome.verdict == Verdict::unknown) {
    ++totals_.unknown;
    history_.record(now_, check::Unknown{it.call, "unknown"});
  } else {
    ++(outcome.verdict == Verdict::applied ? totals_.applied : totals_.mismatched);
    check::Reply reply;
    reply.succeeded = outcome.verdict == Verdict::applied;
    check::Answer answer;
    const bool shows = read || !reply.succeeded;
    if (shows && outcome.version != 0) answer.rows.push_back(row_of(outcome));
    reply.answers = {answer};
    history_.record(now_, check::Answered{it.call, std::move(reply)});
    it.seen[it.name] = outcome.version == 0 ? std::nullopt : std::optional(outcome.value);
  }
  at(between({}, milliseconds(20)), [this, client] { next_operation(client); });
}

// ---- Faults.

void World::make_trouble() {
  if (now_ >= Time{} + kTroubleEnds) {
    trouble_ = false;
    cut_.assign(cut_.size(), false);
    return;
  }
  const size_t node = rng_.below(nodes_.size());
  if (chance(50)) {
    crash(node);
  } else {
    ++totals_.cuts;
    cut_[node] = true;
    at(between(milliseconds(10), milliseconds(900)), [this, node] { cut_[node] = false; });
  }
  at(between(milliseconds(5), trouble_gap_), [this] { make_trouble(); });
}

}  // namespace quorate::sim::registers
