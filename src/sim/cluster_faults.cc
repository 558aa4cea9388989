// What is done to the cluster from outside: lives and deaths, clocks, links, clients. Every
// action here is what a scenario can write down, and a Recorder is told of it in those words.
#include <algorithm>

#include "base/check.h"
#include "sim/cluster.h"
#include "sim/text.h"
#include "sim/topology.h"

namespace quorate::sim {
namespace {

std::string milliseconds(int64_t time) { return decimal_of(time, kMillisecond); }

std::string quality_words(const NetworkQuality& quality) {
  const auto microseconds = [](int64_t time) { return decimal_of(time, kMicrosecond); };
  return "network latency_min_us " + microseconds(quality.latency_min) + " latency_max_us " +
         microseconds(quality.latency_max) + " loss_ppm " + std::to_string(quality.loss) +
         " duplicate_ppm " + std::to_string(quality.duplicate) + " copies_max " +
         std::to_string(quality.copies_max) + " late_ppm " + std::to_string(quality.late) +
         " late_max_ms " + milliseconds(quality.late_max);
}

}  // namespace

void Cluster::record(const std::function<std::string()>& line) {
  const bool recording = options_.recorder != nullptr && !healed_;
  if (options_.observer == nullptr && !recording) return;
  std::string text = line();
  show(HappeningKind::action, kNobody, text);
  if (recording) options_.recorder->did(now_, std::move(text));
}

// ---- Lives.

void Cluster::clear_volatile(SimNode& node) {
  node.replica.reset();
  node.held.clear();
  node.pending.clear();
  node.in_flight = 0;
  node.disk_waits = false;
  node.waiting_reads.clear();
  node.open_reads.clear();
  for (const Scheduled& event : node.backlog) drop(event);
  node.backlog.clear();
  node.received.clear();
  node.installing = {};
  node.apply_pending = false;
  node.turn_pending = false;
  node.fetch_open = false;
  node.damage_seen = false;
  node.wake_at = INT64_MAX;
  node.step_fuse = 0;
  node.disk_fuse = 0;
  node.paused = false;
  node.shown.clear();
}

void Cluster::crash(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive) return;
  record([&] { return "crash " + named(position); });
  die(node);
}

void Cluster::die(SimNode& node) {
  if (tracing_) say(named(node.position) + " CRASH");
  ++crashes_;
  hash_.add(node.life);
  node.alive = false;
  for (const uint64_t id : node.open_reads) {
    reads_[id - 1].fate = ReadFate::lost;
    --open_reads_;
  }
  lose_unsynced(node);
  clear_volatile(node);
  node.machine = node.durable_machine;
  see(HappeningKind::crashed, node.position, node.durable.last_write().value);
  if (swarm_.restarts) {
    // Whoever lit a fuse never learns when it burnt down: everyone comes back by himself.
    restart_later(node.position, between(node.rng_fate, swarm_.heartbeat_interval / 10,
                                         3 * swarm_.election_timeout));
  }
  if (swarm_.disconnect_hints) {
    for (SimNode& other : nodes_) {
      if (other.alive && node.rng_fate.below(2) == 0) {
        hint_disconnect(other.position, node.position);
      }
    }
  }
}

void Cluster::restart_later(uint64_t node, int64_t delay) {
  queue_.push(
      {.time = now_ + delay, .kind = EventKind::restart, .node = static_cast<uint8_t>(node)});
}

// Options may differ between members and change with every start, as while they are rolled out.
consensus::Config Cluster::config_for(const SimNode& node) const {
  consensus::Config config;
  config.self = node.id;
  config.incarnation = node.incarnation;
  config.amnesiac = node.amnesiac;
  config.election_timeout = Duration(swarm_.election_timeout);
  config.heartbeat_interval = Duration(swarm_.heartbeat_interval);
  config.pre_vote = swarm_.pre_vote;
  config.check_quorum = swarm_.check_quorum;
  config.lease_reads = swarm_.lease_reads;
  config.clock_drift_per_million = static_cast<uint32_t>(swarm_.drift_max);
  config.append_entries_max = swarm_.append_entries_max;
  config.inflight_messages_max = swarm_.inflight_messages_max;
  if (swarm_.mixed_options) {
    Rng rng(mix(mix(seed_, 8), node.position << 32U | node.starts));
    config.pre_vote = rng.below(2) == 0;
    config.check_quorum = rng.below(2) == 0;
  }
  return config;
}

