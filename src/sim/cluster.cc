#include "sim/cluster.h"

#include <algorithm>
#include <cstdio>

#include "base/check.h"

namespace quorate::sim {
namespace {

constexpr int64_t kStandstillMax = 200'000;    // events at one instant: nobody makes progress
constexpr size_t kBacklogMax = 4096;           // events kept for a paused node, like socket buffers
constexpr int64_t kFarAway = 1'000 * kSecond;  // deadlines beyond any run are never scheduled
constexpr int64_t kMillion = 1'000'000;

const char* name_of(EventKind kind) {
  switch (kind) {
    case EventKind::deliver:
      return "deliver";
    case EventKind::wake:
      return "wake";
    case EventKind::turn_end:
      return "turn_end";
    case EventKind::disk_done:
      return "disk_done";
    case EventKind::apply:
      return "apply";
    case EventKind::persist:
      return "persist";
    case EventKind::fetched:
      return "fetched";
    case EventKind::snapshot_crosses:
      return "snapshot_crosses";
    case EventKind::snapshot_stored:
      return "snapshot_stored";
    case EventKind::snapshot_told:
      return "snapshot_told";
    case EventKind::disconnect:
      return "disconnect";
    case EventKind::client:
      return "client";
    case EventKind::fault:
      return "fault";
    case EventKind::restart:
      return "restart";
    case EventKind::resume:
      return "resume";
    case EventKind::heal:
      return "heal";
    case EventKind::recover:
      return "recover";
    case EventKind::script:
      return "script";
    case EventKind::check:
      return "check";
  }
  return "?";
}

consensus::Members first_members(uint64_t nodes) {
  consensus::Members members;
  for (uint64_t id = 1; id <= nodes; ++id) members.voters.push_back({NodeId{id}, 0, {}});
  return members;
}

}  // namespace

int64_t LocalClock::local(int64_t true_time) const {
  const int64_t passed = true_time - true_base;
  return local_base + passed + passed * drift / kMillion;
}

int64_t LocalClock::true_time(int64_t local_time) const {
  int64_t guess = true_base + (local_time - local_base) * kMillion / (kMillion + drift) - 2;
  while (local(guess) < local_time) ++guess;
  return guess;
}

void LocalClock::change_drift(int64_t now, int64_t parts_per_million) {
  local_base = local(now);
  true_base = now;
  drift = parts_per_million;
}

Cluster::Cluster(const SimOptions& options, const Swarm& swarm, uint64_t seed)
    : options_(options),
      swarm_(swarm),
      rng_network_(mix(seed, 1)),
      rng_disk_(mix(seed, 2)),
      rng_node_(mix(seed, 3)),
      rng_client_(mix(seed, 4)),
      queue_(Rng(mix(seed, 5))),
      oracles_(options.protocol),
      tracing_(options.trace > 0),
      quality_(swarm.network) {
  CHECK(swarm.nodes >= 1 && swarm.nodes <= kNodesMax, "link sets hold this many nodes");
  const consensus::Members members = first_members(swarm.nodes);
  bootstrap_ = encode_members(members);
  const consensus::Write founding = consensus::founding_write(options.protocol, members);
  nodes_.resize(swarm.nodes);
  for (uint64_t position = 0; position < nodes_.size(); ++position) {
    SimNode& node = nodes_[position];
    node.id = NodeId{position + 1};
    node.position = position;
    node.durable = LogImage(bootstrap_);
    const std::string broken = node.durable.apply(founding, 0);
    if (!broken.empty()) violated(node, "founding: " + broken);
    node.logical = node.durable;
    for (Index index = node.durable.first(); index <= node.durable.last(); ++index) {
      oracles_.entry_written(node.id, *node.durable.find(index));
    }
    node.machine.members = bootstrap_;
    node.durable_machine = node.machine;
    node.clock.local_base = between(rng_node_, 0, 1000 * kSecond);
    const auto drift = static_cast<int64_t>(swarm_.drift_max);
    node.clock.drift = between(rng_node_, -drift, drift);
  }
  // The founding entry is committed before anyone starts.
  const LogImage& founded = nodes_.front().durable;
  oracles_.committed(nodes_.front().id, founded.hard_state().committed,
                     founded.hard_state().promised.round, founded, members, holders());
  for (const SimNode& node : nodes_) {
    restart_later(node.position, between(rng_node_, 0, swarm_.heartbeat_interval));
  }
}

int64_t Cluster::between(Rng& rng, int64_t low, int64_t high) {
  if (high <= low) return low;
  return low + static_cast<int64_t>(rng.below(static_cast<uint64_t>(high - low) + 1));
}

Time Cluster::local_now(const SimNode& node) const {
  return Time(Duration(node.clock.local(now_)));
}

void Cluster::say(const std::string& text) {
  char stamp[48];
  std::snprintf(stamp, sizeof stamp, "%10lld.%06lld ", static_cast<long long>(now_ / kSecond),
                static_cast<long long>(now_ % kSecond / kMicrosecond));
  const std::string line = stamp + text;
  if (options_.sink) {
    options_.sink(line);
  } else {
    std::printf("%s\n", line.c_str());
  }
}

void Cluster::violated(const SimNode& node, const std::string& rule) {
  oracles_.violated(node.id, rule);
}

void Cluster::schedule(EventKind kind, int64_t delay, uint64_t data) {
  queue_.push({.time = now_ + std::max<int64_t>(delay, 0), .kind = kind, .data = data});
}

void Cluster::schedule_for(const SimNode& node, EventKind kind, int64_t delay, uint64_t data) {
  queue_.push({.time = now_ + std::max<int64_t>(delay, 0),
               .kind = kind,
               .node = static_cast<uint8_t>(node.position),
               .life = node.life,
               .data = data});
}

// Events of a life end with it; messages, restarts and snapshots on their way do not.
bool Cluster::stale(const Scheduled& event) const {
  if (event.life == 0) return false;
  const SimNode& node = nodes_[event.node];
  return !node.alive || node.life != event.life;
}

Scheduled Cluster::advance() {
  const Scheduled event = queue_.pop();
  standstill_ = event.time == now_ ? standstill_ + 1 : 0;
  if (standstill_ > kStandstillMax) violated(nodes_[event.node], "time stands still");
  now_ = event.time;
  ++events_;
  hash_.add(static_cast<uint64_t>(event.time));
  hash_.add(static_cast<uint64_t>(event.kind) << 8U | event.node);
  if (stale(event)) {
    drop(event);
    return event;
  }
  SimNode& node = nodes_[event.node];
  const bool bound = event.life != 0 || event.kind == EventKind::deliver;
  if (bound && node.paused && event.kind != EventKind::resume) {
    if (event.kind == EventKind::deliver && node.backlog.size() >= kBacklogMax) {
      drop(event);
    } else {
      node.backlog.push_back(event);
    }
    return event;
  }
  if (tracing_ && event.life != 0) {
    say("n" + std::to_string(event.node + 1) + " " + name_of(event.kind));
  }
  dispatch(event);
  return event;
}

void Cluster::dispatch(const Scheduled& event) {
  SimNode& node = nodes_[event.node];
  switch (event.kind) {
    case EventKind::deliver:
      on_deliver(event.data);
      return;
    case EventKind::wake:
      on_wake(node, event);
      return;
    case EventKind::turn_end:
      settle(node);
      return;
    case EventKind::disk_done:
      on_disk_done(node);
      return;
    case EventKind::apply:
      node.apply_pending = false;
      apply(node);
      return;
    case EventKind::persist:
      on_persist(node);
      return;
    case EventKind::fetched:
      on_fetched(node, event.data);
      return;
    case EventKind::snapshot_crosses:
      on_snapshot_crosses(event.data);
      return;
    case EventKind::snapshot_stored:
      on_snapshot_stored(event.data);
      return;
    case EventKind::snapshot_told:
      on_snapshot_told(event.data);
      return;
    case EventKind::disconnect:
      step(node, consensus::Disconnected{nodes_[event.data].id});
      return;
    case EventKind::restart:
      if (!node.alive) restart(event.node);
      return;
    case EventKind::resume:
      resume(event.node);
      return;
    case EventKind::client:
    case EventKind::fault:
    case EventKind::heal:
    case EventKind::recover:
    case EventKind::script:
    case EventKind::check:
      return;  // the driver's
  }
}

// ---- One step of a replica.

void Cluster::step(SimNode& node, consensus::Event event) {
  if (failed()) return;
  ++steps_;
  node.replica->step(local_now(node), std::move(event));
  node.replica->check_invariants();
  if (tracing_) say("n" + std::to_string(node.id.value) + "   " + node.replica->describe());
  if (node.turn_pending) return;
  if (swarm_.batching != 0 && rng_node_.chance_per_million(swarm_.batching)) {
    node.turn_pending = true;
    schedule_for(node, EventKind::turn_end, between(rng_node_, 0, swarm_.turn_max));
    return;
  }
  settle(node);
}

// What the runtime does at the end of a turn. A lit fuse ends the node in the middle of it:
// before anything happened, or after a part of the messages left.
void Cluster::settle(SimNode& node) {
  node.turn_pending = false;
  consensus::Ready ready = node.replica->take_ready();
  const bool dying = burns_down(node.step_fuse);
  if (dying && rng_node_.below(2) == 0) {
    crash(node.position);
    return;
  }
  if (ready.write) take_write(node, std::move(*ready.write));
  watch_role(node);
  size_t leaving = ready.messages.size();
  if (dying) leaving = rng_node_.below(leaving + 1);
  for (size_t position = 0; position < leaving; ++position) {
    consensus::Message& message = ready.messages[position];
    if (message.from != node.id) violated(node, "sends in the name of another node");
    if (message.after > node.logical.last_write()) violated(node, "message after no write");
    if (message.after <= node.durable.last_write()) {
      send(node, std::move(message));
    } else {
      node.held.push_back(std::move(message));
    }
  }
  if (dying) {
    crash(node.position);
    return;
  }
  take_answers(node, ready);
  if (!node.alive || failed()) return;
  schedule_wake(node);
  start_disk(node);
}

void Cluster::take_write(SimNode& node, consensus::Write write) {
  hash_.add(write.id.value << 16U | write.entries.size());
  const consensus::HardState before = node.logical.hard_state();
  if (write.hard_state) oracles_.hard_state_written(node.id, before, *write.hard_state);
  uint64_t chain = 0;
  if (write.snapshot && write.install) {
    oracles_.snapshot_installed(node.id, *write.snapshot);
    if (failed()) return;
    chain = oracles_.chosen_chain(write.snapshot->index);
    node.installing = write.snapshot->index;
  }
  const std::string broken = node.logical.apply(write, chain);
  if (!broken.empty()) violated(node, broken);
  if (failed()) return;
  for (const consensus::Entry& entry : write.entries) {
    oracles_.entry_written(node.id, *node.logical.find(entry.index));
  }
  node.pending.push_back(std::move(write));
}

std::vector<Holder> Cluster::holders() const {
  std::vector<Holder> holders;
  for (const SimNode& node : nodes_) {
    holders.push_back({node.id, node.ghost ? &*node.ghost : &node.durable});
  }
  return holders;
}

void Cluster::take_answers(SimNode& node, const consensus::Ready& ready) {
  if (ready.committed < node.committed) {
    violated(node, "committed goes back from " + std::to_string(node.committed.value) + " to " +
                       std::to_string(ready.committed.value));
    return;
  }
  if (ready.committed > node.committed) {
    oracles_.committed(node.id, ready.committed, node.replica->status().ballot.round, node.logical,
                       node.replica->members(), holders());
    node.committed = ready.committed;
    if (node.amnesiac) check_admission(node);
    hash_.add(ready.committed.value);
    if (failed()) return;
  }
  for (const consensus::Refused& refused : ready.refused) {
    if (const auto* proposal = std::get_if<ProposalId>(&refused.what)) {
      oracles_.refused(node.id, *proposal);
    } else {
      Read& read = reads_.at(std::get<ReadId>(refused.what).value - 1);
      if (read.answered) violated(node, "answers a read twice");
      read.answered = true;
      --open_reads_;
    }
  }
  for (const consensus::ReadReady& answer : ready.reads) {
    Read& read = reads_.at(answer.id.value - 1);
    if (read.answered || read.life != node.life) violated(node, "answers a read twice");
    read.answered = true;
    --open_reads_;
    oracles_.read_ready(node.id, read.floor, answer.index);
    node.waiting_reads.push_back({answer.id.value, answer.index});
  }
  if (ready.fetch && !failed()) {
    if (node.fetch_open) violated(node, "asks for old entries twice at once");
    node.fetch_open = true;
    fetches_.push_back(*ready.fetch);
    schedule_for(node, EventKind::fetched, between(rng_disk_, 0, 4 * swarm_.disk_max),
                 fetches_.size() - 1);
  }
  for (const NodeId to : ready.snapshots) send_snapshot(node, to);
  if (swarm_.apply_delay_max == 0) {
    apply(node);
  } else if (!node.apply_pending && node.machine.applied < node.committed) {
    node.apply_pending = true;
    schedule_for(node, EventKind::apply, between(rng_node_, 0, swarm_.apply_delay_max));
  }
  serve_reads(node);
}

void Cluster::watch_role(SimNode& node) {
  const consensus::Status status = node.replica->status();
  if (status.role != consensus::Role::leader) return;
  oracles_.leading(node.id, status.ballot.round, node.logical);
}

void Cluster::schedule_wake(SimNode& node) {
  const Time deadline = node.replica->deadline();
  if (deadline == kNever) return;
  const int64_t local_deadline = deadline.time_since_epoch().count();
  if (local_deadline - node.clock.local(now_) > kFarAway) return;
  const int64_t when = std::max(node.clock.true_time(local_deadline), now_);
  if (when >= node.wake_at) return;  // the earlier wake looks again
  node.wake_at = when;
  schedule_for(node, EventKind::wake, when - now_);
}

void Cluster::on_wake(SimNode& node, const Scheduled& event) {
  if (event.time != node.wake_at) return;  // an earlier one took its place
  node.wake_at = INT64_MAX;
  if (node.replica->deadline() > local_now(node)) {
    schedule_wake(node);
    return;
  }
  step(node, consensus::Wake{});
}

// ---- Lives.

void Cluster::clear_volatile(SimNode& node) {
  node.replica.reset();
  node.held.clear();
  node.pending.clear();
  node.in_flight = 0;
  node.waiting_reads.clear();
  for (const Scheduled& event : node.backlog) drop(event);
  node.backlog.clear();
  node.received.clear();
  node.installing = {};
  node.apply_pending = false;
  node.turn_pending = false;
  node.fetch_open = false;
  node.wake_at = INT64_MAX;
  node.step_fuse = 0;
  node.disk_fuse = 0;
  node.paused = false;
}

void Cluster::crash(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive) return;
  if (tracing_) say("n" + std::to_string(position + 1) + " CRASH");
  ++crashes_;
  hash_.add(node.life);
  node.alive = false;
  for (Read& read : reads_) {
    if (!read.answered && read.life == node.life) {
      read.answered = true;
      --open_reads_;
    }
  }
  lose_unsynced(node);
  clear_volatile(node);
  node.machine = node.durable_machine;
  if (swarm_.restarts) {
    // Whoever lit a fuse never learns when it burnt down: everyone comes back by himself.
    restart_later(position,
                  between(rng_node_, swarm_.heartbeat_interval / 10, 3 * swarm_.election_timeout));
  }
  if (swarm_.disconnect_hints) {
    for (SimNode& other : nodes_) {
      if (other.alive && rng_node_.below(2) == 0) hint_disconnect(other.position, position);
    }
  }
}

