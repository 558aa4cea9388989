#include "node/running_node.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/mutant.h"
#include "consensus/factory.h"
#include "node/limits.h"
#include "node/member_about.h"

namespace quorate::node {

consensus::Members initial_members(const std::vector<PeerConfig>& members) {
  consensus::Members initial;
  for (const PeerConfig& member : members) {
    initial.voters.push_back({member.id, 0, encode_member_about({member.name, member.urls})});
  }
  std::ranges::sort(initial.voters, {}, &consensus::Member::id);
  return initial;
}

consensus::Recovered recovered_from(const consensus::Write& write) {
  consensus::Recovered recovered;
  if (write.hard_state) recovered.hard_state = *write.hard_state;
  if (write.snapshot) recovered.snapshot = *write.snapshot;
  recovered.last = recovered.snapshot.index;
  for (const consensus::Entry& entry : write.entries) {
    if (recovered.runs.empty() || recovered.runs.back().ballot != entry.ballot) {
      recovered.runs.push_back({entry.index, entry.ballot});
    }
    if (entry.kind == consensus::EntryKind::members) recovered.members_entries.push_back(entry);
    recovered.tail.push_back(entry);
    recovered.last = entry.index;
  }
  recovered.last_write = write.id;
  return recovered;
}

RunningNode::RunningNode(NodeWorld world, MachineFactory make_machine, NodeConfig config, Rng rng,
                         OpenedDirectory opened)
    : executor_(world.executor),
      disk_(world.disk),
      network_(world.network),
      make_machine_(std::move(make_machine)),
      config_(std::move(config)),
      rng_(rng),
      lock_(std::move(opened.lock)),
      identity_(opened.identity),
      wal_(std::move(opened.wal)),
      recovered_(std::move(opened.recovered)),
      register_file_(std::move(opened.registers)),
      first_sequence_(opened.first_sequence),
      peers_(world.executor, world.network, *this),
      shard_(world.executor, *wal_),
      membership_(config_.self, config_.members, config_.contacts, identity_.joined_at) {
  if (config_.introduction) membership_.heard(*config_.introduction);
  wal_->set_callbacks(lifeline_.guard([this](GroupId group, WriteId write, Duration) {
    on_wal_durable(group, write);
  }),
                      lifeline_.guard([this](const Error& error) { fail_all(error); }));
  wal_->set_damage_callback(
      lifeline_.guard([this](GroupId group, std::vector<IndexRange> ranges, const std::string&) {
        if (!failed_ && group == config_.group) group_->on_log_damaged(std::move(ranges));
      }));
  shard_.set_after_drain([this](Time now) { return after_drain(now); });
  GroupOptions options;
  options.group = config_.group;
  options.self = config_.self;
  options.first_sequence = opened.first_sequence;
  options.end_sequence = opened.identity.next_sequence;
  options.snapshot_count = config_.snapshot_count;
  options.catch_up_entries = config_.catch_up_entries;
  options.scrub_bytes_per_second = config_.scrub_bytes_per_second;
  options.scrub_pause = config_.scrub_pause;
  options.snapshot_bytes_per_second = config_.snapshot_bytes_per_second != 0
                                          ? config_.snapshot_bytes_per_second
                                          : kSnapshotBytesPerSecond;
  options.learners_max = config_.learners_max;
  options.lease_extension = config_.election_timeout;
  auto group = std::make_unique<Group>(
      options,
      GroupWorld{executor_, disk_, peers_, *wal_, make_machine_,
                 [this](const Error& error) { fail_all(error); }, [this] { shard_.work_came(); }},
      StoreDirectory(disk_, config_.directory), std::move(opened.machine));
  group_ = group.get();
  shard_.add(config_.group, std::move(group));
}

// ---- Starting: founder, survivor or amnesiac.

void RunningNode::start() {
  CHECK(!std::exchange(started_, true), "a node is started once");
  started_at_ = executor_.now();
  take_members_news();
  if (recovered_ || identity_.amnesiac) {
    make_replica(recovered_ ? std::move(*recovered_) : consensus::Recovered{});
    recovered_.reset();
  } else if (config_.start == Start::existing_cluster || identity_.joined_at) {
    become_amnesiac();
  } else {
    std::vector<NodeId> others;
    for (const PeerConfig& member : config_.members) {
      if (member.id != config_.self) others.push_back(member.id);
    }
    founding_.emplace(std::move(others), executor_.now());
  }
  told_ = life_state();
  peers_.start();
  // Behind the hook with which the network sends: waking the log's thread costs the sender its
  // turn where processors are few, and the peers' disks are what a client waits for.
  executor_.at_turn_end(lifeline_.guard([this] { shard_.flush_log(); }));
  shard_.ask_for_turn();
}

void RunningNode::decide_founding(Time now) {
  if (!founding_ || founding_write_ || becoming_amnesiac_) return;
  switch (founding_->verdict(now)) {
    case Founding::Verdict::wait:
      return;
    case Founding::Verdict::found:
      return found();
    case Founding::Verdict::lost:
      return become_amnesiac();
  }
}

void RunningNode::found() {
  log(LogLevel::info, "founding a new cluster with the configured members");
  register_acceptors_.clear();  // another founder may have told them already
  for (const PeerConfig& member : config_.members) register_acceptors_.push_back(member.id);
  founding_write_ = consensus::founding_write(config_.protocol, initial_members(config_.members));
  if (founding_write_->id == WriteId{}) founding_write_->id = WriteId{1};
  wal_->append(config_.group, *founding_write_);
  wal_->flush();
}

void RunningNode::become_amnesiac() {
  if (identity_.joined_at) {
    log(LogLevel::info, "joining the cluster: this member takes part once it was admitted");
  } else {
    log(LogLevel::warn,
        "this member has no data but its cluster has: it takes part again once the others have "
        "re-admitted it");
  }
  becoming_amnesiac_ = true;
  identity_.amnesiac = !QRT_MUTANT(AMNESIA_NODE);
  identity_.incarnation = config_.incarnation;
  save_identity_then([this] {
    becoming_amnesiac_ = false;
    make_replica({});
  });
}

void RunningNode::save_identity_then(std::function<void()> then) {
  auto outcome = std::make_shared<Result<void>>();
  executor_.run_blocking(
      world::DiskLane::background,
      [outcome, disk = &disk_, directory = config_.directory, identity = identity_] {
        *outcome = save_identity(*disk, directory, identity);
      },
      lifeline_.guard([this, outcome, then = std::move(then)] {
        if (!*outcome) return fail_all(outcome->error());
        then();
      }));
}

void RunningNode::make_replica(consensus::Recovered recovered) {
  founding_.reset();
  const WriteId durable = recovered.last_write;
  if (!recovered.snapshot.index && recovered.snapshot.members.empty()) {
    recovered.snapshot.members = consensus::encode_members(
        membership_.told() ? membership_.told()->members : initial_members(config_.members));
  }
  consensus::Config config;
  config.self = config_.self;
  config.incarnation = identity_.incarnation;
  config.amnesiac = identity_.amnesiac;
  config.election_timeout = config_.election_timeout;
  config.heartbeat_interval = config_.heartbeat_interval;
  config.pre_vote = config_.pre_vote;
  group_->start_replica(consensus::make_replica(config_.protocol, config, std::move(recovered),
                                                executor_.now(), rng_.split()),
                        durable);
}

void RunningNode::on_wal_durable(GroupId group, WriteId write) {
  if (failed_) return;
  if (founding_write_ && group == config_.group && write == founding_write_->id) {
    make_replica(recovered_from(*founding_write_));
    founding_write_.reset();
    return;
  }
  shard_.on_durable(group, write);
}

// ---- Peers.

LifeState RunningNode::life_state() const {
  if (identity_.amnesiac) return LifeState::formed;
  if (!group_->has_replica()) return LifeState::fresh;
  const consensus::Status& status = group_->status();
  return status.ballot.round <= 1 && status.last.value <= 1 ? LifeState::virgin : LifeState::formed;
}

void RunningNode::say_hello(NodeId peer) {
  const bool undecided = !identity_.amnesiac && !group_->has_replica();
  const Hello hello{undecided ? config_.incarnation : identity_.incarnation, told_,
                    std::string(consensus::name_of(config_.protocol))};
  peers_.send(peer, world::Lane::urgent, encode(config_.group, hello));
}

void RunningNode::tell_life_state() {
  if (told_ == life_state()) return;
  told_ = life_state();
  for (const auto& [peer, since] : peers_.connected()) say_hello(peer);
}

void RunningNode::on_peer_connected(NodeId peer) {
  say_hello(peer);
  tell_acceptors(peer);
  group_->on_connected(peer);
}

void RunningNode::on_peer_disconnected(NodeId peer) {
  foreign_speakers_.erase(peer);
  if (founding_) founding_->forget(peer);
  group_->on_disconnected(peer);
}

// A member of another protocol is no member of this log, whatever it says.
bool RunningNode::speaks_ours(NodeId peer, const Hello& hello) {
  const std::string_view ours = consensus::name_of(config_.protocol);
  if (hello.protocol == ours) {
    foreign_speakers_.erase(peer);
    return true;
  }
  if (foreign_speakers_.insert(peer).second && told_foreign_.insert(peer).second) {
    log(LogLevel::error,
        "member " + std::to_string(peer.value) + " runs the protocol " +
            (consensus::protocol_named(hello.protocol) ? hello.protocol : "of a newer version") +
            ", this one " + std::string(ours) +
            ": nothing it says is listened to. All members of a cluster run the protocol that it "
            "was founded with: start that member again with --consensus " +
            std::string(ours) + " and an empty data directory, or this one with its protocol");
  }
  return false;
}

bool RunningNode::on_peer_frame(NodeId peer, Frame& frame) {
  if (failed_) return true;
  if (const auto* hello = std::get_if<Hello>(&frame.body)) {
    if (!speaks_ours(peer, *hello)) return true;
    if (founding_) founding_->heard(peer, hello->state);
    shard_.work_came();
    return true;
  }
  if (foreign_speakers_.contains(peer)) return true;
  if (frame.group != config_.group) return false;
  if (const auto* registers = std::get_if<RegisterFrame>(&frame.body)) {
    return take_register_frame(peer, registers->payload);
  }
  return group_->on_frame(peer, frame);
}

// ---- After each turn.

Time RunningNode::after_drain(Time now) {
  if (failed_ || !started_) return kNever;
  if (group_->members_changed()) {
    // In a turn of its own: who is forgotten is an event for the replica.
    executor_.post(lifeline_.guard([this] { take_members_news(); }));
  }
  decide_founding(now);
  open_registers();
  tell_life_state();
  notice_admission();
  notice_ready();
  continue_stop(now);
  Time next = look_for_others(now);
  if (founding_) next = std::min(next, founding_->deadline(now));
  if (stopping_) next = std::min(next, stopping_->ends);
  return next;
}

void RunningNode::notice_admission() {
  if (!identity_.amnesiac) return;
  const consensus::Member* self = group_->decided_members().find(config_.self);
  if (self == nullptr || self->incarnation != identity_.incarnation) return;
  log(LogLevel::info, "admitted: this member takes part");
  identity_.amnesiac = false;
  save_identity_then([] {});
}

void RunningNode::notice_ready() {
  if (ready_) return;
  if (identity_.amnesiac) return;  // it has no vote, so the cluster cannot count on it
  const consensus::Status& status = group_->status();
  if (!status.leader || !status.committed || status.store_lost) return;
  if (status.damaged != 0 && status.damaged_first > group_->applied()) return;
  if (!ready_at_) ready_at_ = status.committed;
  if (group_->applied() < *ready_at_) return;
  ready_ = true;
  if (ready_handler_) executor_.post(lifeline_.guard([this] { ready_handler_(); }));
}

void RunningNode::set_ready_handler(std::function<void()> handler) {
  ready_handler_ = std::move(handler);
}

void RunningNode::set_removed_handler(std::function<void()> handler) {
  removed_handler_ = std::move(handler);
}

void RunningNode::set_failure_handler(std::function<void(const Error&)> handler) {
  failure_handler_ = std::move(handler);
  if (failure_ && failure_handler_) failure_handler_(*failure_);
}

void RunningNode::fail_all(const Error& error) {
  if (std::exchange(failed_, true)) return;
  failure_ = error;
  log(LogLevel::error, "the node stops: " + error.text);
  shard_.stop();
  peers_.stop();
  if (registers_) registers_->stop();
  // Not from here: whoever found the failure may be in the middle of something.
  executor_.post(lifeline_.guard([this] {
    group_->abandon();
    if (stopping_) std::exchange(stopping_, std::nullopt)->done();
    if (failure_handler_) failure_handler_(*failure_);
  }));
}

// ---- Stopping.

void RunningNode::stop(Duration patience, std::function<void()> done) {
  CHECK(!stopping_ && !stopped_, "a node is stopped once");
  if (failed_ || !started_) {
    stopped_ = true;
    executor_.post(lifeline_.guard([done = std::move(done)] { done(); }));
    return;
  }
  const Time now = executor_.now();
  stopping_ = Stopping{now + patience, std::move(done)};
  group_->refuse_new_work();
  if (leader() == config_.self && known_members().voters.size() > 1) {
    group_->transfer_lead(NodeId{});
  }
  shard_.ask_for_turn();
  executor_.at(stopping_->ends, lifeline_.guard([this] { shard_.ask_for_turn(); }));
}

void RunningNode::continue_stop(Time now) {
  if (!stopping_) return;
  const bool alone = removed_ || known_members().voters.size() <= 1;
  const bool handed_over = alone || leader() != config_.self;
  const bool answered = group_->proposals_pending() == 0;
  if (now < stopping_->ends && !(handed_over && answered)) return;
  stopped_ = true;
  shard_.stop();
  if (registers_) registers_->stop();
  auto done = std::exchange(stopping_, std::nullopt)->done;
  executor_.post(lifeline_.guard([this, done = std::move(done)] {
    group_->abandon();
    peers_.stop();
    done();
  }));
}

// ---- Service.

void RunningNode::propose(Bytes command, Time deadline, OutcomeCallback done) {
  if (!takes_work()) {
    executor_.post(
        [done = std::move(done)]() mutable { done(RefusedOutcome{RefusedWhy::stopping}); });
    return;
  }
  group_->propose(std::move(command), deadline, std::move(done));
  shard_.ask_for_turn();
}

void RunningNode::read_barrier(Time deadline, BarrierCallback done) {
  if (!takes_work() || stopping_) {
    executor_.post([done = std::move(done)]() mutable { done(RefusedWhy::stopping); });
    return;
  }
  group_->read_barrier(deadline, std::move(done));
  shard_.ask_for_turn();
}

void RunningNode::ask_lease(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done) {
  if (!takes_work() || stopping_) {
    executor_.post(
        [done = std::move(done)]() mutable { done(RefusedOutcome{RefusedWhy::stopping}); });
    return;
  }
  group_->ask_lease(wish, lease, deadline, std::move(done));
  shard_.ask_for_turn();
}

void RunningNode::defragment(std::move_only_function<void(bool)> done) {
  if (!takes_work() || stopping_) {
    executor_.post([done = std::move(done)]() mutable { done(false); });
    return;
  }
  group_->defragment(std::move(done));
}

void RunningNode::query(const Bytes& request, machine::Reply& reply) const {
  group_->machine().query(request, reply);
}

void RunningNode::transfer_lead(NodeId to) {
  if (!takes_work()) return;
  group_->transfer_lead(to);
  shard_.ask_for_turn();
}

NodeStatus RunningNode::status() const {
  NodeStatus status;
  status.self = config_.self;
  status.group = config_.group;
  status.cluster_id = config_.cluster_id;
  status.protocol = consensus::name_of(config_.protocol);
  status.consensus = group_->status();
  status.applied = group_->applied();
  status.members = member_views();
  status.store_bytes = group_->machine().store_bytes();
  status.leader_changes = group_->leader_changes();
  status.proposals_committed = status.consensus.committed.value;
  status.proposals_pending = group_->proposals_pending();
  status.proposals_failed = group_->proposals_failed();
  const storage::WalMetrics log_metrics = wal_->metrics();
  status.wal_syncs = log_metrics.syncs;
  status.wal_bytes = log_metrics.bytes_written;
  status.wal_sync_times = log_metrics.sync_times;
  group_->add_to(status);
  status.log_entries_damaged = log_metrics.entries_damaged;
  status.log_entries_repaired = log_metrics.entries_repaired;
  status.stores_lost = group_->stores_lost();
  status.scrubbed_bytes = log_metrics.scrubbed_bytes + group_->store_bytes_scrubbed();
  status.peer_traffic = peers_.traffic();
  status.ready = ready_;
  return status;
}

}  // namespace quorate::node