void Cluster::restart(uint64_t position) {
  SimNode& node = nodes_[position];
  if (node.alive || node.outside || failed()) return;
  if (node.starts != 0) record([&] { return "restart " + named(position); });
  node.alive = true;
  node.life = ++lives_;
  ++node.starts;
  node.logical = node.durable;
  node.machine = node.durable_machine;
  node.committed = std::max(node.durable.hard_state().committed, node.durable.snapshot().index);
  const consensus::Config config = config_for(node);
  consensus::Recovered recovered = node.durable.recover(swarm_.tail_bytes);
  recovered.store_lost = node.durable_machine.applied < node.durable.snapshot().index;
  const Time now = local_now(node);
  const Rng rng(mix(mix(seed_, 9), position << 32U | node.starts));
  node.replica =
      options_.make_replica
          ? options_.make_replica(config, std::move(recovered), now, rng)
          : consensus::make_replica(options_.protocol, config, std::move(recovered), now, rng);
  // Behind damage it is committed, but not at hand.
  node.committed = std::min(node.committed, node.replica->status().committed);
  see(HappeningKind::started, position, node.life);
  if (tracing_) say(named(position) + " START " + node.replica->describe());
  schedule_for(node, EventKind::persist, between(node.rng_disk, 1, swarm_.persist_interval));
  settle(node);
}

void Cluster::wipe(uint64_t position) {
  SimNode& node = nodes_[position];
  record([&] { return "wipe " + named(position); });
  if (node.alive) die(node);
  if (tracing_) say(named(position) + " LOST ITS DISK");
  see(HappeningKind::wiped, position, 0);
  ++wipes_;
  hash_.add(wipes_);
  if (!node.ghost) node.ghost = std::move(node.durable);
  node.durable = LogImage(node.bootstrap, shape());
  node.durable_machine = {};
  node.durable_machine.members = node.bootstrap;
  node.machine = node.durable_machine;
  node.amnesiac = true;
  ++node.incarnation;
}

void Cluster::pause(uint64_t position, int64_t duration) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  record([&] { return "pause " + named(position) + " " + milliseconds(duration); });
  if (tracing_) say(named(position) + " PAUSE");
  see(HappeningKind::paused, position, 0);
  node.paused = true;
  schedule_for(node, EventKind::resume, duration);
}

void Cluster::resume(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || !node.paused) return;
  node.paused = false;
  see(HappeningKind::resumed, position, 0);
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
  record([&] {
    return "fuse " + named(position) + " " + std::to_string(turns) + " " +
           std::to_string(disk_steps);
  });
  nodes_[position].step_fuse = turns;
  nodes_[position].disk_fuse = disk_steps;
}

// ---- Links.

void Cluster::set_cut(LinkSet wanted) {
  LinkSet real = 0;
  for (uint64_t node = 0; node < size(); ++node) real |= around(size(), node, true, true);
  const LinkSet cut = wanted & real;
  const auto list = [&](LinkSet links) {
    std::string text;
    for (uint64_t from = 0; from < size(); ++from) {
      for (uint64_t to = 0; to < size(); ++to) {
        if ((links & link(from, to)) == 0) continue;
        const bool both = (links & link(to, from)) != 0;
        if (both && to < from) continue;
        text += " " + named(from) + (both ? "-" : ">") + named(to);
      }
    }
    return text;
  };
  const std::string newly_cut = list(cut & ~cut_);
  const std::string mended = list(cut_ & ~cut);
  if (!newly_cut.empty()) record([&] { return "cut" + newly_cut; });
  if (!mended.empty()) record([&] { return "mend" + mended; });
  if (tracing_) say("CUT" + list(cut));
  hash_.add(cut);
  cut_ = cut;
}

void Cluster::set_network(const NetworkQuality& quality) {
  record([&] { return quality_words(quality); });
  quality_ = quality;
}

void Cluster::disconnect(uint64_t position, uint64_t peer) {
  SimNode& node = nodes_[position];
  if (!node.alive || position == peer || healed_) return;
  if (node.paused) {  // it will see it when it goes on
    schedule_for(node, EventKind::disconnect, 0, peer);
    return;
  }
  record([&] { return "disconnect " + named(position) + " " + named(peer); });
  step(node, consensus::Disconnected{nodes_[peer].id});
}

void Cluster::hint_disconnect(uint64_t position, uint64_t peer) {
  const SimNode& node = nodes_[position];
  if (!node.alive || position == peer) return;
  const int64_t delay = draw_latency(nodes_[peer].rng_fate);
  schedule_for(node, EventKind::disconnect, delay, peer);
}

// ---- Disks, stages and clocks.

