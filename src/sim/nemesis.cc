#include "sim/nemesis.h"

#include <algorithm>

#include "sim/topology.h"

namespace quorate::sim {
namespace {

// Kinds of bad network, chosen for a storm.
enum class Weather : uint8_t { slow, lossy, doubled, shuffled, kinds };
constexpr uint64_t kFlapsMax = 20;
constexpr uint64_t kCrashLoopMax = 12;

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
  add(swarm.shapes, &Nemesis::shape, 3);
  add(swarm.flapping, &Nemesis::flap, 2);
  add(swarm.swizzles, &Nemesis::swizzle, 1);
  add(swarm.client_cuts, &Nemesis::cut_off_clients, 1);
  add(swarm.crash_loops, &Nemesis::crash_again_and_again, 1);
  add(swarm.stalls, &Nemesis::stall_stage, 2);
  add(swarm.clock_jumps, &Nemesis::jump_clock, 1);
  add(swarm.rests, &Nemesis::rest, 1);
  add(swarm.storms, &Nemesis::storm, 2);
  add(swarm.slow_disks, &Nemesis::slow_disk, 2);
  add(swarm.wipes && swarm.nodes >= 3, &Nemesis::wipe_one, 1);
  add(swarm.rots, &Nemesis::rot_some, 3);
  add(swarm.store_losses, &Nemesis::lose_store, 1);
  add(swarm.transfers, &Nemesis::transfer, 2);
  add(swarm.member_changes, &Nemesis::change_members, 6);
  add(swarm.member_changes, &Nemesis::retire_one, 2);
  add(swarm.drift_max != 0, &Nemesis::disturb_clock, 1);
  add(swarm.disconnect_hints, &Nemesis::hint, 1);
}

void Nemesis::act() {
  if (stopped_ || faults_.empty()) return;
  (this->*faults_[rng_.below(faults_.size())])();
  const auto interval = static_cast<uint64_t>(cluster_.swarm().fault_interval);
  auto pause = static_cast<int64_t>(rng_.between(1, 2 * interval));
  // Some bugs need a cluster that was left alone for a while between two troubles.
  if (std::exchange(resting_, false)) pause += 8 * cluster_.swarm().election_timeout;
  cluster_.schedule(EventKind::fault, pause);
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

// A few entries, old or new, of one member or of all in different places.
void Nemesis::rot_some() {
  const bool everywhere = rng_.below(4) == 0;
  const bool down = rng_.below(2) == 0;
  const uint64_t first_node = victim();
  for (uint64_t step = 0; step < (everywhere ? cluster_.size() : 1); ++step) {
    const uint64_t node = (first_node + step) % cluster_.size();
    if (down) cluster_.crash(node);
    const LogImage& log = cluster_.node(node).durable;
    if (log.last() < log.first()) continue;
    const uint64_t length = log.last() - log.first() + 1;
    // Mostly near the end: that is what elections and followers ask for.
    const uint64_t back = rng_.below(rng_.below(3) == 0 ? length : std::min<uint64_t>(length, 8));
    const Index last{log.last().value - back};
    const uint64_t span = rng_.below(4);
    cluster_.rot(node, Index{last.value - std::min(span, last - log.first())}, last);
  }
}

void Nemesis::lose_store() {
  const uint64_t node = victim();
  if (cluster_.may_lose_store(node)) cluster_.lose_store(node);
}

void Nemesis::recover_later(Trouble trouble, uint64_t node, uint64_t times, int64_t delay) {
  cluster_.schedule(EventKind::recover, delay,
                    static_cast<uint64_t>(trouble) << 32U | times << 8U | node);
}

void Nemesis::slow_disk() {
  const uint64_t node = victim();
  static constexpr int64_t kFactors[] = {10, 100, 1000};
  cluster_.slow_disk(node, kFactors[rng_.below(std::size(kFactors))]);
  recover_later(Trouble::slow_disk, node, 0, spell());
}

// One part of the process stands still while the others go on.
void Nemesis::stall_stage() {
  const uint64_t node = victim();
  const bool disk = rng_.below(2) == 0;
  if (disk) {
    cluster_.stall_disk(node, true);
  } else {
    cluster_.stall_apply(node, true);
  }
  recover_later(disk ? Trouble::stalled_disk : Trouble::stalled_apply, node, 0, spell());
}

void Nemesis::jump_clock() {
  const uint64_t node = victim();
  const auto most = static_cast<uint64_t>(4 * cluster_.swarm().election_timeout);
  cluster_.jump_clock(node, static_cast<int64_t>(rng_.below(most)));
}

// A process that dies faster than anybody gives up on it.
void Nemesis::crash_again_and_again() {
  const uint64_t node = victim();
  const uint64_t times = 2 * rng_.between(2, kCrashLoopMax);
  recover_later(Trouble::crash_loop, node, times, 0);
}

void Nemesis::cut_off_clients() {
  cluster_.cut_off_clients(uint64_t{1} << victim());
  recover_later(Trouble::clients, 0, 0, spell());
}

void Nemesis::rest() {
  resting_ = true;
  for (Partition& partition : partitions_) partition = {};
  apply_cuts();
}

// Any step an operator might ask for: learners come first, and only who has been admitted is
// made a voter, as the runtime sees to.
void Nemesis::change_members() {
  const uint64_t leader = cluster_.leader();
  if (leader == cluster_.size()) return;
  consensus::Members target = cluster_.node(leader).replica->members();
  target.outgoing.clear();
  for (uint64_t count = 1 + rng_.below(3); count != 0; --count) {
    alter(target, NodeId{1 + rng_.below(cluster_.size())});
  }
  if (target.voters.empty() || !cluster_.remembers_enough(target, cluster_.size())) return;
  cluster_.change_members(leader, target);
}

void Nemesis::alter(consensus::Members& target, NodeId id) {
  const auto by_id = [](const consensus::Member& left, const consensus::Member& right) {
    return left.id < right.id;
  };
  const bool was_voter = target.is_voter(id);
  const bool was_learner = target.is_learner(id);
  consensus::Member member{id, 0, {}};
  if (const consensus::Member* known = target.find(id)) member = *known;
  const auto same = [&](const consensus::Member& other) { return other.id == id; };
  std::erase_if(target.voters, same);
  std::erase_if(target.learners, same);
  const bool admitted = !cluster_.node(id.value - 1).amnesiac;
  if ((was_learner && admitted) || (was_voter && rng_.below(3) == 0)) {
    target.voters.push_back(member);
  } else if (!was_voter || rng_.below(2) == 0) {
    target.learners.push_back(member);
  }
  std::ranges::sort(target.voters, by_id);
  std::ranges::sort(target.learners, by_id);
}

void Nemesis::retire_one() {
  const uint64_t node = rng_.below(cluster_.size());
  if (cluster_.may_retire(node)) cluster_.retire(node);
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
  recover_later(Trouble::network, 0, 0, spell());
}

void Nemesis::recover(uint64_t what) {
  if (stopped_) return;
  const uint64_t node = what & 0xffU;
  const uint64_t times = (what >> 8U) & 0xffU;
  switch (static_cast<Trouble>(what >> 32U)) {
    case Trouble::network:
      if (--storms_ == 0) cluster_.set_network(cluster_.swarm().network);
      return;
    case Trouble::slow_disk:
      return cluster_.slow_disk(node, 1);
    case Trouble::stalled_disk:
      return cluster_.stall_disk(node, false);
    case Trouble::stalled_apply:
      return cluster_.stall_apply(node, false);
    case Trouble::crash_loop: {
      if (cluster_.node(node).alive) {
        cluster_.crash(node);
      } else {
        cluster_.restart(node);
      }
      const auto most = static_cast<uint64_t>(cluster_.swarm().election_timeout);
      const auto delay = static_cast<int64_t>(rng_.below(most));
      if (times > 1) recover_later(Trouble::crash_loop, node, times - 1, delay);
      return;
    }
    case Trouble::clients:
      return cluster_.cut_off_clients(0);
  }
}

// ---- Partitions.

LinkSet Nemesis::draw_cut() {
  const uint64_t node = victim();
  const uint64_t size = cluster_.size();
  switch (rng_.below(7)) {
    case 0:
      return split(size, rng_.next());
    case 1:  // two sides that see each other only through one node
      return split(size, rng_.next()) & ~around(size, node, true, true);
    case 2:
      return around(size, node, true, true);
    case 3:
      return around(size, node, true, false);
    case 4:
      return around(size, node, false, true);
    case 5:
      return link(node, rng_.below(size));
    default:
      return rng_.next() & rng_.next() & ((LinkSet{1} << (kNodesMax * kNodesMax)) - 1);
  }
}

// Graphs that hang together but in which not everyone sees everyone.
LinkSet Nemesis::draw_shape() {
  const uint64_t node = victim();
  const uint64_t size = cluster_.size();
  switch (rng_.below(4)) {
    case 0:
      return all_but(size, chain(random_order(size, rng_), true));
    case 1:
      return all_but(size, chain(random_order(size, rng_), false));
    case 2:
      return all_but(size, star(size, node));
    default:
      return all_but(size, random_connected(size, rng_));
  }
}

void Nemesis::apply_cuts() {
  LinkSet cut = 0;
  for (const Partition& partition : partitions_) {
    if (partition.on) cut |= partition.cut;
  }
  cluster_.set_cut(cut);
}

void Nemesis::begin(const Partition& partition, int64_t delay) {
  partitions_.push_back(partition);
  cluster_.schedule(EventKind::heal, delay, partitions_.size() - 1);
}

void Nemesis::partition() {
  const LinkSet cut = draw_cut();
  begin({cut, false, 2, spell()}, 0);
}

void Nemesis::shape() {
  const LinkSet cut = draw_shape();
  begin({cut, false, 2, spell()}, 0);
}

// About as fast as elections: each spell of health is nearly long enough for one.
void Nemesis::flap() {
  const LinkSet cut = rng_.below(3) == 0 ? draw_shape() : draw_cut();
  const auto timeout = static_cast<uint64_t>(cluster_.swarm().election_timeout);
  const auto period = static_cast<int64_t>(rng_.between(timeout / 2, 2 * timeout));
  begin({cut, false, 2 * rng_.between(2, kFlapsMax / 2), period}, 0);
}

// Members fall away one after the other and come back in another order.
void Nemesis::swizzle() {
  const uint64_t size = cluster_.size();
  const auto timeout = static_cast<uint64_t>(cluster_.swarm().election_timeout);
  int64_t delay = 0;
  for (const uint64_t node : random_order(size, rng_)) {
    const auto period = static_cast<int64_t>(rng_.between(timeout / 10, 4 * timeout));
    begin({around(size, node, true, true), false, 2, period}, delay);
    delay += static_cast<int64_t>(rng_.below(timeout));
  }
}

void Nemesis::heal(uint64_t number) {
  Partition& partition = partitions_[number];
  if (stopped_ || partition.changes == 0) return;
  partition.on = !partition.on;
  --partition.changes;
  if (partition.changes != 0) cluster_.schedule(EventKind::heal, partition.period, number);
  apply_cuts();
}

void Nemesis::stop() {
  stopped_ = true;
  cluster_.heal_everything();
}

// ---- Clients.

uint64_t Clients::pick() {
  const uint64_t leader = cluster_.leader();
  if (leader == cluster_.size() || !cluster_.clients_reach(leader) ||
      rng_.chance_per_million(cluster_.swarm().strangers)) {
    return rng_.below(cluster_.size());
  }
  return leader;
}

void Clients::act() {
  const Swarm& swarm = cluster_.swarm();
  const bool reading = rng_.chance_per_million(swarm.reads);
  // Any node may believe that it leads: reads there are the dangerous ones.
  const uint64_t node = reading && rng_.below(3) == 0 ? rng_.below(cluster_.size()) : pick();
  if (!cluster_.clients_reach(node)) {
    // The request is lost on its way.
  } else if (reading) {
    cluster_.read(node);
  } else {
    for (uint64_t count = rng_.between(1, swarm.burst_max); count != 0; --count) {
      cluster_.propose(node, rng_.below(swarm.payload_max + 1));
    }
  }
  const auto interval = static_cast<uint64_t>(swarm.client_interval);
  cluster_.schedule(EventKind::client, static_cast<int64_t>(rng_.between(1, 2 * interval)));
}

}  // namespace quorate::sim
