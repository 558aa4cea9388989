// The leader's side of replication (paper, section 5.3), pipelined (thesis, section 10.2.2):
// what to send to whom, what their answers mean, and what is committed.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/quorum.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {
namespace {

// One peer gets at most so many appends in one turn, so that a long backlog is sent a piece at
// a time between other work; every answer allows the next pieces.
constexpr size_t kAppendsPerTurnMax = 4;
// Entries in a probe: it may well be refused, or its receiver be gone.
constexpr size_t kProbeBytesMax = size_t{64} << 10U;
// Entries asked back from the disk at a time: a few append messages' worth of small ones.
constexpr uint64_t kFetchEntriesMax = 256;
// Messages are believed lost after two heartbeats without progress, then after ever longer.
constexpr int kResendHeartbeats = 2;
constexpr int kResendHeartbeatsMax = 64;

}  // namespace

void Replica::append_own(EntryKind kind, ProposalId id, Bytes data) {
  Entry entry{log_.last().next(), {term_, {}}, kind, id, std::move(data)};
  uncommitted_bytes_ += entry.data.size();
  put(entry);
  if (kind == EntryKind::members) {
    log_.append(entry);
    push_configuration(entry.index, entry.data);
    configuration_changed();
  } else {
    log_.append(std::move(entry));
  }
  if (QRT_MUTANT(R04)) {
    Progress* own = progress_of(self_);
    if (own != nullptr) own->match = log_.last();
    advance_commit();
  }
}

bool Replica::room_in_window(const Progress& peer) const {
  switch (peer.flow) {
    case Flow::probing:
      return !peer.awaiting_probe;
    case Flow::replicating:
      return peer.window.size() < inflight_messages_max_ && peer.window_bytes < kInflightBytesMax;
    case Flow::snapshot:
      return false;
  }
  return false;
}

const Entry* Replica::fetched(Index index) const {
  if (fetched_.empty() || index < fetched_.front().index) return nullptr;
  const uint64_t place = index - fetched_.front().index;
  return place < fetched_.size() ? &fetched_[place] : nullptr;
}

void Replica::gather(const Progress& peer, std::vector<Entry>& entries, size_t& bytes) const {
  const size_t limit = peer.flow == Flow::probing ? kProbeBytesMax : kAppendBytesMax;
  const uint64_t waiting = log_.last() - peer.next + 1;
  entries.reserve(std::min<uint64_t>(waiting, append_entries_max_));
  for (Index index = peer.next; index <= log_.last(); ++index) {
    const Entry* entry = log_.find(index);
    if (entry == nullptr) entry = fetched(index);
    if (entry == nullptr || entries.size() == append_entries_max_) return;
    // A single entry always fits, however large.
    if (!entries.empty() && bytes + weight(*entry) > limit) return;
    bytes += weight(*entry);
    entries.push_back(*entry);
  }
}

void Replica::fill(Progress& peer) {
  if (peer.id == self_) return;
  for (size_t sent = 0; sent < kAppendsPerTurnMax && room_in_window(peer); ++sent) {
    const bool probing = peer.flow == Flow::probing;
    if (peer.next > log_.last() && (!probing || QRT_MUTANT(M12))) return;
    if (!log_.knows(peer.next.previous()) || snapshot_is_cheaper(peer)) return need_snapshot(peer);
    std::vector<Entry> entries;
    size_t bytes = 0;
    if (peer.next <= log_.last()) gather(peer, entries, bytes);
    // Not in memory: a probe may go without payload, everything else waits for Ready::fetch.
    if (entries.empty() && !probing) return;
    const Index previous = peer.next.previous();
    const Index last = previous + entries.size();
    Append append{previous, log_.ballot_at(previous).round, committed_};
    send(peer.id, append, {}, std::move(entries));
    note_sent(peer, last, bytes);
  }
}

