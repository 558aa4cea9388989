#include "sim/nemesis.h"

#include <algorithm>

namespace quorate::sim {
namespace {

// Kinds of bad network, chosen for a storm.
enum class Weather : uint8_t { slow, lossy, doubled, shuffled, kinds };
constexpr uint64_t kRecoverNetwork = UINT64_MAX;  // data of a recover event; else a node's disk

}  // namespace

Nemesis::Nemesis(Cluster& cluster, Rng rng) : cluster_(cluster), rng_(rng) {
  const Swarm& swarm = cluster.swarm();
  const auto add = [&](bool on, void (Nemesis::*fault)(), int weight) {
    for (int times = 0; on && times < weight; ++times) faults_.push_back(fault);
  };
  add(swarm.crashes, &Nemesis::crash_one, 3);
  add(swarm.power_losses, &Nemesis::lose_power, 1);
  add(swarm.fuses, &Nemesis::light_fuse, 3);
  add(swarm.pauses, &Nemesis::pause_one, 2);
  add(swarm.partitions, &Nemesis::partition, 4);
  add(swarm.storms, &Nemesis::storm, 2);
  add(swarm.slow_disks, &Nemesis::slow_disk, 2);
  add(swarm.wipes && swarm.nodes >= 3, &Nemesis::wipe_one, 1);
  add(swarm.transfers, &Nemesis::transfer, 2);
  add(swarm.drift_max != 0, &Nemesis::disturb_clock, 1);
  add(swarm.disconnect_hints, &Nemesis::hint, 1);
}

void Nemesis::act() {
  if (stopped_ || faults_.empty()) return;
  (this->*faults_[rng_.below(faults_.size())])();
  const auto interval = static_cast<uint64_t>(cluster_.swarm().fault_interval);
  cluster_.schedule(EventKind::fault, static_cast<int64_t>(rng_.between(1, 2 * interval)));
}

// The leader is the most interesting victim.
uint64_t Nemesis::victim() {
  const uint64_t leader = cluster_.leader();
  if (leader < cluster_.size() && rng_.below(5) < 2) return leader;
  return rng_.below(cluster_.size());
}

int64_t Nemesis::spell() {
  const auto timeout = static_cast<uint64_t>(cluster_.swarm().election_timeout);
  return static_cast<int64_t>(rng_.between(timeout / 10, timeout * (1 + rng_.below(8))));
}

void Nemesis::crash_one() { cluster_.crash(victim()); }

void Nemesis::lose_power() {
  for (uint64_t node = 0; node < cluster_.size(); ++node) cluster_.crash(node);
}

void Nemesis::light_fuse() {
  const uint64_t node = victim();
  if (rng_.below(2) == 0) {
    cluster_.light_fuse(node, rng_.between(1, 30), 0);
  } else {
    cluster_.light_fuse(node, 0, rng_.between(1, 10));
  }
}

// Drawn one after the other: the order in which arguments are evaluated is the compiler's choice.
void Nemesis::pause_one() {
  const uint64_t node = victim();
  cluster_.pause(node, spell());
}

void Nemesis::transfer() {
  const uint64_t leader = cluster_.leader();
  if (leader == cluster_.size()) return;
  cluster_.transfer(leader, NodeId{rng_.below(cluster_.size() + 1)});
}

void Nemesis::disturb_clock() {
  const uint64_t bound = cluster_.swarm().drift_max;
  const auto drift = static_cast<int64_t>(rng_.below(2 * bound + 1)) - static_cast<int64_t>(bound);
  cluster_.change_drift(rng_.below(cluster_.size()), drift);
}

void Nemesis::hint() {
  const uint64_t node = rng_.below(cluster_.size());
  cluster_.hint_disconnect(node, rng_.below(cluster_.size()));
}

void Nemesis::wipe_one() {
  const uint64_t node = rng_.below(cluster_.size());
  if (cluster_.may_wipe(node)) cluster_.wipe(node);
}

void Nemesis::slow_disk() {
  const uint64_t node = victim();
  static constexpr int64_t kFactors[] = {10, 100, 1000};
  cluster_.slow_disk(node, kFactors[rng_.below(std::size(kFactors))]);
  cluster_.schedule(EventKind::recover, spell(), node);
}

void Nemesis::storm() {
  NetworkQuality bad = cluster_.swarm().network;
  const int64_t timeout = cluster_.swarm().election_timeout;
  switch (static_cast<Weather>(rng_.below(static_cast<uint64_t>(Weather::kinds)))) {
    case Weather::slow:
      bad.latency_min = timeout / 10;
      bad.latency_max = timeout * 2;
      break;
    case Weather::lossy:
      bad.loss = rng_.between(100'000, 700'000);
      break;
    case Weather::doubled:
      bad.duplicate = 500'000;
      bad.copies_max = 8;
      bad.late_max = timeout * 4;
      break;
    case Weather::shuffled:
    case Weather::kinds:
      bad.late = 300'000;
      bad.late_max = timeout / 2;
      break;
  }
  cluster_.set_network(bad);
  ++storms_;
  cluster_.schedule(EventKind::recover, spell(), kRecoverNetwork);
}

void Nemesis::recover(uint64_t what) {
  if (what != kRecoverNetwork) {
    cluster_.slow_disk(what, 1);
  } else if (--storms_ == 0) {
    cluster_.set_network(cluster_.swarm().network);
  }
}

// ---- Partitions.

LinkSet Nemesis::around(uint64_t node, bool in, bool out) const {
  LinkSet cut = 0;
  for (uint64_t other = 0; other < cluster_.size(); ++other) {
    if (other == node) continue;
    if (in) cut |= link(other, node);
    if (out) cut |= link(node, other);
  }
  return cut;
}

LinkSet Nemesis::split() {
  const uint64_t side = rng_.next();
  LinkSet cut = 0;
  for (uint64_t from = 0; from < cluster_.size(); ++from) {
    for (uint64_t to = 0; to < cluster_.size(); ++to) {
      if (((side >> from) & 1U) != ((side >> to) & 1U)) cut |= link(from, to);
    }
  }
  return cut;
}

// Two sides that see each other only through one node.
LinkSet Nemesis::bridge() {
  LinkSet cut = split();
  const uint64_t node = victim();
  cut &= ~around(node, true, true);
  return cut;
}

LinkSet Nemesis::draw_cut() {
  const uint64_t node = victim();
  switch (rng_.below(7)) {
    case 0:
      return split();
    case 1:
      return bridge();
    case 2:
      return around(node, true, true);
    case 3:
      return around(node, true, false);
    case 4:
      return around(node, false, true);
    case 5:
      return link(node, rng_.below(cluster_.size()));
    default:
      return rng_.next() & rng_.next() & ((LinkSet{1} << (kNodesMax * kNodesMax)) - 1);
  }
}

void Nemesis::apply_cuts() {
  LinkSet cut = 0;
  for (const LinkSet partition : partitions_) cut |= partition;
  cluster_.set_cut(cut);
}

void Nemesis::partition() {
  partitions_.push_back(draw_cut());
  cluster_.schedule(EventKind::heal, spell(), partitions_.size() - 1);
  apply_cuts();
}

void Nemesis::heal(uint64_t partition) {
  if (stopped_) return;
  partitions_[partition] = 0;
  apply_cuts();
}

void Nemesis::stop() {
  stopped_ = true;
  storms_ = UINT64_MAX / 2;  // late recover events find nothing to do
  cluster_.heal_everything();
}

// ---- Clients.

uint64_t Clients::pick() {
  const uint64_t leader = cluster_.leader();
  if (leader == cluster_.size() || rng_.chance_per_million(cluster_.swarm().strangers)) {
    return rng_.below(cluster_.size());
  }
  return leader;
}

void Clients::act() {
  const Swarm& swarm = cluster_.swarm();
  if (rng_.chance_per_million(swarm.reads)) {
    // Any node may believe that it leads: those reads are the dangerous ones.
    cluster_.read(rng_.below(3) == 0 ? rng_.below(cluster_.size()) : pick());
  } else {
    const uint64_t node = pick();
    for (uint64_t count = rng_.between(1, swarm.burst_max); count != 0; --count) {
      cluster_.propose(node, rng_.below(swarm.payload_max + 1));
    }
  }
  const auto interval = static_cast<uint64_t>(swarm.client_interval);
  cluster_.schedule(EventKind::client, static_cast<int64_t>(rng_.between(1, 2 * interval)));
}

}  // namespace quorate::sim
