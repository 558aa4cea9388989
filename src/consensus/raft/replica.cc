#include "consensus/raft/replica.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace quorate::consensus::raft {

Replica::Replica(const Config& config, Recovered recovered, Time now, Rng rng)
    : self_(config.self),
      incarnation_(config.incarnation),
      election_timeout_(config.election_timeout),
      heartbeat_interval_(config.heartbeat_interval),
      pre_vote_(config.pre_vote),
      check_quorum_(config.check_quorum),
      lease_reads_(config.lease_reads),
      append_entries_max_(config.append_entries_max),
      inflight_messages_max_(config.inflight_messages_max),
      rng_(rng),
      now_(now),
      term_(recovered.hard_state.promised.round),
      vote_(QRT_MUTANT(P08) ? NodeId{} : recovered.hard_state.promised.node),
      committed_(std::max(recovered.hard_state.committed, recovered.snapshot.index)),
      log_(recovered),
      amnesiac_(config.amnesiac),
      last_write_(recovered.last_write),
      durable_write_(recovered.last_write),
      promise_write_(recovered.last_write),
      written_state_(recovered.hard_state),
      written_last_(log_.last()),
      durable_(log_.last()),
      // So that replies to an earlier process of this member do not fit.
      campaign_(rng_.next()),
      reads_(config) {
  CHECK(self_, "a replica knows who it is");
  CHECK(heartbeat_interval_ > Duration::zero() && election_timeout_ > heartbeat_interval_,
        "a leader speaks more often than its followers lose patience");
  CHECK(append_entries_max_ >= 1 && append_entries_max_ <= kAppendEntriesMax,
        "an append carries something, and no more than its receiver takes");
  CHECK(inflight_messages_max_ >= 1, "something may be under way");
  CHECK(committed_ <= log_.last(), "the recovered log holds everything committed");
  // Nobody leads in round 1, so an entry of it is the founding one: committed by definition.
  if (QRT_MUTANT(P01)) committed_ = log_.last();
  if (log_.knows(Index{1}) && log_.ballot_at(Index{1}).round == 1) {
    committed_ = std::max(committed_, Index{1});
  }
  term_ = std::max(term_, log_.last_ballot().round);
  recover_damage(recovered);
  push_configuration(recovered.snapshot.index, recovered.snapshot.members);
  for (const Entry& entry : recovered.members_entries) {
    if (entry.index <= log_.snapshot_index() || QRT_MUTANT(M16)) continue;
    push_configuration(entry.index, entry.data);
  }
  recall_own_life();
  draw_timeout();
  // What we promised the last leader before our process ended is not recorded anywhere.
  if (lease_reads_ && term_ > 1 && !QRT_MUTANT(LEASE_RESTART)) {
    promise_ends_ = now_ + election_timeout_;
  }
  // Without a leader ever before there is none to be patient with.
  const bool founded = term_ <= 1;
  const bool alone = voter_ && members().voters.size() == 1 && members().outgoing.empty();
  if (alone) {
    election_deadline_ = now_;
  } else if (founded) {
    const auto spread = static_cast<uint64_t>(election_timeout_.count());
    election_deadline_ =
        now_ + heartbeat_interval_ + Duration{static_cast<int64_t>(rng_.below(spread))};
  }
}

void Replica::step(Time now, Event event) {
  now_ = std::max(now_, now);
  std::visit([this](auto& known) { on(known); }, event);
}

void Replica::on(Wake) {
  if (now_ >= repair_.ask_at) ask_for_repair();
  if (stage_ == Stage::leader) {
    if (now_ < heartbeat_at_) return;
    const bool over = transfer_to_ && now_ >= transfer_deadline_;
    if (over && !QRT_MUTANT(R15_STUCK)) transfer_to_ = {};
    check_quorum();
    if (stage_ == Stage::leader) give_way_if_disk_hangs();
    if (stage_ != Stage::leader) return;
    heartbeat_at_ = now_ + heartbeat_interval_;
    heartbeat_due_ = true;
    return;
  }
  if (may_campaign() && now_ >= election_deadline_) start_election();
}

void Replica::on(Receive& event) {
  Message& message = event.message;
  const std::optional<Head> head = decode_head(message.head);
  if (!head || message.to != self_ || !message.from) {
    ++dropped_;
    return;
  }
  const bool letter = std::holds_alternative<Stored>(head->body) ||
                      (std::holds_alternative<VoteReply>(head->body) && message.from == self_);
  if (letter != (message.from == self_)) {
    ++dropped_;
    return;
  }
  std::visit([&](const auto& body) { on_body(message, *head, body); }, head->body);
}

