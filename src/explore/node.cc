#include "explore/node.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::explore {

Node::Node(const Scope& scope, NodeId self, LogImage disk)
    : scope_(&scope), self_(self), now_(std::chrono::seconds(1)), durable_(std::move(disk)) {
  start();
}

Node::Node(const Node& other)
    : scope_(other.scope_),
      self_(other.self_),
      replica_(other.replica_->clone()),
      now_(other.now_),
      life_(other.life_),
      incarnation_(other.incarnation_),
      amnesiac_(other.amnesiac_),
      ghost_(other.ghost_),
      untaken_(other.untaken_),
      logical_(other.logical_),
      durable_(other.durable_),
      pending_(other.pending_),
      held_(other.held_),
      streams_(other.streams_),
      arrived_(other.arrived_),
      reported_(other.reported_),
      committed_(other.committed_) {}

void Node::start() {
  consensus::Config config;
  config.self = self_;
  config.incarnation = incarnation_;
  config.amnesiac = amnesiac_;
  config.election_timeout = kElection;
  config.heartbeat_interval = kHeartbeat;
  config.pre_vote = scope_->pre_vote;
  config.check_quorum = scope_->check_quorum;
  config.lease_reads = scope_->lease_reads;
  config.clock_drift_per_million = kDriftPerMillion;
  config.append_entries_max = scope_->append_max;
  logical_ = durable_;
  pending_.clear();
  held_.clear();
  streams_.clear();
  arrived_.clear();
  untaken_ = 0;
  // Timeouts are drawn as short as they may be: later is any time the search likes.
  replica_ = consensus::make_replica(scope_->protocol, config, durable_.recover(scope_->tail), now_,
                                     Rng::least());
  reported_ = {};
  committed_ = replica_->status().committed;
}

void Node::step(consensus::Event event) {
  replica_->step(now_, std::move(event));
  replica_->check_invariants();
}

void Node::perform(const Order& order, Effects& effects) {
  switch (order.action) {
    case Action::deliver:
      deliver(*order.packet, effects);
      break;
    case Action::wake:
      if (scope_->clocks == Clocks::free) now_ = std::max(now_, replica_->deadline());
      step(consensus::Wake{});
      break;
    case Action::pass:
      now_ += kUnit * static_cast<int64_t>(order.number);
      return;
    case Action::sync:
      sync(effects);
      break;
    case Action::crash:
      ++life_;
      start();
      break;
    case Action::wipe:
      lose_disk();
      start();
      break;
    case Action::propose:
      step(consensus::Propose{{self_, order.number}, consensus::EntryKind::command, {}});
      break;
    case Action::change:
      step(consensus::Propose{{self_, order.number}, consensus::EntryKind::members, order.members});
      break;
    case Action::read:
      step(consensus::ReadBarrier{ReadId{order.number}});
      break;
    case Action::transfer:
      step(consensus::TransferLead{order.peer});
      break;
    case Action::compact:
      step(consensus::SnapshotTaken{Index{order.number}});
      break;
    case Action::stream_fails:
      std::erase(streams_, order.peer);
      step(consensus::SnapshotSent{order.peer, {}, false});
      break;
    case Action::disconnect:
      step(consensus::Disconnected{order.peer});
      break;
    case Action::turn:
      break;
  }
  ++untaken_;
  if (order.ends_turn) take(effects);
  // What is known to be committed, not what is reported: the report may wait for other effects.
  const Index known = replica_->status().committed;
  const bool restarted = order.action == Action::crash || order.action == Action::wipe;
  if (known < committed_ && !restarted) {
    effects.violation = "the committed position goes back";
  }
  committed_ = known;
  std::erase_if(arrived_, [&](const Arrived& it) { return it.index < committed_; });
  if (amnesiac_) check_admission();
}

void Node::lose_disk() {
  if (!ghost_) ghost_ = std::move(durable_);
  durable_ = LogImage(logical_.shape());
  amnesiac_ = true;
  ++incarnation_;
}

bool Node::admits(const Bytes& members) const {
  const auto decoded = consensus::decode_members(members);
  const consensus::Member* self = decoded ? decoded->find(self_) : nullptr;
  return self != nullptr && self->incarnation == incarnation_;
}

// An ordinary member again once it holds its re-admission, durable, and knows it to be committed.
// Should it forget that knowledge in a crash, it starts as an amnesiac once more.
void Node::check_admission() {
  const Index remembered = durable_.hard_state().committed;
  const Index certain = std::min(durable_.last(), std::max(committed_, remembered));
  if (!admits(durable_.members_at(certain))) return;
  ghost_.reset();
  if (admits(durable_.members_at(std::min(durable_.last(), remembered)))) amnesiac_ = false;
}

void Node::deliver(const Packet& packet, Effects& effects) {
  switch (packet.kind) {
    case PacketKind::message:
      step(consensus::Receive{packet.message});
      return;
    case PacketKind::snapshot: {
      arrived_.push_back({packet.meta.index, packet.chain});
      step(consensus::SnapshotArrived{packet.from, packet.meta});
      Packet word;
      word.kind = PacketKind::arrival;
      word.from = self_;
      word.to = packet.from;
      word.meta.index = packet.meta.index;
      word.meta.ballot = packet.meta.ballot;
      effects.packets.push_back(std::move(word));
      return;
    }
    case PacketKind::arrival:
      // The word may be about a stream of an earlier life, or one that was given up.
      if (std::erase(streams_, packet.from) != 0) {
        step(consensus::SnapshotSent{packet.from, packet.meta.index, true});
      }
      return;
  }
}