void Cluster::restart_later(uint64_t node, int64_t delay) {
  queue_.push(
      {.time = now_ + delay, .kind = EventKind::restart, .node = static_cast<uint8_t>(node)});
}

void Cluster::restart(uint64_t position) {
  SimNode& node = nodes_[position];
  if (node.alive || failed()) return;
  node.alive = true;
  node.life = ++lives_;
  node.logical = node.durable;
  node.machine = node.durable_machine;
  node.committed = std::max(node.durable.hard_state().committed, node.durable.snapshot().index);
  consensus::Config config;
  config.self = node.id;
  config.incarnation = node.incarnation;
  config.amnesiac = node.amnesiac;
  config.election_timeout = Duration(swarm_.election_timeout);
  config.heartbeat_interval = Duration(swarm_.heartbeat_interval);
  config.pre_vote = swarm_.pre_vote;
  config.check_quorum = swarm_.check_quorum;
  consensus::Recovered recovered = node.durable.recover(swarm_.tail_bytes);
  const Time now = local_now(node);
  node.replica = options_.make_replica
                     ? options_.make_replica(config, std::move(recovered), now, rng_node_.split())
                     : consensus::make_replica(options_.protocol, config, std::move(recovered), now,
                                               rng_node_.split());
  if (tracing_) {
    say("n" + std::to_string(node.id.value) + " START " + node.replica->describe());
  }
  schedule_for(node, EventKind::persist, between(rng_disk_, 1, swarm_.persist_interval));
  settle(node);
}