void Replica::note_sent(Progress& peer, Index last, size_t bytes) {
  peer.committed_sent = committed_;
  peer.awaits_commit = false;
  if (peer.resend_delay == Duration::zero()) {
    peer.resend_delay = heartbeat_interval_ * kResendHeartbeats;
  }
  if (peer.flow == Flow::probing) {
    peer.awaiting_probe = true;
    peer.resend_at = now_ + peer.resend_delay;
    return;
  }
  if (peer.window.empty()) peer.resend_at = now_ + peer.resend_delay;
  peer.window.push_back({last, bytes});
  peer.window_bytes += bytes;
  peer.next = last.next();
}

void Replica::probe_from(Progress& peer, Index next) {
  peer.flow = Flow::probing;
  peer.awaiting_probe = false;
  peer.window.clear();
  peer.window_bytes = 0;
  peer.next = next;
}

void Replica::on_body(Message& message, const Head& head, const AppendReply& reply) {
  if (head.term > term_ && !QRT_MUTANT(R10_DEAF)) return become_follower(head.term, {});
  if (head.term < term_ && !QRT_MUTANT(N12)) return;
  Progress* peer = nullptr;
  if (!note_reply(message.from, head, peer)) return;
  if (!reply.accepted) return rejected(*peer, reply);
  if (reply.index > log_.last()) {
    ++dropped_;
    return;
  }
  accepted(*peer, reply.index);
  transfer_when_ready();
}

void Replica::accepted(Progress& peer, Index match) {
  if (match < peer.match) return;
  const bool progress = match > peer.match;
  peer.match = match;
  peer.next = std::max(peer.next, match.next());
  while (!peer.window.empty() && peer.window.front().last <= match) {
    if (!QRT_MUTANT(N13)) peer.window_bytes -= peer.window.front().bytes;
    peer.window.pop_front();
  }
  if (progress) {
    peer.resend_delay = heartbeat_interval_ * kResendHeartbeats;
    peer.resend_at = now_ + peer.resend_delay;
  }
  if (match >= peer.pinned) peer.pinned = {};
  const bool reached = log_.knows(match);
  if (peer.flow != Flow::replicating && reached && (progress || peer.flow == Flow::probing)) {
    probe_from(peer, match.next());
    peer.flow = Flow::replicating;
  }
  if (!progress) return;
  if (unaware_of_commit(peer)) note_commit_news();
  advance_commit();
}

void Replica::rejected(Progress& peer, const AppendReply& reply) {
  // A refusal that was overtaken by a success, or that answers an earlier probe, says nothing.
  const bool current =
      peer.flow == Flow::replicating ? reply.index > peer.match : reply.index.next() == peer.next;
  if (!current && !QRT_MUTANT(N11)) return;
  if (peer.flow == Flow::snapshot) return;
  // The logs part no later than where terms at or before the hint's begin in ours: one round
  // trip for each term in doubt, not one for each entry (paper, end of section 5.3).
  const Index common = log_.newest_with_round_at_most(reply.hint, reply.hint_term);
  Index next = std::min(common.next(), peer.next);
  // They may part before our snapshot: then `next` goes where only a snapshot can help.
  const bool before_snapshot =
      reply.hint < log_.snapshot_index() || log_.ballot_at(common).round > reply.hint_term;
  if (before_snapshot && !QRT_MUTANT(M12_GONE)) next = std::min(next, log_.snapshot_index());
  next = std::max(next, Index{1});
  if (QRT_MUTANT(N11_HINT)) peer.match = std::max(peer.match, std::min(reply.hint, log_.last()));
  if (!QRT_MUTANT(N11)) next = std::max(next, peer.match.next());
  probe_from(peer, QRT_MUTANT(N11_BACK) ? peer.next : next);
}

void Replica::on_body(Message& message, const Head& head, const HeartbeatReply& reply) {
  if (head.term > term_ && !QRT_MUTANT(R10_DEAF)) return become_follower(head.term, {});
  if (head.term < term_) return;
  Progress* peer = nullptr;
  if (!note_reply(message.from, head, peer)) return;
  if (reply.round <= reads_.newest()) peer->round = std::max(peer->round, reply.round);
  peer->promises = reply.promise >= election_timeout_;
  confirm_reads();
  renew_lease();
  resend_if_lost(*peer, reply.last);
  readmit(*peer);
}

