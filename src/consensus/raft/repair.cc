// Entries that our disk has lost come back from others (docs/decisions/0013).
//
// Position and term of every entry stay known, so elections, log matching and commitment go on
// as if the log were whole; only what rests on content waits: acknowledgements and our own count
// end before the first hole, and so does what is reported as committed. An entry with this
// position and term has one content wherever it is (log matching), so anyone may give it back.
#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "consensus/quorum.h"
#include "consensus/raft/replica.h"

namespace quorate::consensus::raft {
namespace {

// Entries asked back from our disk at a time for somebody else.
constexpr uint64_t kFetchEntriesMax = 256;
// Whoever waits for a snapshot leaves the lead to others for so many election timeouts.
constexpr int kSnapshotPatience = 3;

}  // namespace

// ---- What is lost.

Index Replica::intact() const {
  if (repair_.store_lost) return {};
  return repair_.holes.empty() ? log_.last() : repair_.holes.first().previous();
}

// Decided entries up to here can be handed to the state machine. Damage to entries that were
// handed over long ago holds nothing up.
Index Replica::reportable() const {
  if (!damaged()) return committed_;
  if (repair_.store_lost) return reported_;
  const Index hole = repair_.holes.first_behind(reported_);
  return std::max(reported_, hole ? std::min(committed_, hole.previous()) : committed_);
}

void Replica::recover_damage(Recovered& recovered) {
  for (IndexRange range : recovered.damaged) {
    range.first = std::max(range.first, log_.first());
    range.last = std::min(range.last, log_.last());
    if (range.first <= range.last) repair_.holes.add(range);
  }
  for (const Index index : recovered.damaged_members) {
    if (repair_.holes.contains(index)) repair_.members.push_back(index);
  }
  std::ranges::sort(repair_.members);
  repair_.store_lost = recovered.store_lost && log_.snapshot_index();
  if (damaged()) repair_.ask_at = now_;
}

void Replica::lose(IndexRange range) {
  range.first = std::max(range.first, log_.first());
  range.last = std::min({range.last, log_.last(), durable_});
  if (range.first > range.last) return;
  repair_.holes.add(range);
  // What is still in memory need not be asked for.
  for (Index index = std::max(range.first, log_.tail_first()); index <= range.last; ++index) {
    Entry copy = *log_.find(index);
    fill_hole(copy);
  }
}

void Replica::on(const Damaged& event) {
  for (const IndexRange& range : event.ranges) lose(range);
  if (!damaged()) return;
  repair_.ask_at = std::min(repair_.ask_at, now_);
  repair_.asked_all = false;
}

void Replica::on(const StoreLost&) {
  if (!log_.snapshot_index()) return;  // the log has everything that was ever decided
  repair_.store_lost = true;
  repair_.ask_at = std::min(repair_.ask_at, now_);
  if (stage_ != Stage::follower) become_follower(term_, {});
}

// ---- What comes back.

bool Replica::fill_hole(Entry& entry) {
  const Index index = entry.index;
  if (!repair_.holes.contains(index) || repair_.filling.contains(index)) return false;
  if (!log_.matches(index, entry.ballot) && !QRT_MUTANT(D16_BALLOT)) return false;
  const auto unknown = std::ranges::find(repair_.members, index);
  const bool configuration =
      unknown != repair_.members.end() ||
      std::ranges::find(configurations_, index, &Configuration::index) != configurations_.end();
  if (configuration != (entry.kind == EntryKind::members)) return false;
  if (configuration && !decode_members(entry.data)) return false;
  if (unknown != repair_.members.end()) {
    repair_.members.erase(unknown);
    insert_configuration(index, entry.data);
    recall_own_life();
  }
  const WriteId write = upcoming_write();
  upcoming_.repairs.push_back(std::move(entry));
  repair_.filling.add({index, index});
  if (repair_.fills.empty() || repair_.fills.back().write != write) {
    repair_.fills.push_back({write, {}, false});
  }
  repair_.fills.back().indexes.add({index, index});
  return true;
}

void Replica::insert_configuration(Index index, const Bytes& encoded) {
  std::optional<Members> decoded = decode_members(encoded);
  CHECK(decoded, "configurations that come back were checked");
  const auto place = std::ranges::upper_bound(configurations_, index, {}, &Configuration::index);
  const bool newest = place == configurations_.end();
  configurations_.insert(place, {index, std::move(*decoded), encoded});
  if (newest) configuration_changed();
}

void Replica::repairs_stored(WriteId write) {
  bool any = false;
  while (!repair_.fills.empty() && repair_.fills.front().write <= write) {
    const Repair::Fill& done = repair_.fills.front();
    for (const IndexRange& range : done.indexes.list()) {
      repair_.holes.remove(range);
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
  if (stage_ != Stage::follower) return;
  if (!damaged() && !leader_) draw_timeout();
  // What the leader sent meanwhile can be acknowledged now.
  if (!leader_ || repair_.agreed_term != term_) return;
  acknowledge_ = true;
  acknowledged_ = std::max(acknowledged_, std::min(repair_.agreed, log_.last()));
}

bool Replica::wants_state() const {
  return repair_.store_lost && std::ranges::none_of(repair_.fills, &Repair::Fill::store);
}

// Whether a snapshot of this index would give back what is not on its way already.
bool Replica::covers_damage(Index through) const {
  if (repair_.store_lost) return wants_state() && through >= log_.snapshot_index();
  for (const IndexRange& hole : repair_.holes.list()) {
    for (Index index = hole.first; index <= std::min(hole.last, through); ++index) {
      if (!repair_.filling.contains(index)) return true;
    }
  }
  return false;
}

// The snapshot in the write being collected stands for all damage up to here.
void Replica::cover_damage(Index through) {
  if (!damaged()) return;
  Repair::Fill fill{upcoming_write(), {}, repair_.store_lost && through >= log_.snapshot_index()};
  for (IndexRange hole : repair_.holes.list()) {
    if (hole.first > through) break;
    hole.last = std::min(hole.last, through);
    fill.indexes.add(hole);
  }
  for (const IndexRange& range : fill.indexes.list()) repair_.filling.add(range);
  repair_.fills.push_back(std::move(fill));
  std::erase_if(repair_.members, [&](Index index) { return index <= through; });
}

// The state machine stands for the log up to here, durably.
void Replica::drop_damage(Index through) {
  if (repair_.holes.empty()) return;
  repair_.holes.drop_through(through);
  repair_.filling.drop_through(through);
  for (Repair::Fill& fill : repair_.fills) fill.indexes.drop_through(through);
  std::erase_if(upcoming_.repairs, [&](const Entry& entry) { return entry.index <= through; });
  std::erase_if(repair_.members, [&](Index index) { return index <= through; });
  if (!damaged()) repair_.ask_at = kNever;
}

void Replica::truncate_damage(Index index) {
  if (repair_.holes.empty()) return;
  repair_.holes.truncate_from(index);
  repair_.filling.truncate_from(index);
  for (Repair::Fill& fill : repair_.fills) fill.indexes.truncate_from(index);
  std::erase_if(upcoming_.repairs, [&](const Entry& entry) { return entry.index >= index; });
  std::erase_if(repair_.members, [&](Index lost) { return lost >= index; });
}

// ---- Asking.

std::vector<WantedRun> Replica::wanted_runs() const {
  std::vector<WantedRun> wanted;
  uint64_t entries = 0;
  for (const IndexRange& hole : repair_.holes.list()) {
    for (Index index = hole.first; index <= hole.last; ++index) {
      if (repair_.filling.contains(index)) continue;
      if (++entries > kAppendEntriesMax) return wanted;
      const uint64_t term = log_.ballot_at(index).round;
      const bool same =
          !wanted.empty() && wanted.back().last.next() == index && wanted.back().term == term;
      if (same) {
        wanted.back().last = index;
      } else if (wanted.size() == kRepairRunsMax) {
        return wanted;
      } else {
        wanted.push_back({index, index, term});
      }
    }
  }
  return wanted;
}

NodeId Replica::next_to_ask() {
  std::vector<NodeId> others = members().everyone();
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

// Entries handed over long ago are in our own state too, and soon durably so. If not, and nobody
// has them as entries, the state of somebody else is welcome.
bool Replica::state_helps() const {
  if (repair_.store_lost || repair_.asked_all) return true;
  return !repair_.holes.empty() && repair_.holes.first() > reported_;
}

void Replica::ask_for_repair() {
  repair_.ask_at = kNever;
  if (!damaged()) return;
  const bool store_lost = wants_state();
  RepairRequest request;
  request.store_lost = store_lost;
  request.wanted = wanted_runs();
  if (store_lost) {
    const Index index = log_.snapshot_index();
    request.wanted = {{index, index, log_.snapshot_ballot().round}};
  }
  if (request.wanted.empty()) return;  // everything is on its way to the disk
  request.state_helps = state_helps();
  repair_.ask_delay = std::max(repair_.ask_delay, heartbeat_interval_);
  const NodeId asked = next_to_ask();
  if (!asked) return;
  send(asked, request, {});
  repair_.ask_at = now_ + repair_.ask_delay;
}

void Replica::on_body(Message& message, const Head& head, const RepairReply& reply) {
  if (stage_ == Stage::leader && head.term > term_) become_follower(head.term, {});
  if (!damaged()) return;
  if (message.entries.size() > kAppendEntriesMax) {
    ++dropped_;
    return;
  }
  bool progress = false;
  for (Entry& entry : message.entries) progress = fill_hole(entry) || progress;
  if (progress) {
    // It may have more.
    if (repair_.turn > 0) --repair_.turn;
    repair_.ask_at = now_;
    return;
  }
  const Index first = repair_.store_lost ? log_.snapshot_index() : repair_.holes.first();
  if (state_helps() && reply.snapshot >= first && !repair_.filling.contains(first)) {
    // A snapshot comes. It cannot be installed in office, and another can lead meanwhile.
    if (stage_ != Stage::follower) become_follower(term_, {});
    election_deadline_ = std::max(election_deadline_, now_ + kSnapshotPatience * election_timeout_);
    return;
  }
  note_absent(message, head, reply);
}

// An entry that no majority holds was never committed, and is not going to be: each of them has
// promised our term. Only whoever leads may conclude it, and it drops the entry by leaving
// office and standing again with a log that ends before it.
void Replica::note_absent(const Message& message, const Head& head, const RepairReply& reply) {
  if (stage_ != Stage::leader || head.term != term_ || repair_.holes.empty()) return;
  Progress* peer = nullptr;
  if (!note_reply(message.from, head, peer) || !peer->counts()) return;
  const Index first = repair_.holes.first();
  const bool about_it = reply.asked == first && log_.matches(first, {reply.asked_term, {}});
  const bool absent = reply.held < first && reply.snapshot < first;
  if (!about_it || !absent || repair_.filling.contains(first) || first <= committed_) return;
  if (repair_.absent_index != first || repair_.absent_term != term_) {
    repair_.absent_index = first;
    repair_.absent_term = term_;
    repair_.absent.clear();
  }
  repair_.absent.push_back(peer->id);
  if (!decides(members(), repair_.absent) && !QRT_MUTANT(D16_DROP)) return;
  become_follower(term_, {});
  truncate_from(first);
  election_deadline_ = now_;
}

// ---- Answering.

void Replica::on_body(Message& message, const Head&, const RepairRequest& request) {
  const auto known = std::ranges::find(repair_.requests, message.from, &Repair::Request::from);
  if (known != repair_.requests.end()) return;  // its earlier one waits for our disk
  if (!answer_repair(message.from, request)) return;
  if (repair_.requests.size() < kRepairRequestsMax) {
    repair_.requests.push_back({message.from, request});
  }
}

// Entries that must be read back before anything can be given; nothing: it was answered.
std::optional<IndexRange> Replica::answer_repair(NodeId to, const RepairRequest& request) {
  std::vector<Entry> entries;
  size_t bytes = 0;
  bool more = true;
  for (const WantedRun& run : request.wanted) {
    for (Index index = std::max(run.first, log_.first()); index <= run.last && more; ++index) {
      if (!log_.matches(index, {run.term, {}})) break;
      const Entry* entry = log_.find(index);
      if (entry == nullptr && repair_.holes.contains(index)) continue;
      more = entries.size() < kAppendEntriesMax;
      if (entry == nullptr) {
        more = false;
        if (!entries.empty()) break;
        const Index hole = repair_.holes.first_behind(index);
        Index last = std::min({run.last, log_.last(), index + (kFetchEntriesMax - 1)});
        if (hole) last = std::min(last, hole.previous());
        return IndexRange{index, last};
      }
      if (!entries.empty() && bytes + weight(*entry) > kAppendBytesMax) more = false;
      if (!more) break;
      bytes += weight(*entry);
      entries.push_back(*entry);
    }
  }
  send_repair(to, request, std::move(entries));
  return std::nullopt;
}

void Replica::send_repair(NodeId to, const RepairRequest& request, std::vector<Entry> entries) {
  RepairReply reply;
  reply.asked = request.wanted.front().first;
  reply.asked_term = request.wanted.front().term;
  for (const WantedRun& run : request.wanted) {
    // The same log up to some point and different ones behind it: what is held is a beginning.
    for (Index index = run.first; index <= std::min(run.last, log_.last()); ++index) {
      if (log_.matches(index, {run.term, {}})) reply.held = index;
    }
  }
  if (!repair_.store_lost) {
    const bool state = request.store_lost ? reported_ >= reply.asked : request.state_helps;
    reply.snapshot = request.store_lost && state ? reported_ : log_.snapshot_index();
    if (state && reply.snapshot >= reply.asked) lend_snapshot(to);
  }
  send(to, reply, {}, std::move(entries));
}

void Replica::lend_snapshot(NodeId to) {
  if (stage_ == Stage::leader) {
    Progress* peer = progress_of(to);
    if (peer != nullptr && peer->flow != Flow::snapshot) need_snapshot(*peer);
    return;
  }
  if (std::ranges::find(repair_.lending, to) != repair_.lending.end()) return;
  repair_.lending.push_back(to);
  ready_.snapshots.push_back(to);
}

void Replica::serve_repairs(Ready& ready) {
  while (!repair_.requests.empty() && !fetch_open_ && !ready.fetch) {
    const Repair::Request next = repair_.requests.front();
    repair_.fetch = answer_repair(next.from, next.request);
    if (repair_.fetch) {
      ready.fetch = repair_.fetch;
      fetch_open_ = true;
    } else {
      repair_.requests.erase(repair_.requests.begin());
    }
  }
}

bool Replica::take_fetched_repairs(Fetched& event) {
  if (!repair_.fetch || repair_.requests.empty()) return false;
  const IndexRange asked = *std::exchange(repair_.fetch, std::nullopt);
  const Repair::Request served = std::move(repair_.requests.front());
  repair_.requests.erase(repair_.requests.begin());
  std::vector<Entry> entries;
  size_t bytes = 0;
  for (Entry& entry : event.entries) {
    const bool wanted = entry.index >= asked.first && entry.index <= asked.last &&
                        log_.matches(entry.index, entry.ballot);
    if (!wanted || (!entries.empty() && bytes + weight(entry) > kAppendBytesMax)) break;
    bytes += weight(entry);
    entries.push_back(std::move(entry));
  }
  send_repair(served.from, served.request, std::move(entries));
  return true;
}

}  // namespace quorate::consensus::raft
