#include "sim/full/nemesis.h"

#include <algorithm>
#include <utility>

namespace quorate::sim::full {
namespace {

using std::chrono::milliseconds;
using world::CrashKind;
using world::DiskLane;
using world::Stage;

// The operator replaces a directory that is refused this often.
constexpr uint64_t kPatientStarts = 2;

}  // namespace

// What is missing here is set once for the whole run and does not strike.
const Nemesis::Row Nemesis::kRows[] = {
    {Fault::crash, &Nemesis::crash},
    {Fault::kill, &Nemesis::crash},
    {Fault::power_loss, &Nemesis::lose_power},
    {Fault::crash_step, &Nemesis::crash_at_step},
    {Fault::crash_loop, &Nemesis::loop},
    {Fault::stop, &Nemesis::stop_one},
    {Fault::pause, &Nemesis::pause},
    {Fault::stage, &Nemesis::hold_stage},
    {Fault::slow_cpu, &Nemesis::slow_cpu},
    {Fault::clock_drift, &Nemesis::disturb_clock},
    {Fault::clock_step, &Nemesis::disturb_clock},
    {Fault::clock_freeze, &Nemesis::disturb_clock},
    {Fault::wall_clock, &Nemesis::disturb_wall},
    {Fault::transfer, &Nemesis::hand_over},
    {Fault::wipe, &Nemesis::lose},
    {Fault::clone, &Nemesis::clone},
    {Fault::split, &Nemesis::cut_shape},
    {Fault::isolate, &Nemesis::cut_shape},
    {Fault::one_way, &Nemesis::cut_one_way},
    {Fault::bridge, &Nemesis::cut_shape},
    {Fault::ring, &Nemesis::cut_shape},
    {Fault::chain, &Nemesis::cut_shape},
    {Fault::star, &Nemesis::cut_shape},
    {Fault::random_graph, &Nemesis::cut_shape},
    {Fault::flapping, &Nemesis::begin_flapping},
    {Fault::swizzle, &Nemesis::swizzle},
    {Fault::half_open, &Nemesis::half_open},
    {Fault::reset, &Nemesis::reset},
    {Fault::corrupt, &Nemesis::worsen},
    {Fault::bandwidth, &Nemesis::worsen},
    {Fault::latency, &Nemesis::worsen},
    {Fault::client_cut, &Nemesis::cut_clients},
    {Fault::lost_write, &Nemesis::damage},
    {Fault::misdirected, &Nemesis::damage},
    {Fault::duplicated, &Nemesis::damage},
    {Fault::stale_read, &Nemesis::damage},
    {Fault::bit_flip, &Nemesis::damage},
    {Fault::read_error, &Nemesis::damage},
    {Fault::sync_error, &Nemesis::fail_sync},
    {Fault::no_space, &Nemesis::fill},
    {Fault::hang, &Nemesis::hang},
    {Fault::slow_disk, &Nemesis::slow_disk},
};

Nemesis::Nemesis(Cluster& cluster, Clients& clients, Rng rng)
    : cluster_(cluster),
      clients_(clients),
      network_(cluster, rng.split()),
      rng_(rng),
      loops_(cluster.size(), 0) {
  for (const Row& row : kRows) {
    if (cluster.swarm().faults.has(row.fault)) classes_.push_back(row);
  }
  cluster_.set_down_handler([this](uint64_t member) { on_down(member); });
}

void Nemesis::later(Duration pause, world::Task action) {
  cluster_.at(cluster_.now() + pause, [this, era = era_, action = std::move(action)]() mutable {
    if (era == era_) action();
  });
}

void Nemesis::start() {
  acting_ = true;
  later(cluster_.swarm().calm_before, [this] { act(); });
  if (cluster_.swarm().quiet_every > Duration::zero()) {
    later(cluster_.swarm().quiet_every, [this] { quiet_window(); });
  }
}

void Nemesis::stop() {
  ++era_;
  acting_ = false;
}

// The leader is the most interesting victim.
uint64_t Nemesis::victim() {
  const uint64_t lead = cluster_.leader();
  if (rng_.below(5) < 2 && lead < cluster_.size()) return lead;
  return anybody();
}

Duration Nemesis::spell() {
  const auto timeout = static_cast<uint64_t>(cluster_.swarm().election_timeout.count());
  const uint64_t most = timeout * (1 + rng_.below(cluster_.swarm().spells_max));
  return Duration(rng_.between(timeout / 10, most));
}

void Nemesis::quiet_window() {
  quiet_ = !quiet_;
  clients_.set_quiet(quiet_);
  const Duration every = cluster_.swarm().quiet_every;
  later(quiet_ ? every / 3 : every, [this] { quiet_window(); });
}

void Nemesis::act() {
  if (classes_.empty()) return;
  if (!quiet_) {
    const Row& row = classes_[rng_.below(classes_.size())];
    ++strikes_;
    cluster_.say(NodeId{}, [&] { return "FAULT " + std::string(name_of(row.fault)); });
    (this->*row.strike)(row.fault);
  }
  const auto interval = static_cast<uint64_t>(cluster_.swarm().fault_interval.count());
  later(Duration(rng_.between(1, 2 * interval)), [this] { act(); });
}

// ---- Processes.

void Nemesis::crash(Fault fault) {
  cluster_.crash(victim(), fault == Fault::kill ? CrashKind::process : CrashKind::power);
}

void Nemesis::lose_power(Fault /*fault*/) {
  for (uint64_t each = 0; each < cluster_.size(); ++each) cluster_.crash(each, CrashKind::power);
}

void Nemesis::crash_at_step(Fault /*fault*/) {
  const uint64_t member = victim();
  cluster_.disk(member).crash_after_operations(rng_.between(1, 60));
}

void Nemesis::stop_one(Fault /*fault*/) {
  const uint64_t member = victim();
  cluster_.stop(member, spell());
}

void Nemesis::pause(Fault /*fault*/) {
  const uint64_t member = victim();
  if (!cluster_.up(member)) return;
  cluster_.world().pause(Cluster::id_of(member));
  later(spell(), [this, member] { cluster_.world().resume(Cluster::id_of(member)); });
}

void Nemesis::hold(uint64_t member, Stage stage) {
  if (!cluster_.up(member)) return;
  cluster_.executor(member).hold(stage);
  later(spell(), [this, member, stage] { cluster_.executor(member).release(stage); });
}

void Nemesis::hold_stage(Fault /*fault*/) {
  const uint64_t member = victim();
  hold(member, static_cast<Stage>(rng_.below(world::kStages)));
}

void Nemesis::loop(Fault /*fault*/) {
  const uint64_t member = victim();
  loops_[member] = rng_.between(2, 8);
  cluster_.crash(member, CrashKind::power);
}

void Nemesis::hand_over(Fault /*fault*/) {
  const uint64_t lead = cluster_.leader();
  if (lead == cluster_.size()) return;
  const NodeId to{rng_.below(cluster_.size() + 1)};
  const uint64_t starts = cluster_.member(lead).starts;
  cluster_.executor(lead).post([this, lead, to, starts] {
    if (cluster_.up(lead) && cluster_.member(lead).starts == starts) {
      cluster_.member(lead).node->transfer_lead(to);
    }
  });
}

// Only once a cluster was formed: before that a new directory is no loss (docs/decisions/0004).
void Nemesis::lose(Fault /*fault*/) {
  const uint64_t member = victim();
  if (cluster_.truth().size() < 3 || !cluster_.atlas().may_lose(member)) return;
  cluster_.crash(member, CrashKind::power);
  cluster_.wipe(member);
}

void Nemesis::clone(Fault /*fault*/) {
  const uint64_t to = victim();
  const uint64_t from = anybody();
  cluster_.crash(to, CrashKind::power);
  cluster_.try_clone(from, to);
}

void Nemesis::on_down(uint64_t member) {
  if (!acting_) return;
  Duration pause = rng_.below(3) == 0 ? spell() : spell() / 8;
  if (loops_[member] > 0) {
    --loops_[member];
    pause = milliseconds(rng_.between(1, 50));
    later(pause + milliseconds(rng_.between(1, 200)),
          [this, member] { cluster_.crash(member, CrashKind::power); });
  }
  later(pause, [this, member] { bring_back(member); });
}

bool Nemesis::bring_back(uint64_t member) {
  if (cluster_.up(member)) return true;
  if (cluster_.member(member).refusals >= kPatientStarts) {
    cluster_.disk(member).heal_unreadable();
    const bool damaged = cluster_.member(member).excuses.damage;
    if (damaged && cluster_.atlas().may_lose(member)) cluster_.wipe(member);
  }
  cluster_.start(member);
  return cluster_.up(member);
}

// ---- Time.

void Nemesis::slow_cpu(Fault /*fault*/) {
  const uint64_t member = victim();
  const auto worst = milliseconds(rng_.between(1, 300));
  cluster_.executor(member).set_turn_delay({.low = Duration(worst) / 4, .high = worst});
  later(spell(), [this, member] {
    cluster_.executor(member).set_turn_delay(cluster_.swarm().machine.turn);
  });
}

void Nemesis::disturb_clock(Fault fault) {
  const uint64_t member = victim();
  world::SimExecutor& executor = cluster_.executor(member);
  if (fault == Fault::clock_step) {
    const Duration step = spell();
    cluster_.truth().leases().on_clock_step(cluster_.now(), step);
    return executor.set_clock(0, step);
  }
  if (fault == Fault::clock_freeze) {
    executor.set_clock(world::kFrozenClock, {});
    return later(spell(), [this, member] { cluster_.executor(member).set_clock(0, {}); });
  }
  const uint64_t bound = cluster_.swarm().drift_max;
  const auto drift = static_cast<int64_t>(rng_.below(2 * bound + 1)) - static_cast<int64_t>(bound);
  executor.set_clock(drift, {});
}

void Nemesis::disturb_wall(Fault /*fault*/) {
  const uint64_t member = victim();
  world::SimExecutor& executor = cluster_.executor(member);
  using std::chrono::hours;
  const uint64_t kind = rng_.below(4);
  if (kind == 0) {
    executor.freeze_wall(true);
    return later(spell(), [this, member] { cluster_.executor(member).freeze_wall(false); });
  }
  const auto far = hours(kind == 1 ? 1 : 24 * 365 * 10);
  executor.step_wall(rng_.below(2) == 0 ? Duration(far) : -Duration(far));
}

// ---- The network.

void Nemesis::cut_shape(Fault shape) { cut(network_.draw(shape, victim()), false); }

void Nemesis::cut_one_way(Fault /*fault*/) {
  const uint64_t member = victim();
  cut(network_.one_way(member, rng_.below(2) == 0), true);
}

void Nemesis::begin_flapping(Fault /*fault*/) {
  const uint64_t member = victim();
  const Fault shape = rng_.below(2) == 0 ? Fault::split : Fault::isolate;
  const LinkSet links = network_.draw(shape, member);
  flap(links, 4 * spell());
}

void Nemesis::half_open(Fault fault) {
  const LinkSet links = network_.draw(fault, victim());
  const uint64_t trouble = network_.begin({.silent = links});
  later(spell(), [this, trouble] { network_.end(trouble); });
}

void Nemesis::reset(Fault fault) {
  const NodeId left = Cluster::id_of(victim());
  const NodeId right = Cluster::id_of(anybody());
  if (left != right) cluster_.world().reset_connection(left, right);
  if (rng_.below(2) == 0) worsen(fault);
}

// As a firewall does it: refused at once, or swallowed without a word.
void Nemesis::cut(LinkSet links, bool one_way) {
  NetworkFaults::Trouble trouble;
  const bool swallowed = one_way || rng_.below(2) == 0;
  if (swallowed) {
    trouble.silent = links;
  } else {
    trouble.down = links;
  }
  const uint64_t number = network_.begin(trouble);
  later(spell(), [this, number] { network_.end(number); });
}

void Nemesis::flap(LinkSet links, Duration left) {
  if (left <= Duration::zero()) return;
  const uint64_t number = network_.begin({.down = links});
  const auto timeout = static_cast<uint64_t>(cluster_.swarm().election_timeout.count());
  const Duration bad(rng_.between(timeout / 2, 3 * timeout / 2));
  const Duration good(rng_.between(timeout / 2, 3 * timeout / 2));
  later(bad, [this, number] { network_.end(number); });
  later(bad + good, [this, links, left = left - bad - good] { flap(links, left); });
}

// Links fall silent one after the other and come back in another order.
void Nemesis::swizzle(Fault /*fault*/) {
  const Duration whole = spell();
  const auto half = static_cast<uint64_t>(whole.count()) / 2 + 1;
  for (uint64_t left = 0; left < cluster_.size(); ++left) {
    for (uint64_t right = 0; right < left; ++right) {
      if (rng_.below(3) == 0) continue;
      const LinkSet links = network_.between(left, right);
      const Duration begin(rng_.below(half));
      const Duration end(half + rng_.below(half));
      later(begin, [this, links, rest = end - begin] {
        const uint64_t number = network_.begin({.silent = links});
        later(rest, [this, number] { network_.end(number); });
      });
    }
  }
}

void Nemesis::worsen(Fault fault) {
  NetworkFaults::Trouble trouble;
  trouble.worse = network_.every();
  if (rng_.below(2) == 0) trouble.worse = network_.draw(Fault::isolate, victim());
  world::LinkOptions quality = cluster_.swarm().link;
  const auto timeout = static_cast<uint64_t>(cluster_.swarm().election_timeout.count());
  if (fault == Fault::corrupt) {
    quality.corrupt_per_million = static_cast<uint32_t>(rng_.between(1'000, 50'000));
  } else if (fault == Fault::reset) {
    quality.reset_per_million = static_cast<uint32_t>(rng_.between(1'000, 50'000));
  } else if (fault == Fault::bandwidth) {
    quality.bytes_per_second = rng_.between(2'000, 200'000);
  } else {
    const uint64_t high = rng_.between(timeout / 20, 3 * timeout / 2);
    quality.latency = {.low = Duration(high / 4), .high = Duration(high)};
  }
  trouble.quality = quality;
  const uint64_t number = network_.begin(trouble);
  later(spell(), [this, number] { network_.end(number); });
}

void Nemesis::cut_clients(Fault /*fault*/) {
  std::vector<std::pair<uint64_t, uint64_t>> pairs;
  const uint64_t lead = cluster_.leader();
  for (uint64_t client = 0; client < cluster_.swarm().clients; ++client) {
    for (uint64_t member = 0; member < cluster_.size(); ++member) {
      if (rng_.below(2) == 0 || (member == lead && rng_.below(2) == 0)) {
        pairs.emplace_back(client, member);
      }
    }
  }
  for (const auto& [client, member] : pairs) clients_.set_cut(client, member, true);
  later(spell(), [this, pairs] {
    for (const auto& [client, member] : pairs) clients_.set_cut(client, member, false);
  });
}

// ---- Disks.

void Nemesis::fail_sync(Fault /*fault*/) {
  const uint64_t member = victim();
  cluster_.excuse(member, {.io = true});
  cluster_.disk(member).fail_next_sync();
}

void Nemesis::hang(Fault /*fault*/) {
  const uint64_t member = victim();
  hold(member, rng_.below(3) == 0 ? Stage::background_lane : Stage::log_lane);
}

void Nemesis::fill(Fault /*fault*/) {
  const uint64_t member = victim();
  world::SimDisk& disk = cluster_.disk(member);
  const uint64_t left = rng_.below(2) == 0 ? 0 : rng_.below(uint64_t{200} << 10U);
  disk.set_space(disk.used_bytes() + left);
  cluster_.excuse(member, {.space = true});
  later(spell(), [this, member] { cluster_.disk(member).set_space(world::kAmpleSpace); });
}

void Nemesis::slow_disk(Fault /*fault*/) {
  const uint64_t member = victim();
  world::SimExecutor& executor = cluster_.executor(member);
  static constexpr int64_t kFactors[] = {10, 100, 1000};
  const int64_t factor = kFactors[rng_.below(std::size(kFactors))];
  const world::SimNodeOptions& machine = cluster_.swarm().machine;
  const auto slow = [factor](world::DelayRange delay) {
    return world::DelayRange{.low = delay.low * factor, .high = delay.high * factor};
  };
  executor.set_lane_delay(DiskLane::log, slow(machine.log_lane));
  executor.set_lane_delay(DiskLane::background, slow(machine.background_lane));
  later(spell(), [this, member] {
    const world::SimNodeOptions& usual = cluster_.swarm().machine;
    cluster_.executor(member).set_lane_delay(DiskLane::log, usual.log_lane);
    cluster_.executor(member).set_lane_delay(DiskLane::background, usual.background_lane);
  });
}

// One sector, or two. What the last sync of a file wrote is spared: that its disk has lost the
// very end of what it acknowledged no member can know by itself, whatever it writes there.
void Nemesis::damage(Fault fault) {
  const uint64_t member = victim();
  world::SimDisk& disk = cluster_.disk(member);
  std::vector<world::SimDisk::Stored> files = disk.stored();
  std::erase_if(files, [](const auto& file) { return file.bytes < 2 * world::kSectorBytes; });
  // A sector that cannot be read is lost like any other: a member may give up for it what it holds,
  // before the sector comes back.
  if (files.empty() || !cluster_.atlas().may_lose(member)) return;
  const auto& file = files[rng_.below(files.size())];
  const uint64_t sectors = file.bytes / world::kSectorBytes;
  const uint64_t sector = rng_.below(sectors);
  const uint64_t other = rng_.below(sectors);
  const auto spared = [&](uint64_t place) {
    const uint64_t begin = place * world::kSectorBytes;
    return begin < file.last_sync_end && file.last_sync_begin < begin + world::kSectorBytes;
  };
  if (spared(sector) || spared(other)) return;
  const uint64_t offset = sector * world::kSectorBytes + rng_.below(world::kSectorBytes);
  const auto flip = static_cast<uint8_t>(1U << rng_.below(8));
  bool done = false;
  if (fault == Fault::bit_flip) done = disk.corrupt(file.path, offset, flip);
  if (fault == Fault::lost_write) done = disk.lose_write(file.path, sector);
  if (fault == Fault::misdirected) done = disk.misdirect(file.path, sector, other, true);
  if (fault == Fault::duplicated) done = disk.misdirect(file.path, sector, other, false);
  if (fault == Fault::stale_read) {
    done = disk.stale_reads(file.path, sector, static_cast<uint32_t>(rng_.between(1, 4)));
  }
  if (fault == Fault::read_error) done = disk.make_unreadable(file.path, sector);
  if (!done) return;
  cluster_.say(Cluster::id_of(member), [&] {
    return std::string(name_of(fault)) + " in sector " + std::to_string(sector) + " of " +
           file.path;
  });
  cluster_.damaged(member);
  if (fault == Fault::read_error) cluster_.excuse(member, {.io = true});
  // It shows when everything is read again.
  if (rng_.below(3) == 0) cluster_.crash(member, CrashKind::power);
}

// ---- Healing.

void Nemesis::restore(uint64_t member) {
  const world::SimNodeOptions& usual = cluster_.swarm().machine;
  world::SimExecutor& executor = cluster_.executor(member);
  if (executor.running()) cluster_.world().resume(Cluster::id_of(member));
  for (uint64_t stage = 0; stage < world::kStages; ++stage) {
    executor.release(static_cast<Stage>(stage));
  }
  executor.set_turn_delay(usual.turn);
  executor.set_lane_delay(DiskLane::log, usual.log_lane);
  executor.set_lane_delay(DiskLane::background, usual.background_lane);
  executor.set_clock(0, {});
  executor.freeze_wall(false);
  world::SimDisk& disk = cluster_.disk(member);
  disk.disarm();
  disk.heal_unreadable();
  disk.set_space(world::kAmpleSpace);
  loops_[member] = 0;
}

void Nemesis::spare(const std::vector<uint64_t>& members) {
  network_.spare(network_.among(members));
  for (const uint64_t member : members) {
    restore(member);
    for (uint64_t client = 0; client < cluster_.swarm().clients; ++client) {
      clients_.set_cut(client, member, false);
    }
  }
}

void Nemesis::cut_off(const std::vector<uint64_t>& members) {
  std::vector<uint64_t> others;
  for (uint64_t member = 0; member < cluster_.size(); ++member) {
    if (std::ranges::find(members, member) == members.end()) others.push_back(member);
  }
  NetworkFaults::Trouble trouble;
  trouble.down = network_.every() & ~network_.among(members) & ~network_.among(others);
  network_.begin(trouble);
}

void Nemesis::heal_all() {
  network_.clear();
  clients_.mend_all();
  for (uint64_t member = 0; member < cluster_.size(); ++member) restore(member);
}

}  // namespace quorate::sim::full
