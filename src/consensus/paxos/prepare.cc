// Phase 1, once for all slots that are open (PMMC, section 2; PMS, section 3): promises, what was
// accepted before them, and how a new leader fills what others left behind.
//
// A slot is decided by the configuration that the slots before it have decided. So a proposer needs
// promises of a quorum of the configuration in force behind its decided prefix, and again of the
// next one when a configuration is decided while it leads (widen).
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"
#include "consensus/quorum.h"

namespace quorate::consensus::paxos {
namespace {

bool well_formed(const Promise& page, const std::vector<Entry>& entries) {
  if (entries.size() > kAppendEntriesMax || page.through < page.from.previous()) return false;
  Index behind = page.from.previous();
  for (const Entry& entry : entries) {
    if (entry.index <= behind || entry.index > page.through || entry.ballot.round == 0)
      return false;
    if (entry.kind == EntryKind::members && !decode_members(entry.data)) return false;
    behind = entry.index;
  }
  behind = page.from.previous();
  for (const LostSlot& lost : page.lost) {
    if (lost.index <= behind || lost.index > page.through || lost.ballot.round == 0) return false;
    behind = lost.index;
  }
  return true;
}

}  // namespace

// ---- The proposer.

void Replica::campaign(bool transfer) {
  CHECK(may_campaign(), "only who has its memory campaigns");
  stage_ = Stage::preparing;
  leader_ = {};
  acknowledge_ = false;
  promisers_.clear();
  refused_.clear();
  found_.clear();
  // Higher than all that anybody has used, ourselves in earlier lives included: our own promise is
  // on the disk before the first question leaves (PMS, section 2.5).
  const uint64_t round = std::max(promised_.round, seen_round_) + 1;
  promise({round, self_});
  if (QRT_MUTANT(X02)) promise_write_ = {};
  draw_timeout();
  ask_promises(transfer);
}

void Replica::ask_promises(bool transfer) {
  for (const NodeId id : members().everyone()) {
    if (id == self_ || !members().is_voter(id)) continue;
    Promiser* known = promiser(id);
    if (known == nullptr) {
      promisers_.push_back({id, 0, committed_.next(), {}, false, {}});
      known = &promisers_.back();
    }
    // What an earlier life promised is forgotten, and with it what it had accepted.
    if (!of_admitted_life(*known)) *known = {id, 0, committed_.next(), {}, false, {}};
    if (known->complete) continue;
    known->next = std::max(known->next, committed_.next());
    send(id, Prepare{transfer, known->next}, {});
  }
}

Replica::Promiser* Replica::promiser(NodeId id) {
  const auto found = std::ranges::find(promisers_, id, &Promiser::id);
  return found == promisers_.end() ? nullptr : &*found;
}

void Replica::refused(NodeId from) {
  if (stage_ != Stage::preparing) return;
  if (std::ranges::find(refused_, from) == refused_.end()) refused_.push_back(from);
  std::vector<NodeId> others = members().everyone();
  std::erase_if(others,
                [&](NodeId id) { return std::ranges::find(refused_, id) != refused_.end(); });
  if (!decides(members(), others)) back_off();
}

void Replica::on_body(Message& message, const Head& head, const Promise& reply) {
  if (stage_ != Stage::preparing && stage_ != Stage::leader) return;
  // Only what was promised to this very ballot counts, not to an earlier one of ours (X01).
  if (head.promised != promised_ && !(QRT_MUTANT(X01) && reply.granted)) {
    if (head.promised < promised_ && reply.granted) return;
    if (stage_ == Stage::leader) {
      if (head.promised > promised_) step_down();
      return;
    }
    return refused(message.from);
  }
  Promiser* from = promiser(message.from);
  if (from == nullptr || from->complete || !reply.granted) return;
  if (!admitted(message.from, head)) return;
  if (!well_formed(reply, message.entries) || reply.from != from->next) {
    ++dropped_;
    return;
  }
  from->incarnation = head.incarnation;
  from->committed = reply.committed;
  if (reply.first > reply.from && !QRT_MUTANT(X10)) {
    // It has only the state that these slots led to, and no value that we could propose there: a
    // snapshot comes (the trap: to take them for open ones in which nothing was accepted).
    election_deadline_ = now_ + kSnapshotPatience * election_timeout_;
    return;
  }
  learn_page(*from, reply, message.entries);
  if (stage_ == Stage::preparing) election_deadline_ = now_ + drawn_timeout_;
  prepared();
  from = promiser(message.from);
  const bool asking = stage_ == Stage::preparing || widening_;
  if (from == nullptr || from->complete || !asking) return;
  send(message.from, Prepare{false, from->next}, {});
}

void Replica::learn_page(Promiser& from, const Promise& page, std::vector<Entry>& entries) {
  const NodeId id = from.id;
  for (Entry& entry : entries) {
    const Index index = entry.index;
    if (index <= committed_) continue;
    if (stage_ == Stage::leader && index <= proposed_) continue;
    // Behind a decided slot that the other has lost, the decided ones too count as accepted only.
    const bool next = index == committed_.next() && stage_ == Stage::preparing;
    if (index <= page.committed && next && !QRT_MUTANT(X04_DECIDED)) {
      learn(std::move(entry));
      continue;
    }
    // Of each slot the value of the highest ballot (PMS, section 2.2, P2c).
    Entry& best = found_[index];
    const bool better = entry.ballot > best.ballot || (QRT_MUTANT(X04) && best.ballot.round == 0);
    if (better && !(QRT_MUTANT(X04) && best.ballot.round != 0)) best = std::move(entry);
  }
  // Learning may have changed the configuration and with it the list.
  Promiser* known = promiser(id);
  if (known == nullptr) return;
  known->next = page.through.next();
  known->complete = page.complete;
  // Each page tells of its own slots: what an earlier one called lost stays lost.
  if (QRT_MUTANT(X12)) known->lost.clear();
  known->lost.insert(known->lost.end(), page.lost.begin(), page.lost.end());
}

bool Replica::of_admitted_life(const Promiser& one) const {
  const Member* member = members().find(one.id);
  return member == nullptr || member->incarnation == 0 || member->incarnation == one.incarnation;
}

// Ourselves among them, in the lives that count.
std::vector<NodeId> Replica::complete_promisers() const {
  std::vector<NodeId> complete;
  if (durable_write_ >= promise_write_ || QRT_MUTANT(X03)) complete.push_back(self_);
  for (const Promiser& one : promisers_) {
    if (one.complete && of_admitted_life(one)) complete.push_back(one.id);
  }
  return complete;
}

bool Replica::promised_by_quorum() const { return decides(members(), complete_promisers()); }

// A lost value may have been chosen, and its holder's acceptance may have been the one that decided
// it. The value is known if somebody has it, or one accepted later. It was not chosen, nor anything
// else at a ballot above the highest known one, if those who have not said that they accepted
// nothing above it are no quorum (PMS, section 2.2: P2c needs to know no more).
bool Replica::lost_values_known() const {
  if (QRT_MUTANT(D16_DROP)) return true;
  std::map<Index, std::vector<std::pair<NodeId, Ballot>>> lost;
  for (const LostSlot& slot : lost_open_slots()) {
    lost[slot.index].emplace_back(self_, slot.ballot);
  }
  for (const Promiser& one : promisers_) {
    if (!one.complete) continue;
    for (const LostSlot& slot : one.lost) lost[slot.index].emplace_back(one.id, slot.ballot);
  }
  for (const auto& [index, holders] : lost) {
    if (index <= committed_) continue;
    const Entry* own = slots_.find(index);
    const auto found = found_.find(index);
    Ballot known = found == found_.end() ? Ballot{} : found->second.ballot;
    if (own != nullptr) known = std::max(known, own->ballot);
    std::vector<NodeId> without = complete_promisers();
    bool higher = false;
    for (const auto& [holder, ballot] : holders) {
      if (ballot <= known) continue;
      higher = true;
      std::erase(without, holder);
    }
    std::vector<NodeId> perhaps = members().everyone();
    for (const NodeId id : without) std::erase(perhaps, id);
    if (higher && decides(members(), perhaps)) return false;
  }
  return true;
}

void Replica::prepared() {
  if (stage_ != Stage::preparing && !widening_) return;
  if (!promised_by_quorum() || !lost_values_known()) return;
  if (widening_) {
    widening_ = false;
    return propose_found();
  }
  if (may_campaign()) return become_leader();
  back_off();
}

void Replica::become_leader() {
  CHECK(promised_.node == self_, "a leader has promised its own ballot");
  stage_ = Stage::leader;
  leader_ = self_;
  lost_campaigns_ = 0;
  peers_.clear();
  established_ = false;
  office_start_ = {};
  stop_ = {};
  transfer_to_ = {};
  reads_.enter_office();
  undecided_bytes_ = 0;
  proposed_ = committed_;
  begin_following(committed_.next());
  track_members();
  in_office_since_ = now_;
  heartbeat_at_ = now_ + heartbeat_interval_;
  heartbeat_due_ = true;
  commit_notice_at_ = kNever;
  propose_found();
}

// A leader proposes nothing behind a configuration before it is decided, and then lets everybody
// know that it is (see Accept::stop). So whoever has accepted something behind it at a higher
// ballot, and does not know the configuration as decided, has it from a leader that had put
// something else in its place: the configuration was not chosen and never will be.
bool Replica::stop_is_void(Index index, const Ballot& ballot) const {
  if (QRT_MUTANT(X08_VOID)) return false;
  for (Index above = index.next(); above <= slots_.last(); ++above) {
    if (slots_.ballot_at(above) > ballot) return true;
  }
  return std::any_of(found_.upper_bound(index), found_.end(),
                     [&](const auto& found) { return found.second.ballot > ballot; });
}

// Proposes again what may have been chosen, and nothing in particular in the holes, so that no slot
// stays open before those we fill (PMS, section 3).
void Replica::propose_found() {
  Index last = std::max(slots_.last(), proposed_);
  if (!found_.empty()) last = std::max(last, found_.rbegin()->first);
  for (Index index = proposed_.next(); index <= last && !stop_; ++index) {
    const Entry* best = slots_.find(index);
    const auto found = found_.find(index);
    const bool theirs =
        found != found_.end() && (best == nullptr || found->second.ballot > best->ballot);
    if (theirs) best = &found->second;
    Entry entry{index, {}, EntryKind::noop, {}, {}};
    if (best != nullptr) entry = *best;
    if (best == nullptr && QRT_MUTANT(X05_HOLE)) {
      proposed_ = index;
      continue;
    }
    const bool stop = entry.kind == EntryKind::members;
    if (stop && stop_is_void(index, entry.ballot)) {
      entry = Entry{index, {}, EntryKind::noop, {}, {}};
    } else if (stop && !QRT_MUTANT(X08_PIPELINE)) {
      stop_ = index;
    }
    propose_at(index, std::move(entry));
  }
  found_.erase(found_.begin(), found_.upper_bound(proposed_));
  if (stop_) return;
  if (!office_start_) {
    propose_at(proposed_.next(), {proposed_.next(), {}, EntryKind::noop, {}, {}});
    office_start_ = proposed_;
  }
  propose_waiting();
}

// A new configuration is in force for the slots from here on.
void Replica::widen() {
  if (!members().is_voter(self_)) {
    heartbeat_all();  // so that the others know it too
    return hand_over(best_heir());
  }
  const bool ready = promised_by_quorum() && lost_values_known();
  if (ready || QRT_MUTANT(X08_PHASE1)) return propose_found();
  widening_ = true;
  ask_promises(false);
}

// ---- The acceptor.

void Replica::on_body(Message& message, const Head& head, const Prepare& prepare) {
  if (amnesiac_ && !QRT_MUTANT(AMNESIA)) return;
  const Ballot& asked = head.promised;
  const bool low = asked < promised_ && !QRT_MUTANT(X01_LOW);
  const bool spared = asked > promised_ && !prepare.transfer && ignores(message.from, false);
  if (low || spared) return send(message.from, Promise{}, {});
  if (asked != promised_) {
    follow(asked, {});
    draw_timeout();
  }
  answer_prepare({message.from, prepare.from, asked}, {});
}

// A page of what was accepted. False: it waits for our disk.
bool Replica::answer_prepare(const WaitingPrepare& asked, std::vector<Entry> read) {
  if (promised_ != asked.ballot) return true;
  Promise reply{true, false, asked.first, asked.first.previous(), committed_, slots_.first(), {}};
  if (asked.first < slots_.first() && !QRT_MUTANT(X10)) {
    if (repair_.store_lost) return true;  // there is nothing to lend
    lend_snapshot(asked.from);
    send(asked.from, reply, {});
    return true;
  }
  std::vector<Entry> entries;
  size_t bytes = 0;
  Index index = QRT_MUTANT(X10) ? std::max(asked.first, slots_.first()) : asked.first;
  for (; index <= slots_.last(); ++index) {
    if (!slots_.holds(index)) continue;
    if (!whole(index)) {
      // Told as accepted and lost. Not before a configuration that we know as decided, lost
      // itself perhaps: the other could not know that it is.
      const bool before_stop = index <= committed_ && newest_configuration() >= index;
      if (before_stop && !QRT_MUTANT(X12_STOP)) break;
      if (reply.lost.size() == kRepairRunsMax) break;
      reply.lost.push_back({index, slots_.ballot_at(index)});
      continue;
    }
    const Entry* entry = slots_.find(index);
    const bool was_read =
        !read.empty() && index >= read.front().index && index - read.front().index < read.size();
    if (entry == nullptr && was_read) entry = &read[index - read.front().index];
    if (entry == nullptr) break;
    const bool full = entries.size() == kAppendEntriesMax ||
                      (!entries.empty() && bytes + weight(*entry) > kAppendBytesMax);
    if (full) break;
    bytes += weight(*entry);
    entries.push_back(*entry);
  }
  reply.complete = index > slots_.last();
  reply.through = std::max(index.previous(), reply.through);
  if (!reply.complete && reply.through < asked.first) {
    if (!whole(index)) return true;  // nothing to say until it is repaired
    std::erase_if(waiting_prepares_, [&](const auto& one) { return one.from == asked.from; });
    if (waiting_prepares_.size() < kRepairRequestsMax) waiting_prepares_.push_back(asked);
    return false;
  }
  send(asked.from, reply, {}, std::move(entries));
  return true;
}

}  // namespace quorate::consensus::paxos
