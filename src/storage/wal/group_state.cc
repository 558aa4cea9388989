#include "storage/wal/group_state.h"

#include <algorithm>

#include "base/mutant.h"
#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {

void BallotRuns::put(Index index, const consensus::Ballot& ballot, Index last) {
  // Nearly always: behind all others, with the ballot of the one before.
  if (index > last && !runs_.empty()) {
    const auto& [first, newest] = *runs_.rbegin();
    if (first < index && newest == ballot) return;
  }
  if (index < last && !runs_.contains(index.next())) {
    // Overwritten in the middle (Paxos): the entries behind keep what they had.
    if (const auto behind = find(index.next())) runs_.emplace(index.next(), *behind);
  }
  runs_.erase(index);
  const auto before = index.value > 1 ? find(index.previous()) : std::nullopt;
  if (before != ballot) runs_.insert_or_assign(index, ballot);
  const auto next = runs_.find(index.next());
  if (next != runs_.end() && next->second == ballot) runs_.erase(next);
}

void BallotRuns::append(Index first, const consensus::Ballot& ballot) {
  if (!runs_.empty() && runs_.rbegin()->second == ballot) return;
  runs_.insert_or_assign(first, ballot);
}

std::vector<consensus::BallotRun> BallotRuns::list_from(Index index, Index last) const {
  std::vector<consensus::BallotRun> list;
  if (index > last) return list;
  list.push_back({index, find(index).value_or(consensus::Ballot{})});
  for (auto run = runs_.upper_bound(index); run != runs_.end(); ++run) {
    list.push_back({run->first, run->second});
  }
  return list;
}

void BallotRuns::truncate_from(Index index) { runs_.erase(runs_.lower_bound(index), runs_.end()); }

void BallotRuns::drop_through(Index index, Index last) {
  const auto behind = index < last ? find(index.next()) : std::nullopt;
  runs_.erase(runs_.begin(), runs_.upper_bound(index));
  if (behind) runs_.insert_or_assign(index.next(), *behind);
}

std::optional<consensus::Ballot> BallotRuns::find(Index index) const {
  auto run = runs_.upper_bound(index);
  if (run == runs_.begin()) return std::nullopt;
  return std::prev(run)->second;
}

std::vector<consensus::BallotRun> BallotRuns::list() const {
  std::vector<consensus::BallotRun> list;
  for (const auto& [first, ballot] : runs_) list.push_back({first, ballot});
  return list;
}

bool GroupState::keeps_rest(const consensus::Write& write) const {
  if (!write.snapshot) return false;
  if (write.keep_behind) return true;
  const consensus::SnapshotMeta& arrived = *write.snapshot;
  if (arrived.index == snapshot.index) return arrived.ballot == snapshot.ballot;
  const Index end = write.truncate_from ? std::min(last, write.truncate_from->previous()) : last;
  if (arrived.index < snapshot.index || arrived.index > end) return false;
  return runs.find(arrived.index) == arrived.ballot;
}

const char* GroupState::broken_rule(const consensus::Write& write, bool keep_rest) const {
  if (write.id <= last_write) return "write ids of a group grow";
  if (write.hard_state && write.hard_state->promised < hard_state.promised) {
    return "promised never shrinks";
  }
  if (write.hard_state && write.hard_state->committed < hard_state.committed) {
    return "committed never shrinks";
  }
  Index decided = std::max(hard_state.committed, snapshot.index);
  if (write.truncate_from && *write.truncate_from <= decided) {
    return "no entry is dropped at or below committed";
  }
  Index end = write.truncate_from ? std::min(last, write.truncate_from->previous()) : last;
  if (write.snapshot) {
    if (write.snapshot->index < snapshot.index) return "a dropped prefix never comes back";
    if (write.install && !keep_rest) {
      if (write.snapshot->index < hard_state.committed) {
        return "an installed snapshot never drops what is committed";
      }
      end = write.snapshot->index;
    }
    end = std::max(end, write.snapshot->index);
    decided = std::max(decided, write.snapshot->index);
  }
  for (const consensus::Entry& entry : write.entries) {
    if (entry.index <= decided) return "no entry is written at or below committed, and in order";
    if (entry.index > end && entry.index - end > kHoleEntriesMax) {
      return "a log has no hole larger than its limit";
    }
    decided = entry.index;
    end = std::max(end, entry.index);
  }
  const Index prefix = write.snapshot ? write.snapshot->index : snapshot.index;
  for (const consensus::Entry& entry : write.repairs) {
    const bool in_place = entry.index > prefix && runs.find(entry.index) == entry.ballot;
    if (!in_place) return "a repair puts back the entry that stood there";
  }
  return nullptr;
}