// Its reply shows that the peer lives; what it has not answered for so long is lost.
void Replica::resend_if_lost(Progress& peer, Index last_there) {
  const bool waiting = peer.flow == Flow::probing ? peer.awaiting_probe : !peer.window.empty();
  if (peer.flow == Flow::snapshot || !waiting || now_ < peer.resend_at) return;
  if (QRT_MUTANT(N11_LOST)) return;
  peer.resend_delay = std::min(peer.resend_delay * 2, heartbeat_interval_ * kResendHeartbeatsMax);
  if (peer.flow == Flow::probing) {
    peer.awaiting_probe = false;
    return;
  }
  probe_from(peer, std::clamp(last_there.next(), peer.match.next(), peer.next));
}

void Replica::send_heartbeat(Progress& peer, bool wants_reply) {
  // No more than what is known to be equal there: the rest of its log may be another leader's.
  const Index known = QRT_MUTANT(R08) ? committed_ : std::min(committed_, peer.match);
  Heartbeat heartbeat{wants_reply, {}, 0, reads_.newest()};
  if (log_.knows(known)) {
    heartbeat.committed = known;
    heartbeat.committed_term = log_.ballot_at(known).round;
  }
  peer.committed_sent = std::max(peer.committed_sent, known);
  send(peer.id, heartbeat, {});
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
         std::min(committed_, peer.match) > peer.committed_sent;
}

// While entries are under way, the next append or the last commit carries the news.
void Replica::notice_commits() {
  if (commit_notice_at_ == kNever || committed_ != log_.last()) return;
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

void Replica::advance_commit() {
  const Index index{quorum_value([](const Progress& peer) { return peer.match.value; })};
  if (index <= committed_ || index > log_.last()) return;
  // Counting copies of an entry of an earlier term proves nothing (paper, figure 8).
  if (log_.ballot_at(index).round != term_ && !QRT_MUTANT(FIG8)) return;
  commit_to(index);
  leave_joint_when_certain();
  leave_office_when_removed();
}

void Replica::ask_fetch(Ready& ready) {
  if (fetch_ || fetch_open_) return;
  const Progress* chosen = nullptr;
  for (const Progress& peer : peers_) {
    const bool wants = peer.id != self_ && peer.flow == Flow::replicating && room_in_window(peer) &&
                       peer.next <= log_.last() && log_.knows(peer.next.previous()) &&
                       log_.find(peer.next) == nullptr && !repair_.holes.contains(peer.next);
    if (!wants) continue;
    if (chosen == nullptr) chosen = &peer;
    if (peer.id > fetch_turn_) {
      chosen = &peer;
      break;
    }
  }
  if (chosen == nullptr) return;
  fetch_turn_ = chosen->id;
  const Index end = std::min(chosen->next + (kFetchEntriesMax - 1), log_.tail_first().previous());
  fetch_ = IndexRange{chosen->next, end};
  ready.fetch = fetch_;
  fetch_open_ = true;
}

void Replica::on(Fetched& event) {
  fetch_open_ = false;
  if (take_fetched_repairs(event) || !fetch_) return;
  const IndexRange asked = *fetch_;
  fetch_.reset();
  if (stage_ != Stage::leader) return;
  Index expected = asked.first;
  for (Entry& entry : event.entries) {
    if (entry.index != expected || !log_.matches(entry.index, entry.ballot)) break;
    fetched_.push_back(std::move(entry));
    ++expected;
  }
  if (expected != asked.first || repair_.holes.contains(asked.first)) return;
  // Gone from the log, however that came about: only a snapshot can help.
  Progress* peer = progress_of(fetch_turn_);
  if (peer != nullptr && peer->next == asked.first) need_snapshot(*peer);
}

}  // namespace quorate::consensus::raft
