#include "storage/wal/group_state.h"

#include <algorithm>

#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {

void BallotRuns::put(Index index, const consensus::Ballot& ballot, Index last) {
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
  return nullptr;
}

void GroupState::apply(const consensus::Write& write, bool keep_rest) {
  last_write = write.id;
  if (write.hard_state) hard_state = *write.hard_state;
  if (write.truncate_from && *write.truncate_from <= last) {
    last = write.truncate_from->previous();
    runs.truncate_from(*write.truncate_from);
  }
  if (write.snapshot) {
    if (write.install && !keep_rest) {
      runs.clear();
      last = write.snapshot->index;
    } else {
      runs.drop_through(write.snapshot->index, last);
      last = std::max(last, write.snapshot->index);
    }
    snapshot = *write.snapshot;
  }
  for (const consensus::Entry& entry : write.entries) {
    runs.put(entry.index, entry.ballot, last);
    last = std::max(last, entry.index);
  }
}

}  // namespace quorate::storage::wal
