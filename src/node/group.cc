#include "node/group.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"
#include "base/mutant.h"
#include "node/limits.h"
#include "node/lost_machine.h"
#include "node/set_aside.h"

namespace quorate::node {
namespace {

bool nothing_asked(const consensus::Ready& ready) {
  return !ready.write && ready.messages.empty() && ready.reads.empty() && ready.refused.empty() &&
         ready.snapshots.empty() && !ready.fetch;
}

// Whether another configuration may be in force after this write.
bool touches_members(const consensus::Write& write) {
  return write.install || write.truncate_from ||
         std::ranges::any_of(write.entries, [](const consensus::Entry& entry) {
           return entry.kind == consensus::EntryKind::members;
         });
}

}  // namespace

Group::Group(GroupOptions options, GroupWorld world, StoreDirectory directory,
             std::shared_ptr<machine::StateMachine> machine)
    : options_(options),
      world_(std::move(world)),
      directory_(std::move(directory)),
      proposals_(options.self, options.first_sequence, options.end_sequence, *this),
      gate_(*this),
      lease_asks_(options.self, *this),
      lease_clock_(*this, options.lease_extension),
      applier_(options.group, world_.executor, world_.wal, *this),
      trim_(options.snapshot_count, options.catch_up_entries),
      sender_(options.group, world_.executor, world_.disk, directory_, world_.outbound, *this,
              options.snapshot_bytes_per_second),
      receiver_(options.group, world_.executor, world_.disk, directory_, world_.outbound, *this) {
  use_machine(std::move(machine));
  set_decided(machine_->durable_position().members, machine_->applied());
}

void Group::set_decided(const Bytes& encoded, Index index) {
  if (encoded.empty()) return;
  auto decoded = consensus::decode_members(encoded);
  CHECK(decoded.has_value(), "configurations in the log and in stores are well-formed");
  decided_members_ = std::move(*decoded);
  decided_at_ = index;
  members_changed_ = true;
  promotion_wanted_ = Promotion::is_wanted(decided_members_);
}

void Group::start_replica(std::unique_ptr<consensus::ReplicatedLog> replica, WriteId durable) {
  CHECK(replica_ == nullptr, "a group has one replica");
  replica_ = std::move(replica);
  durable_ = durable;
  applier_.set_replica(*replica_);
  status_ = replica_->status();
  applier_.set_committed(status_.committed);
  members_changed_ = true;
  if (status_.store_lost) {
    applier_.hold();
    set_decided(consensus::encode_members(replica_->members()), status_.first.previous());
  }
  arm_scrub(world_.executor.now());
  work_came();
}

// ---- What the disk has lost.

void Group::on_log_damaged(std::vector<IndexRange> ranges) {
  if (replica_ != nullptr) step(consensus::Damaged{std::move(ranges)});
}

void Group::on_apply_failed(const Error& error) {
  if (is_damage(error)) return lose_store(error);
  fail_all(error);
}

// The state is gone, the log is not: the member goes on voting, and serves nothing until a peer's
// snapshot is in place.
void Group::lose_store(const Error& error) {
  if (failed_ || status_.store_lost || replica_ == nullptr) return;
  step(consensus::StoreLost{});
  if (!replica_->status().store_lost) {
    // The log reaches back to its beginning. The next start sets the store aside and replays it.
    return fail_all(error);
  }
  log(LogLevel::error, error.text);
  log(LogLevel::warn, "this member's state is damaged: it is fetched from a peer");
  ++stores_lost_;
  status_ = replica_->status();
  applier_.hold();
  auto old = machine_;
  use_machine(std::make_shared<LostMachine>());
  proposals_.on_entries_skipped();
  world_.executor.run_blocking(
      world::DiskLane::background, [old = std::move(old)]() mutable { old.reset(); }, [] {});
}

// What the store stands for, durably, need not come back as entries. Entries behind the damage
// stay: peers may want them.
void Group::give_damage_back() {
  if (status_.damaged == 0 || status_.store_lost || install_) return;
  if (applier_.applied() < status_.damaged_first) return;
  const Index durable = machine_->durable_position().index;
  const Index covered = std::min(durable, status_.damaged_last);
  if (durable < status_.damaged_first) {
    machine_->start_flush();
  } else if (covered > covered_) {
    covered_ = covered;
    step(consensus::SnapshotTaken{covered, machine_->store_bytes()});
  }
}

void Group::arm_scrub(Time now) {
  if (options_.scrub_bytes_per_second != 0) scrub_at_ = now + options_.scrub_pause;
}

void Group::scrub_store() {
  scrub_at_ = kNever;
  if (scrubbing_ || status_.store_lost || install_) return arm_scrub(world_.executor.now());
  scrubbing_ = true;
  struct Job {
    std::string place;
    Result<uint64_t> bytes = uint64_t{0};
  };
  auto job = std::make_shared<Job>();
  job->place = scrub_place_;
  world_.executor.run_blocking(
      world::DiskLane::background,
      [job, machine = machine_] { job->bytes = machine->verify_next(job->place); },
      lifeline_.guard([this, job, machine = std::weak_ptr(machine_)] {
        scrubbing_ = false;
        scrub_place_ = job->place;
        // Of one that was replaced meanwhile nothing needs to be known.
        if (machine.lock() == machine_) on_scrubbed(job->bytes);
      }));
}

void Group::defragment(std::move_only_function<void(bool)> done) {
  auto outcome = std::make_shared<Result<void>>();
  world_.executor.run_blocking(
      world::DiskLane::background,
      [outcome, machine = machine_] { *outcome = machine->defragment(); },
      lifeline_.guard([outcome, machine = machine_, done = std::move(done)]() mutable {
        if (!*outcome) log(LogLevel::error, outcome->error().text);
        if (*outcome) machine->on_defragmented();
        done(outcome->has_value());
      }));
}

void Group::on_scrubbed(const Result<uint64_t>& bytes) {
  const Time now = world_.executor.now();
  if (!bytes) {
    if (is_damage(bytes.error())) lose_store(bytes.error());
    return arm_scrub(now);
  }
  scrubbed_ += *bytes;
  if (scrub_place_.empty()) return arm_scrub(now);
  const auto rate = static_cast<int64_t>(options_.scrub_bytes_per_second);
  const std::chrono::nanoseconds second = std::chrono::seconds(1);
  scrub_at_ = now + second * (static_cast<int64_t>(*bytes) + 1) / rate;
  work_came();
}

const consensus::Members* Group::members() const {
  return replica_ == nullptr ? nullptr : &replica_->members();
}

void Group::work_came() {
  if (std::exchange(dirty_, true)) return;
  world_.work_came();
}

void Group::fail_all(const Error& error) {
  if (std::exchange(failed_, true)) return;
  world_.failed(error);
}

void Group::step(consensus::Event event) {
  replica_->step(world_.executor.now(), std::move(event));
  work_came();
}

// ---- What clients ask.

void Group::propose(Bytes command, Time deadline, OutcomeCallback done) {
  const Index committed = applier_.committed();
  const Index applied = applier_.applied();
  const bool overloaded = committed > applied && committed - applied > kApplyLagMax;
  proposals_.propose(std::move(command), deadline, std::move(done), overloaded);
  work_came();
}

void Group::change_members(const MemberChange& change, Time deadline, OutcomeCallback done) {
  proposals_.change(change, deadline, std::move(done));
  work_came();
}

void Group::read_barrier(Time deadline, BarrierCallback done) {
  gate_.read(deadline, std::move(done));
  work_came();
}

// ---- Leases. Whoever leads answers, once a majority has confirmed that it does.

void Group::use_machine(std::shared_ptr<machine::StateMachine> machine) {
  machine_ = std::move(machine);
  applier_.set_machine(*machine_);
  lease_clock_.set_table(machine_->leases());
}

void Group::ask_lease(LeaseWish wish, int64_t lease, Time deadline, LeaseCallback done) {
  lease_asks_.ask(wish, lease, deadline, std::move(done));
  work_came();
}

void Group::ask_lease_clock(LeaseAsk ask) { take_lease_ask(options_.self, std::move(ask)); }

bool Group::send_lease_ask(NodeId leader, const LeaseAsk& ask) {
  return world_.outbound.send(leader, world::Lane::urgent, encode(options_.group, ask));
}

std::optional<Index> Group::propose_own(Bytes command) {
  // Without an id: it belongs to this round, and nobody proposes it again.
  const Index before = replica_->status().last;
  step(consensus::Propose{{}, consensus::EntryKind::command, std::move(command)});
  const Index last = replica_->status().last;
  if (last == before) return std::nullopt;
  return last;
}

void Group::take_lease_ask(NodeId from, LeaseAsk ask) {
  if (!lease_clock_.running()) return answer_lease_ask(from, ask, LeaseState::not_leader);
  if (lease_asks_held_ + ask.asks.size() > kLeaseAsksMax) {
    return answer_lease_ask(from, ask, LeaseState::later);
  }
  lease_asks_held_ += ask.asks.size();
  const Time deadline = world_.executor.now() + kLeaseConfirmMax;
  gate_.read(deadline, [this, from, ask = std::move(ask),
                        round = lease_clock_.round()](std::optional<RefusedWhy> why) {
    lease_asks_held_ -= ask.asks.size();
    // The same leader in the same round, and still in office: nobody else had the say meanwhile.
    const LeaderView view = leader_view();
    const bool confirmed = !why && view.here && view.round == round && lease_clock_.running() &&
                           lease_clock_.round() == round;
    answer_lease_ask(from, ask, confirmed ? std::nullopt : std::optional(LeaseState::not_leader));
  });
}

void Group::answer_lease_ask(NodeId to, const LeaseAsk& ask, std::optional<LeaseState> instead) {
  LeaseAnswer answer;
  answer.applied = applier_.applied();
  for (const LeaseAsk::One& one : ask.asks) {
    answer.answers.push_back(instead ? LeaseAnswer::One{one.id, *instead, 0, 0}
                                     : lease_clock_.decide(one));
  }
  if (to == options_.self) return lease_asks_.on_answer(world_.executor.now(), to, answer);
  world_.outbound.send(to, world::Lane::urgent, encode(options_.group, answer));
}

void Group::transfer_lead(NodeId to) {
  if (replica_ != nullptr) step(consensus::TransferLead{to});
}

void Group::refuse_new_work() {
  stopping_ = true;
  proposals_.stop();
  work_came();
}

void Group::abandon() {
  proposals_.abandon();
  gate_.stop(RefusedWhy::stopping);
  lease_asks_.stop();
  proposals_.deliver();
  gate_.release(applier_.applied());
  lease_asks_.deliver(applier_.applied());
}

void Group::leave() {
  proposals_.on_removed();
  refuse_new_work();
}

// ---- The ways out of the parts.

// Within a turn, which has asked for the time: not once more for each of a thousand.
void Group::propose_here(ProposalId id, const Bytes& command) {
  replica_->step(drained_at_, consensus::Propose{id, consensus::EntryKind::command, command});
  work_came();
}

std::optional<ForwardRefusal> Group::change_here(ProposalId id, const Bytes& encoded) {
  const auto change = decode_member_change(encoded);
  if (!change) return ForwardRefusal::too_large;
  const consensus::Status status = replica_->status();
  if (status.role != consensus::Role::leader || !status.established) return ForwardRefusal::later;
  // Only what is decided may be a reason to refuse, and only that is what a change starts from.
  const bool settled = !decided_members_.joint() && decided_members_ == replica_->members();
  if (!settled) return ForwardRefusal::busy;
  const auto target =
      changed(decided_members_, *change, {options_.learners_max, status.progress, status.last});
  if (!target) return forward_refusal(target.error());
  step(consensus::Propose{id, consensus::EntryKind::members, consensus::encode_members(*target)});
  return std::nullopt;
}

bool Group::forward(NodeId leader, const Forward& forward) {
  return world_.outbound.send(leader, world::Lane::normal, encode(options_.group, forward));
}

void Group::barrier_here(ReadId id) { step(consensus::ReadBarrier{id}); }

bool Group::ask_leader(NodeId leader, ReadId id) {
  return world_.outbound.send(leader, world::Lane::urgent, encode(options_.group, ReadAsk{id}));
}

void Group::answer_peer(NodeId peer, ReadId theirs, std::optional<Index> index) {
  world_.outbound.send(peer, world::Lane::urgent,
                       encode(options_.group, ReadAnswer{theirs, index}));
}

void Group::on_entry(const consensus::Entry& entry) {
  if (entry.kind == consensus::EntryKind::members) set_decided(entry.data, entry.index);
  trim_.on_applied(entry.index, entry.data.size());
}

void Group::on_round(uint64_t round) {
  if (replica_->keeps_ballots()) proposals_.on_round_applied(round);
}

void Group::on_reply(ProposalId id, Index index, machine::Reply reply) {
  proposals_.on_applied(id, index, std::move(reply));
}

void Group::on_snapshot_sent(NodeId to, Index index, bool ok) {
  step(consensus::SnapshotSent{to, index, ok});
}

bool Group::wants_snapshot(const consensus::SnapshotMeta& meta) const {
  return replica_ != nullptr && !install_ && !arrived_ && !failed_ &&
         meta.index > applier_.applied();
}

void Group::on_snapshot_whole(NodeId from, const consensus::SnapshotMeta& meta) {
  if (replica_ == nullptr || install_ || failed_) return;
  arrived_ = meta;
  step(consensus::SnapshotArrived{from, meta});
}

// ---- What peers say.

bool Group::take_forward(NodeId peer, Forward& forward) {
  if (forward.id.node != peer) return false;
  if (forward.command.size() > kCommandBytesMax || forwards_.size() >= kForwardsPerTurnMax) {
    const auto why = forward.command.size() > kCommandBytesMax ? ForwardRefusal::too_large
                                                               : ForwardRefusal::busy;
    world_.outbound.send(peer, world::Lane::normal,
                         encode(options_.group, ForwardRefused{forward.round, forward.id, why}));
    return true;
  }
  forwards_.emplace_back(peer, std::move(forward));
  return true;
}

bool Group::on_frame(NodeId peer, Frame& frame) {
  if (replica_ == nullptr || failed_) return true;
  work_came();
  const Time now = world_.executor.now();
  if (auto* consensus = std::get_if<ConsensusFrame>(&frame.body)) {
    consensus::Message& message = consensus->message;
    if (message.from != peer || message.to != options_.self) return false;
    step(consensus::Receive{std::move(message)});
  } else if (auto* forward = std::get_if<Forward>(&frame.body)) {
    return take_forward(peer, *forward);
  } else if (const auto* refused = std::get_if<ForwardRefused>(&frame.body)) {
    proposals_.on_forward_refused(now, peer, *refused);
  } else if (const auto* ask = std::get_if<ReadAsk>(&frame.body)) {
    gate_.on_peer_asks(peer, ask->id);
  } else if (const auto* answer = std::get_if<ReadAnswer>(&frame.body)) {
    gate_.on_leader_answer(now, peer, answer->id, answer->index);
  } else if (auto* asks = std::get_if<LeaseAsk>(&frame.body)) {
    take_lease_ask(peer, std::move(*asks));
  } else if (const auto* lease_answer = std::get_if<LeaseAnswer>(&frame.body)) {
    lease_asks_.on_answer(now, peer, *lease_answer);
  } else if (const auto* header = std::get_if<SnapshotHeader>(&frame.body)) {
    receiver_.on_header(peer, *header);
  } else if (const auto* chunk = std::get_if<SnapshotChunk>(&frame.body)) {
    receiver_.on_chunk(peer, *chunk);
  } else if (const auto* end = std::get_if<SnapshotEnd>(&frame.body)) {
    receiver_.on_end(peer, *end);
  } else if (const auto* progress = std::get_if<SnapshotProgress>(&frame.body)) {
    sender_.on_progress(peer, *progress);
  }
  return true;
}

void Group::on_connected(NodeId peer) {
  static_cast<void>(peer);
  work_came();  // what waits for that peer may leave now
}

void Group::on_disconnected(NodeId peer) {
  sender_.on_disconnected(peer);
  receiver_.on_disconnected(peer);
  if (replica_ != nullptr) step(consensus::Disconnected{peer});
  work_came();
}

void Group::on_durable(WriteId write) {
  CHECK(write > durable_, "the log reports writes in order, each once");
  durable_ = write;
  applier_.on_durable();
  work_came();
}

// ---- Carrying out.

LeaderView Group::leader_view() const {
  const consensus::Status status = replica_->status();
  return {status.leader, status.ballot.round, status.role == consensus::Role::leader};
}

void Group::take_forwards(const LeaderView& view) {
  const Index committed = applier_.committed();
  const bool overloaded =
      committed > applier_.applied() && committed - applier_.applied() > kApplyLagMax;
  auto forwards = std::exchange(forwards_, {});
  for (auto& [peer, forward] : forwards) {
    std::optional<ForwardRefusal> why;
    if (overloaded && !forward.is_change) {
      why = ForwardRefusal::busy;
    } else {
      why = take_forwarded(view, forward);
    }
    if (why) {
      world_.outbound.send(peer, world::Lane::normal,
                           encode(options_.group, ForwardRefused{forward.round, forward.id, *why}));
    }
  }
}

std::optional<ForwardRefusal> Group::take_forwarded(const LeaderView& view, Forward& forward) {
  const bool same_round = view.round == forward.round || QRT_MUTANT(R17_NODE);
  if (!view.here || !same_round) return ForwardRefusal::not_leader;
  if (stopping_) return ForwardRefusal::later;
  forwarded_rounds_[forward.id] = forward.round;
  if (forward.is_change) {
    const auto why = change_here(forward.id, forward.command);
    if (why) forwarded_rounds_.erase(forward.id);
    return why;
  }
  step(consensus::Propose{forward.id, consensus::EntryKind::command, std::move(forward.command)});
  return std::nullopt;
}

void Group::hand_over_work(Time now) {
  // Exact: nothing below changes who leads.
  const LeaderView view = leader_view();
  proposals_.hand_over(now, view);
  take_forwards(view);
  lease_asks_.hand_over(now, view);
  gate_.open_rounds(now, view);
}

void Group::append(consensus::Write write) {
  members_changed_ |= touches_members(write);
  if (write.install) {
    CHECK(write.snapshot.has_value(), "an install names its snapshot");
    CHECK(!install_, "one install at a time");
    install_ = Install{write.id, *write.snapshot};
    if (arrived_ && arrived_->index == write.snapshot->index) arrived_.reset();
    if (!QRT_MUTANT(HOLD_NODE)) applier_.hold();
    // Entries of our clients may be inside the snapshot, unseen.
    if (!QRT_MUTANT(SKIP_NODE)) proposals_.on_entries_skipped();
  }
  world_.wal.append(options_.group, std::move(write));
  appended_ = true;
}

bool Group::take_ready(Time now) {
  consensus::Ready ready = replica_->take_ready();
  const bool news = !nothing_asked(ready) || ready.committed > applier_.committed();
  if (ready.write) append(std::move(*ready.write));
  std::vector<consensus::Message> free;
  for (consensus::Message& message : ready.messages) {
    const bool leaves = message.after <= durable_ || QRT_MUTANT(R02_NODE);
    if (message.to != options_.self && leaves) {
      free.push_back(std::move(message));
    } else {
      const WriteId after = message.after;
      held_.emplace(after, std::move(message));
    }
  }
  send_messages(free);
  applier_.set_committed(ready.committed);
  for (const consensus::ReadReady& read : ready.reads) gate_.on_ready(read.id, read.index);
  for (const consensus::Refused& refused : ready.refused) route_refusal(now, refused);
  for (const NodeId to : ready.snapshots) sender_.start(to);
  if (ready.fetch) fetch(*ready.fetch);
  forwarded_rounds_.clear();
  if (arrived_) discard_arrived();
  return news;
}

void Group::route_refusal(Time now, const consensus::Refused& refused) {
  if (const auto* read = std::get_if<ReadId>(&refused.what)) return gate_.on_refused(now, *read);
  const ProposalId id = std::get<ProposalId>(refused.what);
  if (id.node == options_.self) return proposals_.on_refused(now, id, refused.why);
  const auto round = forwarded_rounds_.find(id);
  if (round == forwarded_rounds_.end()) return;
  ForwardRefusal why = ForwardRefusal::later;
  if (refused.why == consensus::Refusal::busy) why = ForwardRefusal::busy;
  if (refused.why == consensus::Refusal::not_leader) why = ForwardRefusal::not_leader;
  world_.outbound.send(id.node, world::Lane::normal,
                       encode(options_.group, ForwardRefused{round->second, id, why}));
}

// A message that does not leave is a message lost: protocols live with that.
void Group::send_message(const consensus::Message& message, Bytes frame) {
  const world::Lane lane = message.urgent ? world::Lane::urgent : world::Lane::normal;
  world_.outbound.send(message.to, lane, std::move(frame));
}

void Group::send_messages(const std::vector<consensus::Message>& messages) {
  const consensus::Message* before = nullptr;  // with entries
  MessageFrame frame;
  for (const consensus::Message& message : messages) {
    if (message.entries.empty()) {
      send_message(message, encode(options_.group, message));
      continue;
    }
    const bool again = before != nullptr && same_entries(*before, message);
    frame = encode_message(options_.group, message, again ? &frame : nullptr);
    before = &message;
    send_message(message, frame.bytes);
  }
}

void Group::fetch(consensus::IndexRange range) {
  world_.wal.read(options_.group, range, kFetchBytesMax,
                  lifeline_.guard([this](Result<std::vector<consensus::Entry>>&& entries) {
                    if (!entries) return fail_all(entries.error());
                    step(consensus::Fetched{std::move(*entries)});
                  }));
}

bool Group::release_held() {
  bool any = false;
  while (!held_.empty() && (held_.begin()->first <= durable_ || QRT_MUTANT(R04_NODE))) {
    consensus::Message message = std::move(held_.begin()->second);
    held_.erase(held_.begin());
    any = true;
    if (message.to == options_.self) {
      step(consensus::Receive{std::move(message)});
    } else {
      send_message(message, encode(options_.group, message));
    }
  }
  return any;
}

bool Group::apply(Applier::Budget& budget) {
  const Index before = applier_.applied();
  if (!applier_.apply(budget)) return false;
  if (!decided_members_.joint()) proposals_.on_members_settled();
  return applier_.applied() > before;
}

bool Group::drain(Time now) {
  if (!dirty_ || failed_) return false;
  dirty_ = false;
  drained_at_ = now;
  Applier::Budget budget{kApplyEntriesPerTurn, kApplyBytesPerTurn};
  bool moved = true;
  for (size_t pass = 0; moved && pass < kDrainPassesMax && !failed_; ++pass) {
    moved = false;
    if (replica_ != nullptr) {
      hand_over_work(now);
      moved |= take_ready(now);
      moved |= release_held();
      if (install_ && !install_->running && install_->after <= durable_) start_install();
      moved |= apply(budget);
    }
    moved |= proposals_.deliver();
    moved |= gate_.release(applier_.applied());
    moved |= lease_asks_.deliver(applier_.applied());
  }
  dirty_ = false;
  if (failed_) return false;
  settle(now);
  if (replica_ != nullptr) give_log_back(now);
  const bool more = moved || applier_.can_apply() || dirty_;
  dirty_ = more;
  return more;
}

void Group::add_to(NodeStatus& status) const {
  status.store_write_times = applier_.store_write_times();
  status.applies_slow = applier_.slow();
  status.reads_failed = gate_.failed();
  status.reads_asked_again = gate_.asked_again();
  status.leases_expired = lease_clock_.revoked();
  status.installing_snapshot = install_.has_value() && install_->running;
}

void Group::plan_chores(Time now) {
  if (!machine_->has_chores()) {
    chores_at_ = kNever;
  } else if (chores_at_ == kNever) {
    chores_at_ = now + kChoreInterval;
  }
}

void Group::do_chores() {
  chores_at_ = kNever;
  static_cast<void>(applier_.tidy());  // a failure has been told to this group
}

void Group::settle(Time now) {
  if (replica_ == nullptr) return;
  plan_chores(now);
  status_ = replica_->status();
  plan_promotion(now);
  lease_clock_.follow(leader_view(), status_.established, status_.committed, applier_.applied());
  if (status_.leader && status_.leader != last_leader_) {
    last_leader_ = status_.leader;
    ++leader_changes_;
  }
}

void Group::plan_promotion(Time now) {
  const bool wanted = promotion_wanted_ && status_.established;
  if (!wanted) promotion_at_ = kNever;
  if (wanted && promotion_at_ == kNever) promotion_at_ = now + kPromotionInterval;
}

void Group::promote(Time now) {
  promotion_at_ = now + kPromotionInterval;
  if (decided_members_.joint() || decided_members_ != replica_->members()) return;
  const auto target = promotion_.look(decided_members_, replica_->status());
  if (!target) return;
  log(LogLevel::info, "a new member has caught up: it becomes a voter");
  step(consensus::Propose{{}, consensus::EntryKind::members, consensus::encode_members(*target)});
}

void Group::give_log_back(Time now) {
  give_damage_back();
  if (install_ || !trim_.is_due(status_.first, applier_.applied())) return;
  const Index durable = machine_->durable_position().index;
  const LogTrim::Decision decision =
      trim_.decide(status_.first, applier_.applied(), durable, sender_.pinned(now));
  if (decision.flush) machine_->start_flush();
  // The store may be ahead of what this node knows to be decided, after a restart.
  if (decision.index && *decision.index <= applier_.committed()) {
    step(consensus::SnapshotTaken{*decision.index, machine_->store_bytes()});
    // We have applied this much since the start: nobody is going to send us a snapshot.
    receiver_.discard_leftover();
  }
}

void Group::on_time(Time now) {
  if (failed_) return;
  proposals_.expire(now);
  gate_.expire(now);
  lease_asks_.expire(now);
  if (replica_ != nullptr) lease_clock_.tick();
  sender_.expire(now);
  if (replica_ != nullptr && replica_->deadline() <= now) step(consensus::Wake{});
  if (replica_ != nullptr && promotion_at_ <= now) promote(now);
  if (scrub_at_ <= now) scrub_store();
  if (chores_at_ <= now) do_chores();
  work_came();
}

Time Group::deadline() const {
  if (failed_) return kNever;
  Time next =
      std::min({proposals_.deadline(), gate_.deadline(), lease_asks_.deadline(),
                lease_clock_.deadline(), sender_.deadline(), promotion_at_, scrub_at_, chores_at_});
  if (replica_ != nullptr) next = std::min(next, replica_->deadline());
  return next;
}

bool Group::appended() { return std::exchange(appended_, false); }

// ---- A peer's snapshot takes the machine's place.

void Group::discard_arrived() {
  // The replica had its say in the Ready just taken: no install means it knows better.
  const std::string path = directory_.arrived_path(arrived_->index);
  arrived_.reset();
  world_.executor.run_blocking(
      world::DiskLane::background,
      [disk = &world_.disk, path] { static_cast<void>(disk->remove_tree(path)); }, [] {});
}

void Group::start_install() {
  install_->running = true;
  using Opened = Result<std::shared_ptr<machine::StateMachine>>;
  auto outcome = std::make_shared<Opened>();
  world_.executor.run_blocking(
      world::DiskLane::background,
      [outcome, directory = directory_, index = install_->meta.index,
       factory = world_.make_machine]() mutable {
        if (auto adopted = directory.adopt_arrived(index); !adopted) {
          *outcome = fail(adopted.error().kind, adopted.error().text);
          return;
        }
        auto machine = factory(directory.store_path(index));
        if (machine) {
          *outcome = std::shared_ptr<machine::StateMachine>(std::move(*machine));
        } else {
          *outcome = fail(machine.error().kind, machine.error().text);
        }
      },
      lifeline_.guard([this, outcome] { on_installed(*outcome); }));
}

void Group::on_installed(const Result<std::shared_ptr<machine::StateMachine>>& machine) {
  if (!machine) return fail_all(machine.error());
  const Index index = install_->meta.index;
  if ((*machine)->applied() != index) {
    return fail_all(Error{ErrorKind::corrupt, "a verified snapshot of index " +
                                                  std::to_string(index.value) +
                                                  " opened as a store of index " +
                                                  std::to_string((*machine)->applied().value)});
  }
  auto old = machine_;
  use_machine(*machine);
  applier_.set_committed(index);
  set_decided(install_->meta.members, index);
  install_.reset();
  applier_.release();
  log(LogLevel::info, "installed a snapshot of index " + std::to_string(index.value));
  world_.executor.run_blocking(
      world::DiskLane::background,
      [old = std::move(old), directory = directory_, index]() mutable {
        old.reset();
        directory.remove_others(index);
      },
      [] {});
  work_came();
}

}  // namespace quorate::node
