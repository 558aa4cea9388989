#include "sim/full/cluster.h"

#include <algorithm>
#include <utility>

#include "consensus/members.h"
#include "node/identity.h"
#include "node/limits.h"
#include "node/wire.h"
#include "sim/full/observed_machine.h"
#include "storage/kv/kv_store.h"

namespace quorate::sim::full {
namespace {

constexpr uint64_t kClusterId = 0x51756f7261746531ULL;
// Status is a picture that costs allocations; who leads is cheap and looked at more often.
constexpr uint64_t kLookEvery = 64;
constexpr uint64_t kAcknowledgedEvery = 256;
constexpr uint64_t kBoundsEvery = 1024;
// A store and its copies, what a transfer needs, spare segments; besides them the log's segments,
// of which each holds one entry at least. Something that grows without end reaches it.
constexpr uint64_t kFilesMax = 100;
// So long a transfer may keep the log from being given back (node/limits.h, with room).
constexpr Duration kPinned = 3 * node::kSnapshotPinAfter;

std::string text_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::io:
      return "io";
    case ErrorKind::corrupt:
      return "corrupt";
    case ErrorKind::not_found:
      return "not found";
    case ErrorKind::invalid:
      return "invalid";
    case ErrorKind::conflict:
      return "conflict";
    case ErrorKind::no_space:
      return "no space";
    case ErrorKind::unavailable:
      return "unavailable";
  }
  return "unknown";
}

}  // namespace

bool Excuses::explains(ErrorKind kind) const {
  switch (kind) {
    case ErrorKind::io:
      return io || damage;
    case ErrorKind::corrupt:
      return damage;
    case ErrorKind::no_space:
      return space;
    case ErrorKind::not_found:
    case ErrorKind::invalid:
    case ErrorKind::conflict:
    case ErrorKind::unavailable:
      return false;
  }
  return false;
}

