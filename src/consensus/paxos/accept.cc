// Phase 2, the proposer (PMMC, section 2): proposals go to everybody as soon as they are made, many
// at a time; what a quorum of the configuration in force has accepted at our ballot is chosen, slot
// by slot; the decided prefix grows with it. Who lacks decided slots gets those by the same way.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"
#include "consensus/quorum.h"

namespace quorate::consensus::paxos {
namespace {

// One peer gets at most so many accepts in one turn, so that a long backlog is sent a piece at a
// time between other work; every answer allows the next pieces.
constexpr size_t kAcceptsPerTurnMax = 4;
// Messages are believed lost after two heartbeats without progress, then after ever longer.
constexpr int kResendHeartbeats = 2;
constexpr int kResendHeartbeatsMax = 64;

}  // namespace

bool Replica::may_propose() const {
  return stage_ == Stage::leader && !stop_ && !widening_ && office_start_;
}

void Replica::propose_at(Index index, Entry entry) {
  entry.index = index;
  entry.ballot = promised_;
  undecided_bytes_ += entry.data.size();
  proposed_ = index;
  highest_ = index;
  put(std::move(entry));
}

void Replica::propose(EntryKind kind, ProposalId id, Bytes data) {
  propose_at(proposed_.next(), {{}, {}, kind, id, std::move(data)});
}

void Replica::propose_waiting() {
  while (may_propose() && !waiting_proposals_.empty()) {
    Propose next = std::move(waiting_proposals_.front());
    waiting_proposals_.pop_front();
    undecided_bytes_ -= std::min(undecided_bytes_, next.data.size());
    propose(next.kind, next.id, std::move(next.data));
  }
}

bool Replica::room_in_window(const Progress& peer) const {
  return peer.flow == Flow::replicating && peer.window.size() < inflight_messages_max_ &&
         peer.window_bytes < kInflightBytesMax;
}

const Entry* Replica::fetched(Index index) const {
  if (fetched_.empty() || index < fetched_.front().index) return nullptr;
  const uint64_t place = index - fetched_.front().index;
  return place < fetched_.size() ? &fetched_[place] : nullptr;
}

void Replica::gather(Progress& peer, std::vector<Entry>& entries, size_t& bytes) const {
  while (!peer.beyond.empty() && peer.beyond.contains(peer.next)) {
    ++peer.next;  // it has that already
  }
  if (peer.next > proposed_) return;
  entries.reserve(std::min<uint64_t>(proposed_ - peer.next + 1, append_entries_max_));
  for (Index index = peer.next; index <= proposed_; ++index) {
    if (!peer.beyond.empty() && peer.beyond.contains(index)) return;
    const Entry* entry = slots_.find(index);
    if (entry == nullptr) entry = fetched(index);
    if (entry == nullptr || entries.size() == append_entries_max_) return;
    // A single entry always fits, however large.
    if (!entries.empty() && bytes + weight(*entry) > kAppendBytesMax) return;
    bytes += weight(*entry);
    entries.push_back(*entry);
  }
}

void Replica::fill(Progress& peer) {
  if (peer.id == self_) return;
  for (size_t sent = 0; sent < kAcceptsPerTurnMax && room_in_window(peer); ++sent) {
    if (peer.next > proposed_) return;
    if (peer.next < slots_.first() || snapshot_is_cheaper(peer)) return need_snapshot(peer);
    std::vector<Entry> entries;
    size_t bytes = 0;
    gather(peer, entries, bytes);
    if (entries.empty()) return;  // not in memory: waits for Ready::fetch
    const Index last = entries.back().index;
    send(peer.id, Accept{base_, configurations_.back().index, committed_}, {}, std::move(entries));
    note_sent(peer, last, bytes);
  }
}

void Replica::note_sent(Progress& peer, Index last, size_t bytes) {
  peer.committed_sent = committed_;
  peer.awaits_commit = false;
  if (peer.resend_delay == Duration::zero()) {
    peer.resend_delay = heartbeat_interval_ * kResendHeartbeats;
  }
  if (peer.window.empty()) peer.resend_at = now_ + peer.resend_delay;
  peer.window.push_back({last, bytes});
  peer.window_bytes += bytes;
  peer.next = last.next();
}

void Replica::restart_from(Progress& peer, Index next) {
  peer.flow = Flow::replicating;
  peer.window.clear();
  peer.window_bytes = 0;
  peer.next = next;
}

void Replica::on_body(Message& message, const Head& head, const Accepted& reply) {
  if (stage_ != Stage::leader) return;
  if (head.promised > promised_) return step_down();
  if (head.promised < promised_ && !QRT_MUTANT(N12)) return;
  Progress* peer = nullptr;
  if (!note_reply(message.from, head, peer)) return;
  accepted(*peer, reply.through, reply.beyond);
  transfer_when_ready();
}

void Replica::accepted(Progress& peer, Index through, const std::vector<IndexRange>& beyond) {
  if (through > proposed_ || (!beyond.empty() && beyond.back().last > proposed_)) {
    ++dropped_;
    return;
  }
  if (peer.flow == Flow::unknown) {
    peer.through = std::max(peer.through, through);
    restart_from(peer, peer.through.next());
  }
  const bool longer = through > peer.through;
  bool progress = longer;
  peer.through = std::max(peer.through, through);
  peer.next = std::max(peer.next, peer.through.next());
  while (!peer.window.empty() && peer.window.front().last <= peer.through) {
    if (!QRT_MUTANT(N13)) peer.window_bytes -= peer.window.front().bytes;
    peer.window.pop_front();
  }
  for (const IndexRange& range : beyond) {
    progress = progress || !peer.beyond.contains(range.last);
    peer.beyond.add(range);
  }
  if (!peer.beyond.empty()) peer.beyond.drop_through(peer.through);
  if (peer.through >= peer.pinned) peer.pinned = {};
  if (peer.flow == Flow::snapshot && peer.through >= slots_.snapshot_index()) {
    restart_from(peer, peer.through.next());
  }
  // What is stored behind a hole says nothing about what was lost in it: while proposals keep
  // coming, the hole would be waited for without end.
  if (longer) {
    peer.resend_delay = heartbeat_interval_ * kResendHeartbeats;
    peer.resend_at = now_ + peer.resend_delay;
  }
  if (unaware_of_commit(peer)) note_commit_news();
  if (progress) advance_commit();
}

void Replica::on_body(Message& message, const Head& head, const HeartbeatReply& reply) {
  if (stage_ != Stage::leader) return;
  if (head.promised > promised_) return step_down();
  // A promise to somebody else of old says nothing about whether the ballot is still ours.
  if (head.promised < promised_ && !QRT_MUTANT(N12)) return;
  Progress* peer = nullptr;
  if (!note_reply(message.from, head, peer)) return;
  if (reply.round <= reads_.newest()) peer->round = std::max(peer->round, reply.round);
  peer->promises = reply.promise >= election_timeout_;
  confirm_reads();
  renew_lease();
  accepted(*peer, reply.through, {});
  peer = progress_of(message.from);
  if (stage_ != Stage::leader || peer == nullptr) return;
  resend_if_lost(*peer);
  readmit(*peer);
  transfer_when_ready();
}

// Its reply shows that the peer lives; what it has not answered for so long is lost.
void Replica::resend_if_lost(Progress& peer) {
  if (peer.flow != Flow::replicating || peer.window.empty() || now_ < peer.resend_at) return;
  if (QRT_MUTANT(N11_LOST)) return;
  peer.resend_delay = std::min(peer.resend_delay * 2, heartbeat_interval_ * kResendHeartbeatsMax);
  restart_from(peer, peer.through.next());
}

void Replica::send_heartbeat(Progress& peer, bool wants_reply) {
  peer.committed_sent = std::max(peer.committed_sent, std::min(committed_, peer.through));
  send(peer.id, Heartbeat{wants_reply, base_, committed_, reads_.newest()}, {});
}

void Replica::heartbeat_all() {
  heartbeat_due_ = false;
  reads_.begin_lease_round(now_);
  for (Progress& peer : peers_) {
    if (peer.id != self_) send_heartbeat(peer, true);
  }
}

void Replica::note_commit_news() {
  commit_notice_at_ = std::min(commit_notice_at_, now_ + kCommitNoticeDelay);
}

bool Replica::unaware_of_commit(const Progress& peer) const {
  return peer.id != self_ && peer.flow == Flow::replicating &&
         std::min(committed_, peer.through) > peer.committed_sent;
}

// While entries are under way, the next accept or the last commit carries the news.
void Replica::notice_commits() {
  if (commit_notice_at_ == kNever || committed_ != proposed_) return;
  const bool due = now_ >= commit_notice_at_;
  bool later = false;
  for (Progress& peer : peers_) {
    if (!unaware_of_commit(peer)) continue;
    if (due || peer.awaits_commit) {
      send_heartbeat(peer, false);
      peer.awaits_commit = false;
    } else {
      later = true;
    }
  }
  if (!later) commit_notice_at_ = kNever;
}

uint64_t Replica::quorum_value(uint64_t (*value)(const Progress&)) const {
  if (voter_places_.empty()) return 0;
  uint64_t reached = kReachedByNobodyNeeded;
  for (const auto* places : {&voter_places_, &outgoing_places_}) {
    scratch_.clear();
    for (const size_t place : *places) {
      const Progress& peer = peers_[place];
      scratch_.push_back(peer.counts() ? value(peer) : 0);
    }
    reached = std::min(reached, majority_reaches(scratch_));
  }
  return reached;
}

// By its own quorum, which need not be that of its neighbours.
bool Replica::chosen(Index index) const {
  for (const auto* places : {&voter_places_, &outgoing_places_}) {
    size_t accepted = 0;
    for (const size_t place : *places) {
      const Progress& peer = peers_[place];
      const bool has = peer.through >= index || peer.beyond.contains(index);
      accepted += peer.counts() && has ? 1U : 0U;
    }
    if (!places->empty() && accepted <= places->size() / 2) return false;
  }
  return !voter_places_.empty();
}

void Replica::advance_commit() {
  Index index{quorum_value([](const Progress& peer) { return peer.through.value; })};
  index = std::min(std::max(index, committed_), proposed_);
  const bool gaps =
      std::ranges::any_of(peers_, [](const Progress& it) { return !it.beyond.empty(); });
  if (gaps) {
    while (index < proposed_ && chosen(index.next())) ++index;
    if (QRT_MUTANT(X05)) {
      for (Index above = index.next(); above <= proposed_; ++above) {
        if (chosen(above)) index = above;
      }
    }
  }
  if (index > committed_) commit_to(index);
}

}  // namespace quorate::consensus::paxos