void Cluster::slow_disk(uint64_t position, int64_t factor) {
  record([&] { return "slow " + named(position) + " " + std::to_string(factor); });
  nodes_[position].disk_factor = factor;
}

void Cluster::stall_disk(uint64_t position, bool stalled) {
  SimNode& node = nodes_[position];
  if (node.disk_stalled == stalled) return;
  record([&] { return (stalled ? "stall " : "unstall ") + named(position) + " disk"; });
  node.disk_stalled = stalled;
  if (stalled || !node.alive || failed()) return;
  if (node.disk_waits) schedule_for(node, EventKind::disk_done, 0);
  node.disk_waits = false;
}

void Cluster::stall_apply(uint64_t position, bool stalled) {
  SimNode& node = nodes_[position];
  if (node.apply_stalled == stalled) return;
  record([&] { return (stalled ? "stall " : "unstall ") + named(position) + " apply"; });
  node.apply_stalled = stalled;
  if (!stalled && node.alive && !node.paused) apply(node);
}

void Cluster::change_drift(uint64_t position, int64_t parts_per_million) {
  SimNode& node = nodes_[position];
  record([&] { return "drift " + named(position) + " " + std::to_string(parts_per_million); });
  node.clock.change_drift(now_, parts_per_million);
  if (!node.alive || node.paused || failed()) return;
  node.wake_at = INT64_MAX;
  schedule_wake(node);
}

void Cluster::jump_clock(uint64_t position, int64_t forward) {
  CHECK(forward >= 0, "monotonic clocks never go back");
  SimNode& node = nodes_[position];
  record([&] { return "clock " + named(position) + " " + milliseconds(forward); });
  node.clock.local_base += forward;
  if (!node.alive || node.paused || failed()) return;
  node.wake_at = INT64_MAX;
  schedule_wake(node);
}

void Cluster::fire_timeout(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused || failed()) return;
  const Time deadline = node.replica->deadline();
  if (deadline == kNever) return;
  record([&] { return "timeout " + named(position); });
  const Duration missing = deadline - local_now(node);
  if (missing > Duration::zero()) node.clock.local_base += missing.count();
  node.wake_at = INT64_MAX;
  step(node, consensus::Wake{});
}

void Cluster::wake(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  record([&] { return "wake " + named(position); });
  step(node, consensus::Wake{});
}

void Cluster::compact(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  record([&] { return "compact " + named(position); });
  persist(node, 0, 1);
}

void Cluster::heal_everything() {
  healed_ = true;
  show(HappeningKind::action, kNobody, "everything is healed");
  set_cut(0);
  holds_.clear();
  kept_.clear();
  unreachable_ = 0;
  NetworkQuality healed = swarm_.network;
  healed.loss = 0;
  healed.late = 0;
  healed.duplicate = 0;
  set_network(healed);
  for (SimNode& node : nodes_) {
    slow_disk(node.position, 1);
    resume(node.position);
    stall_disk(node.position, false);
    stall_apply(node.position, false);
    light_fuse(node.position, 0, 0);
    if (!node.alive) restart(node.position);
  }
}

// ---- Clients.

ProposalId Cluster::propose(uint64_t position, uint64_t payload) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused || failed()) return {};
  record([&] { return "propose " + named(position) + " 1 " + std::to_string(payload); });
  const ProposalId id{node.id, oracles_.next_proposal()};
  oracles_.proposed(id);
  proposals_.push_back({position, node.life});
  std::string text = std::to_string(id.sequence);
  text.resize(std::max<uint64_t>(text.size(), payload), '.');
  hash_.add(id.sequence);
  step(node, consensus::Propose{id, consensus::EntryKind::command, Bytes(text)});
  return id;
}

ReadId Cluster::read(uint64_t position) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused || failed()) return {};
  record([&] { return "read " + named(position); });
  reads_.push_back({position, node.life, oracles_.read_floor(), ReadFate::open, {}});
  ++open_reads_;
  const ReadId id{reads_.size()};
  node.open_reads.push_back(id.value);
  step(node, consensus::ReadBarrier{id});
  return id;
}

Cluster::ReadFate Cluster::fate_of(ReadId id, Index& answer) const {
  const Read& read = reads_.at(id.value - 1);
  answer = read.answer;
  return read.fate;
}

void Cluster::transfer(uint64_t position, NodeId to) {
  SimNode& node = nodes_[position];
  if (!node.alive || node.paused) return;
  record([&] {
    return "transfer " + named(position) + " " + (to ? "n" + std::to_string(to.value) : "*");
  });
  step(node, consensus::TransferLead{to});
}

}  // namespace quorate::sim