void Node::sync(Effects& effects) {
  CHECK(!pending_.empty(), "a write waits to become durable");
  const PendingWrite done = std::move(pending_.front());
  pending_.erase(pending_.begin());
  const std::string broken = durable_.apply(done.write, done.chain);
  CHECK(broken.empty(), "the guards were kept when the write was asked for");
  for (consensus::Message& message : std::exchange(held_, {})) {
    take_message(std::move(message), effects);
  }
}

// A message whose write is durable, or that waits for none.
void Node::take_message(consensus::Message message, Effects& effects) {
  if (message.after > durable_.last_write()) {
    held_.push_back(std::move(message));
    return;
  }
  message.after = {};
  if (message.to == self_) return step(consensus::Receive{std::move(message)});
  Packet packet;
  packet.from = self_;
  packet.to = message.to;
  packet.message = std::move(message);
  effects.packets.push_back(std::move(packet));
}

void Node::take_write(consensus::Write write, Effects& effects) {
  PendingWrite pending;
  if (write.install) {
    const auto whole = std::ranges::find(arrived_, write.snapshot->index, &Arrived::index);
    if (whole == arrived_.end()) {
      effects.violation = "installs a snapshot that never arrived";
      return;
    }
    pending.chain = whole->chain;
    arrived_.clear();
  }
  const std::string broken = logical_.apply(write, pending.chain);
  if (!broken.empty()) effects.violation = broken;
  pending.write = std::move(write);
  pending_.push_back(std::move(pending));
}

void Node::take(Effects& effects) {
  untaken_ = 0;
  for (bool more = true; more && effects.violation.empty();) {
    consensus::Ready ready = replica_->take_ready();
    replica_->check_invariants();
    if (ready.write) take_write(std::move(*ready.write), effects);
    if (!effects.violation.empty()) return;
    if (ready.committed < reported_) effects.violation = "the reported position goes back";
    reported_ = ready.committed;
    for (const consensus::ReadReady& read : ready.reads) effects.reads.push_back(read);
    for (const consensus::Refused& refused : ready.refused) {
      const auto* proposal = std::get_if<ProposalId>(&refused.what);
      if (proposal != nullptr) {
        effects.refused.push_back(*proposal);
      } else {
        effects.reads_refused.push_back(std::get<ReadId>(refused.what));
      }
    }
    for (const NodeId to : ready.snapshots) send_snapshot(to, effects);
    for (consensus::Message& message : ready.messages) take_message(std::move(message), effects);
    more = ready.fetch.has_value();
    if (ready.fetch) fetch(*ready.fetch);
    for (; !scope_->slow_disk && !pending_.empty(); more = true) sync(effects);
  }
}

// The state machine applies at once what is committed, so its snapshot is as new as that.
void Node::send_snapshot(NodeId to, Effects& effects) {
  streams_.push_back(to);
  Packet packet;
  packet.kind = PacketKind::snapshot;
  packet.from = self_;
  packet.to = to;
  packet.meta.index = reported_;
  const Slot* slot = logical_.find(reported_);
  packet.meta.ballot = slot == nullptr ? logical_.snapshot().ballot : slot->entry.ballot;
  packet.meta.members = logical_.members_at(reported_);
  packet.chain = logical_.chain_at(reported_);
  effects.packets.push_back(std::move(packet));
}

void Node::fetch(const consensus::IndexRange& range) {
  consensus::Fetched fetched;
  for (Index index = range.first; index <= range.last; ++index) {
    const Slot* slot = logical_.find(index);
    if (slot == nullptr) break;
    fetched.entries.push_back(slot->entry);
  }
  step(std::move(fetched));
}

void Node::fingerprint(consensus::Fingerprint& into) const {
  const WriteId done = durable_.last_write();
  into.add(self_);
  replica_->fingerprint(into, now_, done);
  into.add(scope_->crashes_each == kUnlimited ? 0 : life_);
  into.add(uint64_t{untaken_});
  into.add(committed_);
  into.add(reported_);
  into.add(incarnation_);
  into.add(amnesiac_);
  into.add(ghost_.has_value());
  if (ghost_) ghost_->fingerprint(into);
  durable_.fingerprint(into);
  // The logical log is the durable one and the writes on their way.
  into.add(pending_.size());
  for (const PendingWrite& pending : pending_) {
    into.add(pending.write.id.value - done.value);
    into.add_content(pending.write);
    into.add(pending.chain);
  }
  consensus::FingerprintSet held;
  for (const consensus::Message& message : held_) {
    consensus::Fingerprint it = into.fresh();
    consensus::fingerprint(scope_->protocol, message, done, it);
    held.add(it);
  }
  held.add_to(into);
  consensus::FingerprintSet streams;
  for (const NodeId to : streams_) {
    consensus::Fingerprint it = into.fresh();
    it.add(to);
    streams.add(it);
  }
  streams.add_to(into);
  into.add(arrived_.size());
  for (const Arrived& arrived : arrived_) {
    into.add(arrived.index);
    into.add(arrived.chain);
  }
}

ChecksAreFindings::ChecksAreFindings() {
  set_check_observer([](const char* text) { throw CheckFailed{text}; });
}
ChecksAreFindings::~ChecksAreFindings() { set_check_observer(nullptr); }

}  // namespace quorate::explore