Cluster::Cluster(const FullSwarm& swarm, uint64_t seed, Trace trace)
    : swarm_(swarm),
      trace_(std::move(trace)),
      rng_(mix(seed, 11)),
      truth_(consensus::log_shape(swarm_.protocol) == consensus::LogShape::prefix),
      atlas_(swarm_.atlas, swarm_.members),
      world_(mix(seed, 12)),
      members_(swarm_.members) {
  truth_.set_clock([this] { return world_.now(); });
  if (swarm_.faults.has(Fault::clock_drift)) truth_.leases().set_drift(swarm_.drift_max);
  world_.set_network(swarm_.network);
  Rng machines(mix(seed, 13));
  for (uint64_t member = 0; member < size(); ++member) {
    world_.add_node(id_of(member), swarm_.machine);
    auto kind = swarm_.file_system;
    const uint64_t drawn = machines.below(world::kFileSystems);
    if (swarm_.mixed_file_systems) kind = static_cast<world::FileSystem>(drawn);
    disk(member).set_file_system(kind);
    executor(member).set_clock(0, Duration(machines.below(1'000'000'000)));
    world_.crash(id_of(member), world::CrashKind::process);  // nobody runs until started
  }
  world_.set_all_links(swarm_.link);
  // Forwards and the like rely on what a connection promises. Replicas must not.
  if (swarm_.faults.has(Fault::loose)) {
    world_.set_loose([](const Bytes& frame) {
      const auto decoded = node::decode_frame(frame);
      return decoded && std::holds_alternative<node::ConsensusFrame>(decoded->body);
    });
  }
  world_.set_crash_handler([this](NodeId id) {
    ++counters_.crashes;
    say(id, [] { return "the power goes in the middle of what it does"; });
    gone(id.value - 1);
  });
}

// Tasks hold what belongs to the nodes: the executors go first.
Cluster::~Cluster() {
  for (uint64_t member = 0; member < size(); ++member) {
    if (world_.running(id_of(member))) world_.crash(id_of(member), world::CrashKind::process);
    members_[member].node.reset();
  }
}

node::NodeConfig Cluster::config(uint64_t member) {
  node::NodeConfig config;
  config.self = id_of(member);
  config.cluster_id = kClusterId;
  config.directory = kDirectory;
  for (uint64_t other = 0; other < size(); ++other) {
    const std::string name = "m" + std::to_string(other + 1);
    config.members.push_back({id_of(other), name, {}, {"http://" + name}});
  }
  config.election_timeout = swarm_.election_timeout;
  config.heartbeat_interval = swarm_.heartbeat_interval;
  config.protocol = swarm_.protocol;
  config.pre_vote = swarm_.pre_vote;
  config.snapshot_count = swarm_.snapshot_count;
  config.catch_up_entries = swarm_.catch_up_entries;
  config.wal_segment_bytes = swarm_.segment_bytes;
  config.incarnation = rng_.next() | 1U;
  return config;
}

node::MachineFactory Cluster::machines_of(uint64_t member) {
  using Machine = std::unique_ptr<machine::StateMachine>;
  return [this, member](const std::string& directory) -> Result<Machine> {
    auto rows = storage::open_memory_store(disk(member), directory);
    if (!rows) return std::unexpected(rows.error());
    auto machine = machine::etcd::open_etcd_machine(std::move(*rows));
    if (!machine) return std::unexpected(machine.error());
    if (up(member)) {
      ++counters_.installs;
      say(id_of(member), [&] {
        return "installs a snapshot of index " + std::to_string((*machine)->applied().value);
      });
    }
    return Machine(std::make_unique<ObservedMachine>(std::move(*machine), truth_, id_of(member)));
  };
}

// ---- Processes.

void Cluster::start(uint64_t member) {
  Member& one = members_[member];
  if (one.node != nullptr) return;
  const NodeId id = id_of(member);
  world_.restart(id);
  ++one.starts;
  one.ready = false;
  one.stopping = false;
  node::NodeConfig settings = config(member);
  auto opened = node::open_node(executor(member), disk(member), world_.network(id),
                                machines_of(member), std::move(settings), rng_.split());
  if (!opened) {
    if (disk(member).crashed()) {  // the power went meanwhile
      crash(member, world::CrashKind::power);
    } else {
      refused(member, opened.error());
    }
    return;
  }
  say(id, [] { return std::string("starts"); });
  one.node = std::move(*opened);
  one.refusals = 0;
  // What mattered was noticed and is being repaired, or forgotten with all the rest. A sector that
  // is read as it was some reads more may still be noticed.
  one.excuses.damage = disk(member).has_stale();
  one.excuses.io = disk(member).has_unreadable();
  one.excuses.space = disk(member).space() < world::kAmpleSpace;
  if (atlas_.state(member) == Atlas::State::damaged) {
    if (!one.excuses.damage) atlas_.set(member, Atlas::State::lost);
    one.acknowledged = {};
  }
  one.node->set_ready_handler([this, member] { members_[member].ready = true; });
  one.node->set_failure_handler([this, member](const Error& error) { failed(member, error); });
  one.node->start();
  if (companion_ != nullptr) companion_->on_started(member);
  check_kept(member);
}

void Cluster::refused(uint64_t member, const Error& error) {
  Member& one = members_[member];
  ++one.refusals;
  ++counters_.refusals;
  say(id_of(member), [&] { return "does not start: " + error.text; });
  if (!one.excuses.explains(error.kind)) {
    truth_.violated(id_of(member),
                    "does not start (" + text_of(error.kind) +
                        ") and nothing was done to its disk that explains it: " + error.text);
  }
  world_.crash(id_of(member), world::CrashKind::process);
  gone(member);
}

void Cluster::failed(uint64_t member, const Error& error) {
  ++counters_.failures;
  say(id_of(member), [&] { return "stops: " + error.text; });
  if (disk(member).crashed()) return;  // it dies anyway
  if (!members_[member].excuses.explains(error.kind)) {
    truth_.violated(id_of(member),
                    "stops (" + text_of(error.kind) +
                        ") and nothing was done to its disk that explains it: " + error.text);
  }
  // The process exits, but not from within its own callback.
  at(now(), [this, member, starts = members_[member].starts] {
    if (members_[member].starts == starts) crash(member, world::CrashKind::process);
  });
}

void Cluster::crash(uint64_t member, world::CrashKind kind) {
  const NodeId id = id_of(member);
  if (!world_.running(id)) return;
  ++counters_.crashes;
  say(id, [&] {
    return std::string(kind == world::CrashKind::power ? "loses its power" : "is killed");
  });
  world_.crash(id, kind);
  gone(member);
}

void Cluster::gone(uint64_t member) {
  if (companion_ != nullptr) companion_->on_gone(member);
  members_[member].node.reset();
  members_[member].stopping = false;
  if (on_down_) on_down_(member);
}

void Cluster::stop(uint64_t member, Duration patience) {
  Member& one = members_[member];
  if (one.node == nullptr || std::exchange(one.stopping, true)) return;
  say(id_of(member), [] { return std::string("is asked to stop"); });
  const uint64_t starts = one.starts;
  executor(member).post([this, member, patience, starts] {
    Member& there = members_[member];
    if (there.node == nullptr || there.starts != starts) return;
    there.node->stop(patience, [this, member, starts] {
      at(now(), [this, member, starts] {
        if (members_[member].starts == starts) crash(member, world::CrashKind::process);
      });
    });
  });
}

void Cluster::wipe(uint64_t member) {
  say(id_of(member), [] { return std::string("its directory is lost"); });
  ++counters_.wipes;
  disk(member).wipe();
  members_[member].excuses = {};
  members_[member].excuses.space = disk(member).space() < world::kAmpleSpace;
  members_[member].refusals = 0;
  members_[member].acknowledged = {};
  atlas_.set(member, Atlas::State::lost);
}

void Cluster::try_clone(uint64_t from, uint64_t to) {
  if (up(to) || from == to) return;
  say(id_of(to),
      [&] { return "is started on a copy of the data of m" + std::to_string(id_of(from).value); });
  world::TraceHash unused;
  world::SimDisk copy(rng_.split(), unused);
  copy.copy_from(disk(from));
  if (!copy.peek(std::string(kDirectory) + "/identity")) return;  // not even begun there
  node::NodeConfig settings = config(to);
  auto opened = node::open_node(
      executor(to), copy, world_.network(id_of(to)),
      [](const std::string&) -> Result<std::unique_ptr<machine::StateMachine>> {
        return fail(ErrorKind::invalid, "no machine is opened for a clone");
      },
      std::move(settings), rng_.split());
  const bool refused = !opened && (opened.error().kind == ErrorKind::conflict ||
                                   members_[from].excuses.explains(opened.error().kind));
  if (refused) return;
  truth_.violated(id_of(to), "was let in with the data of member " +
                                 std::to_string(id_of(from).value) +
                                 (opened ? "" : " for another reason: " + opened.error().text));
}

void Cluster::excuse(uint64_t member, Excuses excuses) {
  Excuses& have = members_[member].excuses;
  have.io = have.io || excuses.io;
  have.space = have.space || excuses.space;
  have.damage = have.damage || excuses.damage;
}

void Cluster::damaged(uint64_t member) {
  atlas_.set(member, Atlas::State::damaged);
  excuse(member, {.io = false, .space = false, .damage = true});
}

// ---- Watching.

// A member is whole once it has applied something, its directory says that it is admitted, and
// what it knows to be lost has come back from others.
void Cluster::review(uint64_t member) {
  if (atlas_.state(member) != Atlas::State::lost || !up(member)) return;
  if (members_[member].node->machine().applied() == Index{}) return;
  const auto text = disk(member).peek(std::string(kDirectory) + "/identity");
  const auto identity = text ? node::decode_identity(Bytes(*text)) : std::nullopt;
  if (!identity || identity->amnesiac) return;
  const consensus::Status status = members_[member].node->status().consensus;
  if (status.damaged != 0 || status.store_lost) return;
  if (identity->incarnation != 0) ++counters_.readmissions;
  atlas_.set(member, Atlas::State::whole);
}

void Cluster::review_all() {
  for (uint64_t member = 0; member < size(); ++member) review(member);
}

const machine::etcd::EtcdMachine* Cluster::etcd_machine(uint64_t member) const {
  if (!up(member)) return nullptr;
  const auto* observed = dynamic_cast<const ObservedMachine*>(&members_[member].node->machine());
  return observed == nullptr ? nullptr : &observed->inner();
}

uint64_t Cluster::leader() const {
  uint64_t best = size();
  uint64_t round = 0;
  for (uint64_t member = 0; member < size(); ++member) {
    const node::Node* node = members_[member].node.get();
    if (node == nullptr || node->leader() != id_of(member) || node->round() < round) continue;
    best = member;
    round = node->round();
  }
  return best;
}

void Cluster::note_acknowledged(uint64_t leader) {
  const consensus::Status status = members_[leader].node->status().consensus;
  if (status.role != consensus::Role::leader) return;
  for (const auto& [id, match] : status.progress) {
    if (id.value == 0 || id.value > size()) continue;
    // What a leader knows of one that lost its data is of an earlier life.
    if (!atlas_.whole(id.value - 1)) continue;
    Index& known = members_[id.value - 1].acknowledged;
    known = std::max(known, match);
  }
}

// What a leader counted on and what was decided, the log of a member that starts must reach: a
// leader may have it truncated, but never there.
void Cluster::check_kept(uint64_t member) {
  const Index acknowledged = members_[member].acknowledged;
  const Index decided{truth_.size()};
  const Index last = members_[member].node->status().consensus.last;
  if (last >= std::min(acknowledged, decided)) return;
  truth_.violated(id_of(member), "starts with a log up to " + std::to_string(last.value) +
                                     ", but it had acknowledged entry " +
                                     std::to_string(acknowledged.value));
}

void Cluster::look() {
  const uint64_t lead = leader();
  if (lead == size()) return;
  if (steps_ % kAcknowledgedEvery == 0) note_acknowledged(lead);
  const uint64_t round = members_[lead].node->round();
  if (round <= highest_round_led_) return;
  highest_round_led_ = round;
  ++counters_.elections;
  say(id_of(lead), [&] { return "leads round " + std::to_string(round); });
}

void Cluster::check_bounds(uint64_t member) {
  if (!up(member)) return;
  const NodeId id = id_of(member);
  const node::NodeStatus status = members_[member].node->status();
  if (status.proposals_pending > node::kPendingMax) {
    truth_.violated(id, "holds " + std::to_string(status.proposals_pending) + " proposals");
  }
  const size_t files = disk(member).stored().size();
  const uint64_t kept = 4 * (swarm_.snapshot_count + swarm_.catch_up_entries);
  if (files > kFilesMax + kept + truth_.size() - decided_before(kPinned)) {
    truth_.violated(id, "has " + std::to_string(files) + " files in its directory");
  }
}

uint64_t Cluster::decided_before(Duration past) {
  decided_at_.emplace_back(now(), truth_.size());
  while (decided_at_.size() > 1 && decided_at_[1].first + past <= now()) decided_at_.pop_front();
  return decided_at_.front().first + past <= now() ? decided_at_.front().second : 0;
}

bool Cluster::step() {
  if (truth_.broken() || !world_.step()) return false;
  ++steps_;
  if (steps_ % kLookEvery == 0) {
    look();
    review_all();
  }
  if (steps_ % kBoundsEvery == 0) check_bounds(steps_ / kBoundsEvery % size());
  return !truth_.broken();
}

bool Cluster::step_until(Time end) {
  while (world_.next_event() <= end) {
    if (!step()) return false;
  }
  world_.run_until(end);
  return !truth_.broken();
}

}  // namespace quorate::sim::full