bool Cluster::may_wipe(uint64_t position) const {
  uint64_t lost = nodes_[position].amnesiac ? 0 : 1;
  for (const SimNode& node : nodes_) lost += node.amnesiac ? 1 : 0;
  return lost * 2 < nodes_.size();
}

void Cluster::wipe(uint64_t position) {
  SimNode& node = nodes_[position];
  crash(position);
  if (tracing_) say("n" + std::to_string(position + 1) + " LOST ITS DISK");
  ++wipes_;
  hash_.add(wipes_);
  if (!node.ghost) node.ghost = std::move(node.durable);
  node.durable = LogImage(bootstrap_);
  node.durable_machine = {};
  node.durable_machine.members = bootstrap_;
  node.machine = node.durable_machine;
  node.amnesiac = true;
  ++node.incarnation;
}

void Cluster::pause(uint64_t position, int64_t duration) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  if (tracing_) say("n" + std::to_string(position + 1) + " PAUSE");
  node.paused = true;
  schedule_for(node, EventKind::resume, duration);
}

void Cluster::resume(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || !node.paused) return;
  node.paused = false;
  for (Scheduled event : node.backlog) {
    if (event.kind == EventKind::wake) {
      if (event.time != node.wake_at) continue;
      node.wake_at = now_;
    }
    event.time = now_;
    queue_.push(event);
  }
  node.backlog.clear();
}

