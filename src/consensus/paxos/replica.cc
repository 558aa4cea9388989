#include "consensus/paxos/replica.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/mutant.h"

namespace quorate::consensus::paxos {
namespace {

// Slots asked back from our disk at a time: a few messages' worth of small ones.
constexpr uint64_t kFetchSlotsMax = 256;

}  // namespace

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
      promised_(recovered.hard_state.promised),
      committed_(std::max(recovered.hard_state.committed, recovered.snapshot.index)),
      slots_(recovered),
      amnesiac_(config.amnesiac),
      last_write_(recovered.last_write),
      durable_write_(recovered.last_write),
      promise_write_(recovered.last_write),
      written_state_(recovered.hard_state),
      // So that answers to an earlier process of this member do not fit.
      campaign_(rng_.next()),
      reads_(config) {
  CHECK(self_, "a replica knows who it is");
  CHECK(heartbeat_interval_ > Duration::zero() && election_timeout_ > heartbeat_interval_,
        "a leader speaks more often than its followers lose patience");
  CHECK(append_entries_max_ >= 1 && append_entries_max_ <= kAppendEntriesMax,
        "an accept carries something, and no more than its receiver takes");
  CHECK(inflight_messages_max_ >= 1, "something may be under way");
  recover(recovered);
  recall_own_life();
  draw_timeout();
  // What we promised the last leader before our process ended is not recorded anywhere.
  if (lease_reads_ && promised_.round > 1 && !QRT_MUTANT(LEASE_RESTART)) {
    promise_ends_ = now_ + election_timeout_;
  }
  const bool alone = members().is_voter(self_) && members().voters.size() == 1;
  if (alone) {
    election_deadline_ = now_;
  } else if (promised_.round <= 1) {  // nobody has ever led: there is none to be patient with
    const auto spread = static_cast<uint64_t>(election_timeout_.count());
    election_deadline_ = now_ + heartbeat_interval_ +
                         Duration{static_cast<int64_t>(rng_.below(spread))} + deference();
  }
}

void Replica::recover(Recovered& recovered) {
  CHECK(committed_ <= slots_.last(), "what is decided was recovered");
  // Nobody leads in round 1, so an entry of it is the founding one: decided by definition.
  if (slots_.ballot_at(Index{1}).round == 1) committed_ = std::max(committed_, Index{1});
  seen_round_ = promised_.round;
  recover_damage(recovered);
  push_configuration(recovered.snapshot.index, recovered.snapshot.members);
  for (const Entry& entry : recovered.members_entries) {
    if (entry.index <= slots_.snapshot_index() || entry.index > committed_) continue;
    push_configuration(entry.index, entry.data);
  }
  begin_following(kNoBase);
  // Open slots are answered for from memory; what is not there yet is read first.
  loaded_ = committed_;
  if (slots_.memory_first() > committed_.next()) load_through_ = slots_.memory_first().previous();
  if (QRT_MUTANT(X02_RESTART)) promised_ = {1, {}};
}

void Replica::step(Time now, Event event) {
  now_ = std::max(now_, now);
  std::visit([this](auto& known) { on(known); }, event);
}

void Replica::on(Wake) {
  if (loading()) return;
  if (now_ >= repair_.ask_at) ask_for_repair();
  if (stage_ == Stage::leader) {
    if (now_ < heartbeat_at_) return;
    if (transfer_to_ && now_ >= transfer_deadline_) transfer_to_ = {};
    check_quorum();
    if (stage_ == Stage::leader) give_way_if_disk_hangs();
    if (stage_ == Stage::leader) give_way_if_lost_slots_are_needed();
    if (stage_ != Stage::leader) return;
    heartbeat_at_ = now_ + heartbeat_interval_;
    heartbeat_due_ = true;
    if (widening_) ask_promises(false);
    return;
  }
  if (may_campaign() && now_ >= election_deadline_) start_election();
}

void Replica::on(Receive& event) {
  Message& message = event.message;
  const std::optional<Head> head = decode_head(message.head);
  if (!head || message.to != self_ || !message.from ||
      std::holds_alternative<Stored>(head->body) != (message.from == self_)) {
    ++dropped_;
    return;
  }
  const bool proposes = std::holds_alternative<Prepare>(head->body) ||
                        std::holds_alternative<Accept>(head->body) ||
                        std::holds_alternative<Heartbeat>(head->body);
  if (proposes && head->promised.node != message.from) {
    ++dropped_;
    return;
  }
  // Until we know what we have accepted we say nothing.
  if (loading() && message.from != self_) return;
  seen_round_ = std::max(seen_round_, head->promised.round);
  std::visit([&](const auto& body) { on_body(message, *head, body); }, head->body);
}

void Replica::on(Propose& event) {
  if (stage_ != Stage::leader) return refuse(event.id, Refusal::not_leader);
  if (transfer_to_) return refuse(event.id, Refusal::transferring);
  if (event.kind == EntryKind::members) return propose_members(event);
  if (undecided_bytes_ + event.data.size() > kUncommittedBytesMax ||
      proposed_ - committed_ + waiting_proposals_.size() >= kSlotGapMax) {
    return refuse(event.id, Refusal::busy);
  }
  if (may_propose()) return propose(event.kind, event.id, std::move(event.data));
  undecided_bytes_ += event.data.size();
  waiting_proposals_.push_back(std::move(event));
}

void Replica::refuse(std::variant<ProposalId, ReadId> what, Refusal why) {
  ready_.refused.push_back({what, why, leader_ == self_ ? NodeId{} : leader_});
}

void Replica::on(const Disconnected& event) {
  if (stage_ == Stage::leader) {
    Progress* peer = progress_of(event.peer);
    if (peer == nullptr || event.peer == self_ || peer->flow != Flow::replicating) return;
    // What was on its way is probably lost. Wait for a sign of life before the next attempt.
    restart_from(*peer, peer->through.next());
    peer->flow = Flow::unknown;
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

void Replica::send(NodeId to, Body body, WriteId after, std::vector<Entry> entries) {
  // Nothing is said under a promise that our disk could still forget (PMS, section 2.5).
  if (!QRT_MUTANT(X03)) after = std::max(after, promise_write_);
  Message message;
  message.from = self_;
  message.to = to;
  message.after = after <= durable_write_ ? WriteId{} : after;
  message.urgent = entries.empty();
  message.head = encode_head({promised_, incarnation_, amnesiac_, std::move(body)});
  message.entries = std::move(entries);
  ready_.messages.push_back(std::move(message));
}

WriteId Replica::upcoming_write() {
  writing_ = true;
  return WriteId{last_write_.value + 1};
}

WriteId Replica::newest_write() const {
  return writing_ ? WriteId{last_write_.value + 1} : last_write_;
}

void Replica::promise(const Ballot& ballot) {
  CHECK(ballot > promised_ || QRT_MUTANT(X01_LOW), "promises only grow");
  promised_ = ballot;
  promise_write_ = upcoming_write();
  // What we hold counts anew for another ballot.
  begin_following(kNoBase);
}

void Replica::put(Entry entry) {
  CHECK(entry.index > committed_, "what is decided is not written again");
  upcoming_write();
  std::vector<Entry>& entries = upcoming_.entries;
  if (entries.empty() || entries.back().index < entry.index) {
    entries.push_back(entry);
  } else {
    // Slots come in any order and twice; the log wants each once, in order.
    const auto place = std::ranges::lower_bound(entries, entry.index, {}, &Entry::index);
    if (place->index == entry.index) {
      *place = entry;
    } else {
      entries.insert(place, entry);
    }
  }
  overwritten(entry.index);
  slots_.put(std::move(entry));
}

void Replica::seal_write(Ready& ready) {
  if (!writing_) return;
  extend_through();
  writing_ = false;
  Write& write = upcoming_;
  write.id = WriteId{last_write_.value + 1};
  // With the entries goes how far they are decided: who later finds a slot behind a configuration
  // also finds that the configuration was certain (see stop_is_void).
  const HardState state{promised_, {}, std::max(committed_, written_state_.committed)};
  if (state != written_state_) {
    write.hard_state = state;
    written_state_ = state;
  }
  last_write_ = write.id;
  IndexRange put;
  if (!write.entries.empty()) put = {write.entries.front().index, write.entries.back().index};
  writes_.push_back({write.id, through_, put, now_});
  send(self_, Stored{write.id}, write.id);
  ready.write = std::move(upcoming_);
  upcoming_ = {};
}

void Replica::on_body(Message&, const Head&, const Stored& letter) {
  durable_write_ = std::max(durable_write_, letter.write);
  while (!writes_.empty() && writes_.front().id <= letter.write) {
    durable_through_ = std::max(durable_through_, writes_.front().through);
    writes_.pop_front();
  }
  repairs_stored(letter.write);
  if (amnesiac_) recall_own_life();
  if (stage_ == Stage::leader) {
    Progress* own = progress_of(self_);
    if (own != nullptr && durable_through_ > own->through) {
      own->through = durable_through_;
      advance_commit();
    }
  }
  prepared();
  slots_.evict(std::min(committed_, durable_through_), kTailBytesMax);
}

void Replica::commit_to(Index index) {
  CHECK(index > committed_, "the decided prefix only grows");
  CHECK(index <= slots_.last(), "only what we hold can be known as decided");
  bool changed = false;
  for (Index done = committed_.next(); done <= index; ++done) {
    const Entry* entry = slots_.find(done);
    if (entry == nullptr) {
      CHECK(!whole(done) || QRT_MUTANT(X05_HOLE), "the decided prefix has no holes");
      continue;
    }
    if (entry->kind == EntryKind::members) {
      push_configuration(done, entry->data);
      changed = true;
    }
    if (stage_ != Stage::leader) continue;
    undecided_bytes_ -= std::min(undecided_bytes_, entry->data.size());
    if (!entry->id.node || entry->id.node == self_) continue;
    if (Progress* peer = progress_of(entry->id.node)) peer->awaits_commit = true;
  }
  committed_ = index;
  if (stage_ == Stage::leader) {
    note_commit_news();
    if (office_start_ && index >= office_start_) established_ = true;
  }
  recall_own_life();
  if (changed) configuration_changed();
  leave_office_when_established();
}

Ready Replica::take_ready() {
  if (stage_ == Stage::leader) {
    start_reads();
    confirm_reads();
    for (Progress& peer : peers_) fill(peer);
    if (heartbeat_due_) heartbeat_all();
    notice_commits();
  }
  if (acknowledge_) send_accepted();
  ask_fetch(ready_);
  fetched_.clear();
  seal_write(ready_);
  reported_ = reportable();
  ready_.committed = reported_;
  return std::exchange(ready_, {});
}

// One request to our disk at a time: first what we need ourselves, then what others wait for.
void Replica::ask_fetch(Ready& ready) {
  if (fetch_purpose_ != Purpose::nothing) return;
  if (load_through_) {
    if (!find_unloaded()) return;
  } else if (!waiting_prepares_.empty()) {
    const Index first = waiting_prepares_.front().first;
    fetch_purpose_ = Purpose::promising;
    fetch_range_ = {first, std::min(first + (kFetchSlotsMax - 1), committed_)};
  } else if (!waiting_fetches_.empty()) {
    const IndexRange first = waiting_fetches_.front().fetch.wanted.front();
    fetch_purpose_ = Purpose::repairing;
    fetch_range_ = {first.first,
                    std::min({first.first + (kFetchSlotsMax - 1), first.last, committed_})};
  } else if (stage_ == Stage::leader) {
    const Progress* chosen = nullptr;
    for (const Progress& peer : peers_) {
      const bool wants = peer.id != self_ && room_in_window(peer) && peer.next >= slots_.first() &&
                         peer.next < slots_.memory_first() && whole(peer.next) &&
                         fetched(peer.next) == nullptr;
      if (!wants) continue;
      if (chosen == nullptr || (chosen->id <= fetch_for_ && peer.id > fetch_for_)) chosen = &peer;
    }
    if (chosen == nullptr) return;
    fetch_for_ = chosen->id;
    fetch_purpose_ = Purpose::filling;
    fetch_range_ = {chosen->next, std::min(chosen->next + (kFetchSlotsMax - 1),
                                           slots_.memory_first().previous())};
  }
  if (fetch_purpose_ != Purpose::nothing) ready.fetch = fetch_range_;
}

// The next stretch of open slots that must be read; false: there is none left.
bool Replica::find_unloaded() {
  const auto wanted = [&](Index index) { return slots_.holds(index) && whole(index); };
  Index first = loaded_.next();
  while (first <= load_through_ && !wanted(first)) ++first;
  if (first > load_through_) {
    loaded_ = load_through_ = {};
    slots_.load(std::exchange(loads_, {}));
    draw_timeout();
    return false;
  }
  Index last = first;
  while (last < load_through_ && last - first + 1 < kFetchSlotsMax && wanted(last.next())) ++last;
  fetch_purpose_ = Purpose::loading;
  fetch_range_ = {first, last};
  return true;
}

void Replica::take_loaded(std::vector<Entry>& entries) {
  if (!entries.empty()) {
    loaded_ = entries.back().index;
    loads_.insert(loads_.end(), std::make_move_iterator(entries.begin()),
                  std::make_move_iterator(entries.end()));
  } else {
    lose({fetch_range_.first, fetch_range_.first});  // our disk has it no more
    loaded_ = fetch_range_.first;
  }
}

void Replica::on(Fetched& event) {
  const Purpose purpose = std::exchange(fetch_purpose_, Purpose::nothing);
  // Only what follows the beginning without a gap, and is what we know to stand there.
  Index expected = fetch_range_.first;
  std::vector<Entry> entries;
  for (Entry& entry : event.entries) {
    if (entry.index != expected || slots_.ballot_at(entry.index) != entry.ballot) break;
    entries.push_back(std::move(entry));
    ++expected;
  }
  switch (purpose) {
    case Purpose::nothing:
      return;
    case Purpose::loading:
      return take_loaded(entries);
    case Purpose::promising: {
      const WaitingPrepare asked = waiting_prepares_.front();
      waiting_prepares_.erase(waiting_prepares_.begin());
      if (!entries.empty()) answer_prepare(asked, std::move(entries));
      return;
    }
    case Purpose::repairing: {
      const WaitingFetch asked = waiting_fetches_.front();
      waiting_fetches_.erase(waiting_fetches_.begin());
      answer_fetch(asked, std::move(entries));
      return;
    }
    case Purpose::filling:
      break;
  }
  if (stage_ != Stage::leader) return;
  Progress* peer = progress_of(fetch_for_);
  // Gone from the log, however that came about: only a snapshot can help.
  if (entries.empty() && peer != nullptr && peer->next == fetch_range_.first) need_snapshot(*peer);
  fetched_ = std::move(entries);
}

Time Replica::deadline() const {
  if (loading()) return kNever;
  Time next = repair_.ask_at;
  if (stage_ != Stage::leader) return may_campaign() ? std::min(next, election_deadline_) : next;
  if (peers_.size() <= 1) return next;
  if (committed_ == proposed_) next = std::min(next, commit_notice_at_);
  return std::min(next, heartbeat_at_);
}

Status Replica::status() const {
  Status status;
  switch (stage_) {
    case Stage::leader:
      status.role = Role::leader;
      break;
    case Stage::asking:
    case Stage::preparing:
      status.role = Role::candidate;
      break;
    case Stage::follower:
      status.role = !members().is_voter(self_) && members().is_learner(self_) ? Role::learner
                                                                              : Role::follower;
      break;
  }
  status.leader = leader_;
  status.ballot = promised_;
  status.committed = reportable();
  status.first = slots_.first();
  status.last = slots_.last();
  status.damaged = repair_.lost.count();
  if (status.damaged != 0) {
    status.damaged_first = repair_.lost.first();
    status.damaged_last = repair_.lost.last();
  }
  status.store_lost = repair_.store_lost;
  status.established = stage_ == Stage::leader && established_;
  if (stage_ == Stage::leader) {
    for (const Progress& peer : peers_) status.progress.emplace_back(peer.id, peer.through);
  }
  return status;
}

std::string Replica::describe() const {
  static constexpr std::array<const char*, 4> kNames = {"follower", "asking", "preparing",
                                                        "leader"};
  const auto ballot = [](const Ballot& it) {
    return std::to_string(it.round) + "." + std::to_string(it.node.value);
  };
  std::string text = "paxos node=" + std::to_string(self_.value);
  text += std::string(" ") + kNames[static_cast<size_t>(stage_)];
  if (amnesiac_) text += " amnesiac";
  if (loading()) text += " loading";
  if (widening_) text += " widening";
  text += " promised=" + ballot(promised_);
  text += " leader=" + std::to_string(leader_.value);
  text +=
      " slots=" + std::to_string(slots_.first().value) + ".." + std::to_string(slots_.last().value);
  text += " through=" + std::to_string(through_.value);
  text += " durable=" + std::to_string(durable_through_.value);
  text += " committed=" + std::to_string(committed_.value);
  if (!repair_.lost.empty()) {
    text += " damaged=" + std::to_string(repair_.lost.count()) + "@" +
            std::to_string(repair_.lost.first().value);
  }
  if (repair_.store_lost) text += " store_lost";
  if (stage_ != Stage::leader) return text;
  text += " proposed=" + std::to_string(proposed_.value);
  if (stop_) text += " stop=" + std::to_string(stop_.value);
  for (const Progress& peer : peers_) {
    text += " " + std::to_string(peer.id.value) + ":" + std::to_string(peer.through.value) + "/" +
            std::to_string(peer.next.value) + "/" +
            std::to_string(static_cast<unsigned>(peer.flow));
  }
  return text;
}

}  // namespace quorate::consensus::paxos