const char* GroupState::broken_repair(const consensus::Write& write) const {
  for (const consensus::Entry& entry : write.repairs) {
    if (!damaged.contains(entry.index) && !QRT_MUTANT(D16_PLACE)) {
      return "only what is damaged is repaired";
    }
  }
  return nullptr;
}

void GroupState::apply(const consensus::Write& write, bool keep_rest) {
  last_write = write.id;
  if (write.hard_state) hard_state = *write.hard_state;
  if (write.truncate_from && *write.truncate_from <= last) {
    last = write.truncate_from->previous();
    runs.truncate_from(*write.truncate_from);
    members.erase(members.lower_bound(*write.truncate_from), members.end());
    damaged.truncate_from(*write.truncate_from);
  }
  if (write.snapshot) {
    members.erase(members.begin(), members.upper_bound(write.snapshot->index));
    damaged.drop_through(write.snapshot->index);
    if (write.install && !keep_rest) {
      runs.clear();
      members.clear();
      damaged = {};
      last = write.snapshot->index;
    } else {
      runs.drop_through(write.snapshot->index, last);
      last = std::max(last, write.snapshot->index);
    }
    snapshot = *write.snapshot;
  }
  for (const consensus::Entry& entry : write.entries) {
    if (entry.index > last.next()) runs.append(last.next(), {});
    runs.put(entry.index, entry.ballot, last);
    last = std::max(last, entry.index);
    if (entry.kind == consensus::EntryKind::members) {
      members.insert(entry.index);
    } else if (!members.empty() && entry.index <= *members.rbegin()) {
      members.erase(entry.index);
    }
    if (!damaged.empty()) damaged.remove({entry.index, entry.index});
  }
  for (const consensus::Entry& entry : write.repairs) damaged.remove({entry.index, entry.index});
}

StoredGroup GroupState::told(GroupId group, Index since, bool snapshot_members) const {
  StoredGroup told;
  told.group = group;
  told.last_write = last_write;
  told.last = last;
  told.hard_state = hard_state;
  told.snapshot = snapshot;
  told.snapshot_members = snapshot_members;
  if (!snapshot_members) told.snapshot.members = {};
  told.since = std::max(since, snapshot.index.next());
  told.runs = runs.list_from(told.since, last);
  told.members.assign(members.begin(), members.end());
  return told;
}

bool GroupState::adopt(const StoredGroup& told) {
  const bool grown = told.last_write >= last_write && told.snapshot.index >= snapshot.index &&
                     told.hard_state.promised >= hard_state.promised &&
                     told.hard_state.committed >= hard_state.committed;
  if (!grown) return false;
  if (!told.identities) {
    return told.last_write == last_write && told.last == last && told.snapshot == snapshot &&
           told.hard_state == hard_state;
  }
  const bool connected = told.since <= last.next() || told.since == told.snapshot.index.next();
  const bool same_snapshot =
      told.snapshot.index == snapshot.index && told.snapshot.ballot == snapshot.ballot;
  if (!connected || (!told.snapshot_members && !same_snapshot)) return false;
  last_write = told.last_write;
  last = told.last;
  hard_state = told.hard_state;
  if (told.snapshot_members) snapshot = told.snapshot;
  snapshot.members = Bytes(snapshot.members.view());
  runs.truncate_from(told.since);
  for (const consensus::BallotRun& run : told.runs) runs.append(run.first, run.ballot);
  runs.drop_through(snapshot.index, last);
  members = std::set<Index>(told.members.begin(), told.members.end());
  return true;
}

}  // namespace quorate::storage::wal