void Cluster::light_fuse(uint64_t position, uint64_t turns, uint64_t disk_steps) {
  if (!nodes_[position].alive) return;
  nodes_[position].step_fuse = turns;
  nodes_[position].disk_fuse = disk_steps;
}

void Cluster::set_cut(LinkSet cut) {
  if (tracing_) {
    std::string text = "CUT";
    for (uint64_t from = 0; from < size(); ++from) {
      for (uint64_t to = 0; to < size(); ++to) {
        if ((cut & link(from, to)) != 0) {
          text += " " + std::to_string(from + 1) + ">" + std::to_string(to + 1);
        }
      }
    }
    say(text);
  }
  hash_.add(cut);
  cut_ = cut;
}

void Cluster::slow_disk(uint64_t position, int64_t factor) {
  nodes_[position].disk_factor = factor;
}

void Cluster::change_drift(uint64_t position, int64_t parts_per_million) {
  SimNode& node = nodes_[position];
  node.clock.change_drift(now_, parts_per_million);
  if (!node.alive || node.paused || failed()) return;
  node.wake_at = INT64_MAX;
  schedule_wake(node);
}

void Cluster::hint_disconnect(uint64_t position, uint64_t peer) {
  const SimNode& node = nodes_[position];
  if (!node.alive || position == peer) return;
  schedule_for(node, EventKind::disconnect, draw_latency(), peer);
}