void Replica::on(Propose& event) {
  if (stage_ != Stage::leader) return refuse(event.id, Refusal::not_leader);
  if (transfer_to_ && !QRT_MUTANT(R15_OPEN)) return refuse(event.id, Refusal::transferring);
  // Until our log is whole again nothing can be promised; perhaps it never will be.
  if (damaged() && !established_) return refuse(event.id, Refusal::not_ready);
  if (event.kind == EntryKind::members) return propose_members(event);
  if (uncommitted_bytes_ + event.data.size() > kUncommittedBytesMax ||
      log_.last() - committed_ >= kUncommittedEntriesMax) {
    return refuse(event.id, Refusal::busy);
  }
  append_own(event.kind, event.id, std::move(event.data));
}

void Replica::refuse(std::variant<ProposalId, ReadId> what, Refusal why) {
  ready_.refused.push_back({what, why, leader_ == self_ ? NodeId{} : leader_});
}

void Replica::on(const Disconnected& event) {
  if (stage_ == Stage::leader) {
    Progress* peer = progress_of(event.peer);
    if (peer == nullptr || event.peer == self_ || peer->flow != Flow::replicating) return;
    // What was on its way is probably lost. Wait for a sign of life before the next attempt.
    probe_from(*peer, peer->match.next());
    peer->awaiting_probe = true;
    peer->resend_at = now_;
    return;
  }
  if (stage_ != Stage::follower || event.peer != leader_ || leader_gone_) return;
  // Who promised loyalty for a time keeps it: the leader may be well and serving from its lease.
  if (lease_reads_ && !QRT_MUTANT(LEASE_GONE)) return;
  leader_gone_ = true;
  const auto spread = static_cast<uint64_t>(heartbeat_interval_.count());
  const Time soon = now_ + Duration{static_cast<int64_t>(rng_.below(spread))};
  election_deadline_ = std::min(election_deadline_, soon);
}

void Replica::send(NodeId to, const Body& body, WriteId after, std::vector<Entry> entries) {
  // Nothing is said in a term, or about a vote, that our disk could still forget.
  if (!QRT_MUTANT(R06)) after = std::max(after, promise_write_);
  Message message;
  message.from = self_;
  message.to = to;
  message.after = after <= durable_write_ ? WriteId{} : after;
  message.urgent = entries.empty();
  message.head = encode_head({term_, incarnation_, amnesiac_, body});
  message.entries = std::move(entries);
  ready_.messages.push_back(std::move(message));
}

WriteId Replica::upcoming_write() {
  writing_ = true;
  return WriteId{last_write_.value + 1};
}

void Replica::promise_changed() { promise_write_ = upcoming_write(); }

void Replica::put(const Entry& entry) {
  upcoming_write();
  upcoming_.entries.push_back(entry);
}

void Replica::seal_write(Ready& ready) {
  if (!writing_) return;
  writing_ = false;
  Write& write = upcoming_;
  write.id = WriteId{last_write_.value + 1};
  // What a write carries is never below the committed position it makes durable.
  Index committed = committed_;
  if (!write.entries.empty()) {
    committed = std::min(committed, write.entries.front().index.previous());
  }
  if (write.truncate_from && !write.install) {
    committed = std::min(committed, write.truncate_from->previous());
  }
  committed = std::max(committed, written_state_.committed);
  HardState state{{term_, vote_}, {}, committed};
  if (QRT_MUTANT(P02) && term_ != written_state_.promised.round) state.promised.node = {};
  CHECK(state.promised >= written_state_.promised, "promises only grow");
  if (state != written_state_) {
    write.hard_state = state;
    written_state_ = state;
  }
  last_write_ = write.id;
  written_last_ = log_.last();
  if (!write.entries.empty() || write.install) writes_.push_back({write.id, log_.last(), now_});
  if (!write.entries.empty() || write.install || !write.repairs.empty()) {
    send(self_, Stored{write.id}, write.id);
  }
  ready.write = std::move(upcoming_);
  upcoming_ = {};
}

void Replica::on_stored(const Stored& letter) {
  durable_write_ = std::max(durable_write_, letter.write);
  while (!writes_.empty() && writes_.front().id <= letter.write) {
    durable_ = std::max(durable_, QRT_MUTANT(R02_LETTER) ? log_.last() : writes_.front().last);
    writes_.pop_front();
  }
  CHECK(durable_ <= log_.last(), "nothing is durable that is not in the log");
  repairs_stored(letter.write);
  if (amnesiac_) recall_own_life();
  if (stage_ == Stage::leader) {
    Progress* own = progress_of(self_);
    const Index whole = std::min(durable_, intact());
    if (own != nullptr && whole > own->match) {
      own->match = whole;
      advance_commit();
    }
  }
  log_.evict(std::min(committed_, durable_), kTailBytesMax);
}

