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
    case EventKind::damage_found:
      return "damage_found";
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
    case EventKind::end:
      return "end";
    case EventKind::check:
      return "check";
  }
  return "?";
}

const char* role_name(consensus::Role role) {
  switch (role) {
    case consensus::Role::follower:
      return "follower";
    case consensus::Role::candidate:
      return "candidate";
    case consensus::Role::leader:
      return "leader";
    case consensus::Role::learner:
      return "learner";
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
      seed_(seed),
      queue_(mix(seed, 5)),
      oracles_(options.protocol),
      tracing_(options.trace > 0),
      quality_(swarm.network) {
  const uint64_t all = swarm.nodes + swarm.spares;
  CHECK(swarm.nodes >= 1 && all <= kNodesMax, "link sets hold this many nodes");
  for (uint64_t place = 0; place < kNodesMax * kNodesMax; ++place) {
    rng_links_.emplace_back(mix(mix(seed, 1), place));
  }
  nodes_.resize(all);
  for (uint64_t position = 0; position < all; ++position) {
    SimNode& node = nodes_[position];
    node.id = NodeId{position + 1};
    node.position = position;
    node.rng_disk = Rng(mix(mix(seed, 2), position));
    node.rng_turn = Rng(mix(mix(seed, 3), position));
    node.rng_fate = Rng(mix(mix(seed, 4), position));
    node.outside = position >= swarm.nodes;
    node.durable = LogImage(Bytes{}, shape());
    node.clock.local_base = between(node.rng_turn, 0, 1000 * kSecond);
    const auto drift = static_cast<int64_t>(swarm_.drift_max);
    node.clock.drift = between(node.rng_turn, -drift, drift);
  }
  found(swarm.nodes);
  for (uint64_t position = 0; position < swarm.nodes; ++position) {
    restart_later(position, between(nodes_[position].rng_turn, 0, swarm_.start_spread));
  }
}

void Cluster::found(uint64_t voters) {
  const consensus::Members members = first_members(voters);
  const Bytes bootstrap = encode_members(members);
  const consensus::Write founding = consensus::founding_write(options_.protocol, members);
  for (uint64_t position = 0; position < voters; ++position) {
    SimNode& node = nodes_[position];
    node.bootstrap = bootstrap;
    node.durable = LogImage(bootstrap, shape());
    const std::string broken = node.durable.apply(founding, 0);
    if (!broken.empty()) violated(node, "founding: " + broken);
    node.logical = node.durable;
    for (Index index = node.durable.first(); index <= node.durable.last(); ++index) {
      oracles_.entry_written(node.id, *node.durable.find(index));
      oracles_.entry_durable(node.id, node.durable.find(index)->entry);
    }
    node.machine.members = bootstrap;
    node.durable_machine = node.machine;
  }
  // The founding entry is committed before anyone starts.
  const LogImage& founded = nodes_.front().durable;
  oracles_.committed(nodes_.front().id, founded.hard_state().committed,
                     founded.hard_state().promised, founded, members, holders());
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

void Cluster::show(HappeningKind kind, uint64_t node, std::string text) {
  if (options_.observer != nullptr) {
    options_.observer->saw({now_, kind, node, kNobody, 0, std::move(text)});
  }
}

void Cluster::see(HappeningKind kind, uint64_t node, uint64_t number, uint64_t peer) {
  if (options_.observer != nullptr) options_.observer->saw({now_, kind, node, peer, number, {}});
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
      disconnect(event.node, event.data);
      return;
    case EventKind::damage_found:
      on_damage_found(node);
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
    case EventKind::end:
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
  if (swarm_.batching != 0 && node.rng_turn.chance_per_million(swarm_.batching)) {
    node.turn_pending = true;
    schedule_for(node, EventKind::turn_end, between(node.rng_turn, 0, swarm_.turn_max));
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
  if (dying && node.rng_turn.below(2) == 0) {
    die(node);
    return;
  }
  if (ready.write) take_write(node, std::move(*ready.write));
  watch_role(node);
  size_t leaving = ready.messages.size();
  if (dying) leaving = node.rng_turn.below(leaving + 1);
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
    // Its write and its messages may carry on what nobody has been told yet.
    if (ready.committed > node.committed) tell_committed(node, ready.committed);
    die(node);
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
  see(HappeningKind::writes, node.position, write.id.value);
  node.pending.push_back(std::move(write));
}

const std::vector<Holder>& Cluster::holders() {
  holders_.clear();
  for (const SimNode& node : nodes_) {
    holders_.push_back({node.id, node.ghost ? &*node.ghost : &node.durable});
  }
  return holders_;
}

void Cluster::tell_committed(const SimNode& node, Index index) {
  oracles_.committed(node.id, index, node.replica->status().ballot, node.logical,
                     node.replica->members(), holders());
}

void Cluster::take_answers(SimNode& node, const consensus::Ready& ready) {
  if (ready.committed < node.committed) {
    violated(node, "committed goes back from " + std::to_string(node.committed.value) + " to " +
                       std::to_string(ready.committed.value));
    return;
  }
  if (ready.committed > node.committed) {
    tell_committed(node, ready.committed);
    node.committed = ready.committed;
    if (node.amnesiac) check_admission(node);
    hash_.add(ready.committed.value);
    see(HappeningKind::commits, node.position, ready.committed.value);
    if (failed()) return;
  }
  take_reads(node, ready);
  if (ready.fetch && !failed()) {
    if (node.fetch_open) violated(node, "asks for old entries twice at once");
    node.fetch_open = true;
    fetches_.push_back(*ready.fetch);
    schedule_for(node, EventKind::fetched, between(node.rng_disk, 0, 4 * swarm_.disk_max),
                 fetches_.size() - 1);
  }
  for (const NodeId to : ready.snapshots) send_snapshot(node, to);
  if (swarm_.apply_delay_max == 0) {
    apply(node);
  } else if (!node.apply_pending && node.machine.applied < node.committed) {
    node.apply_pending = true;
    schedule_for(node, EventKind::apply, between(node.rng_turn, 0, swarm_.apply_delay_max));
  }
  serve_reads(node);
}

void Cluster::take_reads(SimNode& node, const consensus::Ready& ready) {
  const auto answer = [&](ReadId id, ReadFate fate, Index index) -> Read& {
    Read& read = reads_.at(id.value - 1);
    if (read.fate != ReadFate::open || read.life != node.life) {
      violated(node, "answers a read twice");
    }
    read.fate = fate;
    read.answer = index;
    --open_reads_;
    std::erase(node.open_reads, id.value);
    return read;
  };
  for (const consensus::Refused& refused : ready.refused) {
    if (const auto* proposal = std::get_if<ProposalId>(&refused.what)) {
      oracles_.refused(node.id, *proposal);
    } else {
      answer(std::get<ReadId>(refused.what), ReadFate::refused, {});
    }
  }
  for (const consensus::ReadReady& ready_read : ready.reads) {
    const Read& read = answer(ready_read.id, ReadFate::ready, ready_read.index);
    // A leader with a hole counts others' copies behind it and reports nothing there as committed
    // yet: such a read waits until it has.
    const consensus::Status status = node.replica->status();
    const Index known = status.damaged != 0 ? status.last : status.committed;
    oracles_.read_ready(node.id, read.floor, ready_read.index, known);
    node.waiting_reads.push_back({ready_read.id.value, ready_read.index});
  }
}

void Cluster::watch_role(SimNode& node) {
  const consensus::Status status = node.replica->status();
  if (options_.observer != nullptr) {
    std::string text = role_name(status.role);
    text += (shape() == consensus::LogShape::prefix ? " term " : " ballot ") +
            std::to_string(status.ballot.round);
    if (text != node.shown) show(HappeningKind::state, node.position, node.shown = text);
  }
  if (status.role != consensus::Role::leader) return;
  oracles_.leading(node.id, status, node.logical);
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

uint64_t Cluster::leader() const {
  uint64_t best = size();
  consensus::Ballot best_ballot;
  for (const SimNode& node : nodes_) {
    if (!node.alive) continue;
    const consensus::Status status = node.replica->status();
    if (status.role != consensus::Role::leader || status.ballot < best_ballot) continue;
    best_ballot = status.ballot;
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
  result.rots = rots_;
  result.stores_lost = stores_lost_;
  result.member_changes = oracles_.member_changes();
}

}  // namespace quorate::sim