void Cluster::heal_everything() {
  set_cut(0);
  NetworkQuality healed = swarm_.network;
  healed.loss = 0;
  healed.late = 0;
  healed.duplicate = 0;
  set_network(healed);
  for (SimNode& node : nodes_) {
    slow_disk(node.position, 1);
    resume(node.position);
    light_fuse(node.position, 0, 0);
    if (!node.alive) restart(node.position);
  }
}

void Cluster::wake(uint64_t position) {
  SimNode& node = nodes_[position];
  if (node.alive && !node.paused) step(node, consensus::Wake{});
}

// ---- Clients.

void Cluster::propose(uint64_t position, uint64_t payload) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  const ProposalId id{node.id, oracles_.next_proposal()};
  oracles_.proposed(id);
  proposals_.push_back({position, node.life});
  std::string text = std::to_string(id.sequence);
  text.resize(std::max<uint64_t>(text.size(), payload), '.');
  hash_.add(id.sequence);
  step(node, consensus::Propose{id, consensus::EntryKind::command, Bytes(text)});
}

void Cluster::read(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  reads_.push_back({position, node.life, oracles_.read_floor(), false});
  ++open_reads_;
  step(node, consensus::ReadBarrier{ReadId{reads_.size()}});
}

void Cluster::transfer(uint64_t position, NodeId to) {
  SimNode& node = nodes_[position];
  if (node.alive && !node.paused) step(node, consensus::TransferLead{to});
}

uint64_t Cluster::leader() const {
  uint64_t best = size();
  uint64_t best_round = 0;
  for (const SimNode& node : nodes_) {
    if (!node.alive) continue;
    const consensus::Status status = node.replica->status();
    if (status.role != consensus::Role::leader || status.ballot.round < best_round) continue;
    best_round = status.ballot.round;
    best = node.position;
  }
  return best;
}

void Cluster::fill(RunResult& result) const {
  result.hash = hash_.text();
  result.violation = oracles_.violation();
  result.events = events_;
  result.steps = steps_;
  result.simulated_nanoseconds = now_;
  result.commits = oracles_.chosen().value;
  result.acknowledged = oracles_.acknowledged_count();
  result.elections = oracles_.elections();
  result.reads = reads_served_;
  result.crashes = crashes_;
  result.wipes = wipes_;
  result.installs = installs_;
}

}  // namespace quorate::sim