void Replica::commit_to(Index index) {
  CHECK(index > committed_, "the committed position only grows");
  CHECK(index <= log_.last(), "only what we hold can be committed");
  if (stage_ == Stage::leader) {
    for (Index done = committed_.next(); done <= index; ++done) {
      const Entry* entry = log_.find(done);
      const size_t size = entry == nullptr ? 0 : entry->data.size();
      uncommitted_bytes_ -= std::min(uncommitted_bytes_, size);
      if (entry == nullptr || !entry->id.node || entry->id.node == self_) continue;
      if (Progress* peer = progress_of(entry->id.node)) peer->awaits_commit = true;
    }
    note_commit_news();
    if (index >= office_start_) established_ = true;
  }
  const bool settled = change_pending() && configurations_.back().index <= index;
  committed_ = index;
  if ((settled && QRT_MUTANT(M02)) || QRT_MUTANT(M03)) configuration_changed();
  log_.evict(std::min(committed_, durable_), kTailBytesMax);
  recall_own_life();
}

Ready Replica::take_ready() {
  if (stage_ == Stage::leader) {
    start_reads();
    confirm_reads();
    for (Progress& peer : peers_) fill(peer);
    if (heartbeat_due_) heartbeat_all();
    notice_commits();
    fetched_.clear();
    ask_fetch(ready_);
  }
  serve_repairs(ready_);
  seal_write(ready_);
  if (acknowledge_) send_acknowledgement();
  reported_ = reportable();
  ready_.committed = reported_;
  return std::exchange(ready_, {});
}

Time Replica::deadline() const {
  Time next = repair_.ask_at;
  if (stage_ != Stage::leader) return may_campaign() ? std::min(next, election_deadline_) : next;
  if (peers_.size() <= 1) return next;
  if (committed_ == log_.last()) next = std::min(next, commit_notice_at_);
  return std::min(next, heartbeat_at_);
}

Status Replica::status() const {
  Status status;
  switch (stage_) {
    case Stage::leader:
      status.role = Role::leader;
      break;
    case Stage::asking:
    case Stage::candidate:
      status.role = Role::candidate;
      break;
    case Stage::follower:
      status.role = !voter_ && members().is_learner(self_) ? Role::learner : Role::follower;
      break;
  }
  status.leader = leader_;
  status.ballot = {term_, {}};
  status.committed = reportable();
  status.first = log_.first();
  status.last = log_.last();
  status.damaged = repair_.holes.count();
  if (status.damaged != 0) {
    status.damaged_first = repair_.holes.first();
    status.damaged_last = repair_.holes.last();
  }
  status.store_lost = repair_.store_lost;
  status.established = stage_ == Stage::leader && established_;
  if (stage_ == Stage::leader) {
    for (const Progress& peer : peers_) status.progress.emplace_back(peer.id, peer.match);
  }
  return status;
}

std::string Replica::describe() const {
  static constexpr std::array<const char*, 4> kNames = {"follower", "asking", "candidate",
                                                        "leader"};
  std::string text = "raft node=" + std::to_string(self_.value);
  text += std::string(" ") + kNames[static_cast<size_t>(stage_)];
  if (amnesiac_) text += " amnesiac";
  text += " term=" + std::to_string(term_);
  text += " vote=" + std::to_string(vote_.value);
  text += " leader=" + std::to_string(leader_.value);
  text += " log=" + std::to_string(log_.first().value) + ".." + std::to_string(log_.last().value);
  text += " last_term=" + std::to_string(log_.last_ballot().round);
  text += " durable=" + std::to_string(durable_.value);
  text += " committed=" + std::to_string(committed_.value);
  if (!repair_.holes.empty()) {
    text += " damaged=" + std::to_string(repair_.holes.count()) + "@" +
            std::to_string(repair_.holes.first().value);
  }
  if (repair_.store_lost) text += " store_lost";
  if (stage_ != Stage::leader) return text;
  for (const Progress& peer : peers_) {
    text += " " + std::to_string(peer.id.value) + ":" + std::to_string(peer.match.value) + "/" +
            std::to_string(peer.next.value) + "/" +
            std::to_string(static_cast<unsigned>(peer.flow));
  }
  return text;
}

}  // namespace quorate::consensus::raft
