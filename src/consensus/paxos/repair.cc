// Slots that our disk has lost come back from others (docs/decisions/0013).
//
// Damage takes content, never identity: of every accepted slot the ballot stays known. A decided
// slot has one value, so the copy of anybody who knows it as decided will do, whatever its ballot.
// Whether an open slot is decided we cannot tell by its ballot any more than by its content: a
// leader that has our acknowledgement will not send it again. So it is asked for too; who knows it
// as decided gives it back, and a leader puts a no-op over what stands behind all that it proposes.
// Until then we tell of it in our promises, and whoever prepares takes care (lost_values_known).
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/paxos/replica.h"

namespace quorate::consensus::paxos {
// Decided slots up to here can be handed to the state machine. Damage to slots that were handed
// over long ago holds nothing up.
Index Replica::reportable() const {
  if (!damaged()) return committed_;
  if (repair_.store_lost) return reported_;
  const Index lost = repair_.lost.first_behind(reported_);
  return std::max(reported_, lost ? std::min(committed_, lost.previous()) : committed_);
}

void Replica::recover_damage(Recovered& recovered) {
  for (IndexRange range : recovered.damaged) {
    range.first = std::max(range.first, slots_.first());
    range.last = std::min(range.last, slots_.last());
    if (range.first <= range.last) repair_.lost.add(range);
  }
  for (const Index index : recovered.damaged_members) {
    if (index <= committed_ && repair_.lost.contains(index)) repair_.members.push_back(index);
  }
  std::ranges::sort(repair_.members);
  repair_.store_lost = recovered.store_lost && slots_.snapshot_index();
  if (damaged()) repair_.ask_at = now_;
}

// What was noticed may be older than what is on its way to the disk.
bool Replica::being_written(Index index) const {
  if (std::ranges::find(upcoming_.entries, index, &Entry::index) != upcoming_.entries.end()) {
    return true;
  }
  for (const WriteOnItsWay& write : writes_) {
    if (index >= write.entries.first && index <= write.entries.last) return true;
  }
  return false;
}

void Replica::lose(IndexRange range) {
  range.first = std::max(range.first, slots_.first());
  range.last = std::min(range.last, slots_.last());
  for (Index index = range.first; index <= range.last; ++index) {
    if (!slots_.holds(index) || being_written(index)) continue;
    repair_.lost.add({index, index});
    // What is still in memory need not be asked for.
    if (const Entry* held = slots_.find(index)) refill(*held);
  }
}

void Replica::on(const Damaged& event) {
  for (const IndexRange& range : event.ranges) lose(range);
  if (!damaged()) return;
  repair_.ask_at = std::min(repair_.ask_at, now_);
  repair_.asked_all = false;
}

void Replica::on(const StoreLost&) {
  if (!slots_.snapshot_index()) return;  // the log has everything that was ever decided
  repair_.store_lost = true;
  repair_.ask_at = std::min(repair_.ask_at, now_);
  if (stage_ == Stage::leader) lose_office();
  stage_ = Stage::follower;
}

void Replica::refill(const Entry& entry) {
  if (repair_.filling.contains(entry.index)) return;
  const WriteId write = upcoming_write();
  upcoming_.repairs.push_back(entry);
  repair_.filling.add({entry.index, entry.index});
  if (repair_.fills.empty() || repair_.fills.back().write != write) {
    repair_.fills.push_back({write, {}, false});
  }
  repair_.fills.back().slots.add({entry.index, entry.index});
}

// A decided value, from wherever.
bool Replica::restore(Entry& entry) {
  const Index index = entry.index;
  if (index > committed_ || !repair_.lost.contains(index) || repair_.filling.contains(index)) {
    return false;
  }
  const auto unknown = std::ranges::find(repair_.members, index);
  const auto known = std::ranges::find(configurations_, index, &Configuration::index);
  const bool configuration = unknown != repair_.members.end() || known != configurations_.end();
  if (configuration != (entry.kind == EntryKind::members)) return false;
  if (configuration && !decode_members(entry.data)) return false;
  entry.ballot = slots_.ballot_at(index);
  refill(entry);
  if (unknown != repair_.members.end()) {
    repair_.members.erase(unknown);
    push_configuration(index, entry.data);
    std::ranges::sort(configurations_, {}, &Configuration::index);
    recall_own_life();
  }
  slots_.restore(std::move(entry));
  return true;
}

// The next slot that we do not know as decided, and another does. Only in order: a configuration
// may be among those before it.
bool Replica::learn_lost(Entry& entry) {
  const Index index = entry.index;
  if (stage_ == Stage::leader || index != committed_.next() || !repair_.lost.contains(index)) {
    return false;
  }
  const bool stop = entry.kind == EntryKind::members;
  if (entry.ballot.round == 0 || (stop && !decode_members(entry.data))) return false;
  learn(std::move(entry));
  extend_through();
  acknowledge_ = true;
  return true;
}

// Of all decided ones, lost or not.
Index Replica::newest_configuration() const {
  const Index known = configurations_.back().index;
  return knows_members() ? known : std::max(known, repair_.members.back());
}

// An open slot is accepted anew, so what was lost there matters no more.
void Replica::overwritten(Index index) {
  if (repair_.lost.empty()) return;
  const IndexRange slot{index, index};
  repair_.lost.remove(slot);
  repair_.filling.remove(slot);
  for (Fill& fill : repair_.fills) fill.slots.remove(slot);
  std::erase_if(upcoming_.repairs, [&](const Entry& entry) { return entry.index == index; });
}

// The state machine stands for the slots up to here, durably.
void Replica::covered(Index through) {
  if (repair_.lost.empty()) return;
  repair_.lost.drop_through(through);
  repair_.filling.drop_through(through);
  for (Fill& fill : repair_.fills) fill.slots.drop_through(through);
  std::erase_if(upcoming_.repairs, [&](const Entry& entry) { return entry.index <= through; });
  std::erase_if(repair_.members, [&](Index index) { return index <= through; });
  if (!damaged()) repair_.ask_at = kNever;
}

void Replica::repairs_stored(WriteId write) {
  bool any = false;
  while (!repair_.fills.empty() && repair_.fills.front().write <= write) {
    const Fill& done = repair_.fills.front();
    for (const IndexRange& range : done.slots.list()) {
      repair_.lost.remove(range);
      repair_.filling.remove(range);
    }
    if (done.store) repair_.store_lost = false;
    repair_.fills.erase(repair_.fills.begin());
    any = true;
  }
  if (!any) return;
  repair_.ask_delay = {};
  repair_.asked_all = false;
  repair_.ask_at = damaged() ? now_ : kNever;
  if (stage_ == Stage::follower && !damaged() && !leader_) draw_timeout();
}

// ---- Asking.

std::vector<IndexRange> Replica::wanted_slots() const {
  std::vector<IndexRange> wanted;
  uint64_t slots = 0;
  for (const IndexRange& range : repair_.lost.list()) {
    const Index last = QRT_MUTANT(X12_OPEN) ? std::min(range.last, committed_) : range.last;
    for (Index index = range.first; index <= last; ++index) {
      if (repair_.filling.contains(index)) continue;
      if (++slots > kAppendEntriesMax) return wanted;
      if (!wanted.empty() && wanted.back().last.next() == index) {
        wanted.back().last = index;
      } else if (wanted.size() == kRepairRunsMax) {
        return wanted;
      } else {
        wanted.push_back({index, index});
      }
    }
  }
  return wanted;
}

NodeId Replica::next_to_ask() {
  std::vector<NodeId> others = members().everyone();
  // Who lost the configuration that names the others knows its leader at least.
  if (others.empty() && leader_) others.push_back(leader_);
  std::erase(others, self_);
  if (others.empty()) return {};
  // The leader first, then everyone in turn; once nobody could help, less and less often.
  if (repair_.turn == 0 && leader_ && leader_ != self_) {
    ++repair_.turn;
    return leader_;
  }
  const NodeId asked = others[repair_.turn % others.size()];
  if (++repair_.turn > others.size()) {
    repair_.turn = 0;
    repair_.asked_all = true;
    repair_.ask_delay = std::min(2 * repair_.ask_delay, election_timeout_);
  }
  return asked;
}

void Replica::ask_for_repair() {
  repair_.ask_at = kNever;
  if (!damaged()) return;
  const bool store_on_its_way = std::ranges::any_of(repair_.fills, &Fill::store);
  Fetch request{false, repair_.store_lost && !store_on_its_way, wanted_slots()};
  if (request.store_lost) {
    request.wanted = {{slots_.snapshot_index(), slots_.snapshot_index()}};
  }
  if (request.wanted.empty()) return;  // everything is on its way to the disk
  // Slots handed over long ago are in our own state too, and soon durably so. If not, and nobody
  // has them as entries, the state of somebody else is welcome.
  request.state_helps =
      request.store_lost || repair_.asked_all || request.wanted.front().first > reported_;
  repair_.ask_delay = std::max(repair_.ask_delay, heartbeat_interval_);
  repair_.ask_at = now_ + repair_.ask_delay;
  if (const NodeId asked = next_to_ask()) send(asked, std::move(request), {});
}

void Replica::on_body(Message& message, const Head&, const Decided& reply) {
  if (!damaged()) return;
  if (message.entries.size() > kAppendEntriesMax) {
    ++dropped_;
    return;
  }
  bool progress = false;
  for (Entry& entry : message.entries) {
    progress = restore(entry) || learn_lost(entry) || progress;
  }
  if (progress) {
    prepared();  // phase 1 may have waited for it
    // It may have more.
    if (repair_.turn > 0) --repair_.turn;
    repair_.ask_at = now_;
    return;
  }
  if (!reply.snapshot || reply.snapshot < reply.asked) return;
  // A snapshot comes. It cannot be installed in office, and another can lead meanwhile.
  if (stage_ == Stage::leader) lose_office();
  stage_ = Stage::follower;
  election_deadline_ = std::max(election_deadline_, now_ + kSnapshotPatience * election_timeout_);
}

// ---- Answering.

void Replica::on_body(Message& message, const Head&, const Fetch& request) {
  const auto known = std::ranges::find(waiting_fetches_, message.from, &WaitingFetch::from);
  if (known != waiting_fetches_.end()) return;  // its earlier one waits for our disk
  propose_over(message.from, request);
  answer_fetch({message.from, request}, {});
}

// What somebody accepted and lost may stand behind everything that we propose. Phase 1 found that
// nothing there was chosen before our ballot, so whatever we propose there is right; until it is
// accepted, whoever lost the slot could hold up the next phase 1.
void Replica::propose_over(NodeId from, const Fetch& request) {
  const Index last = request.wanted.back().last;
  const bool asked_for = !request.store_lost && last > proposed_ && progress_of(from) != nullptr;
  if (!asked_for || !may_propose() || transfer_to_) return;
  for (size_t filled = 0; filled < kRepairRunsMax && proposed_ < last; ++filled) {
    if (proposed_ - committed_ >= kSlotGapMax) return;
    propose(EntryKind::noop, {}, {});
  }
}

// False: it waits for our disk.
bool Replica::answer_fetch(const WaitingFetch& asked, std::vector<Entry> read) {
  const Index first = asked.fetch.wanted.front().first;
  Decided reply{first, {}};
  const bool gone = first < slots_.first() && asked.fetch.state_helps;
  if (!repair_.store_lost && (asked.fetch.store_lost || gone) && reported_ >= first) {
    reply.snapshot = reported_;
    lend_snapshot(asked.from);
    send(asked.from, reply, {});
    return true;
  }
  std::vector<Entry> entries;
  size_t bytes = 0;
  for (const IndexRange& range : asked.fetch.wanted) {
    const Index last = std::min(range.last, committed_);
    for (Index index = std::max(range.first, slots_.first()); index <= last; ++index) {
      const Entry* entry = slots_.find(index);
      const bool was_read =
          !read.empty() && index >= read.front().index && index - read.front().index < read.size();
      if (entry == nullptr && was_read) entry = &read[index - read.front().index];
      if (entry == nullptr) {
        if (!whole(index)) continue;
        const bool waits = entries.empty() && read.empty() && index == first;
        if (waits && waiting_fetches_.size() < kRepairRequestsMax) {
          waiting_fetches_.push_back(asked);
          return false;
        }
        continue;
      }
      if (!entries.empty() && bytes + weight(*entry) > kAppendBytesMax) break;
      if (entries.size() == kAppendEntriesMax) break;
      bytes += weight(*entry);
      entries.push_back(*entry);
    }
  }
  send(asked.from, reply, {}, std::move(entries));
  return true;
}

std::vector<LostSlot> Replica::lost_open_slots() const {
  std::vector<LostSlot> open;
  for (const IndexRange& range : repair_.lost.list()) {
    for (Index index = std::max(range.first, committed_.next()); index <= range.last; ++index) {
      if (!whole(index)) open.push_back({index, slots_.ballot_at(index)});
    }
  }
  return open;
}

}  // namespace quorate::consensus::paxos
