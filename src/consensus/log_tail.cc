#include "consensus/log_tail.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::consensus {

LogTail::LogTail(Recovered& recovered)
    : snapshot_index_(recovered.snapshot.index),
      snapshot_ballot_(recovered.snapshot.ballot),
      last_(std::max(recovered.last, recovered.snapshot.index)) {
  for (const BallotRun& run : recovered.runs) {
    if (run.first > last_) break;
    // A run that began before the snapshot is known from there on only.
    if (!runs_.empty() && run.first <= first()) runs_.clear();
    runs_.push_back({std::max(run.first, first()), run.ballot});
  }
  for (Entry& entry : recovered.tail) {
    if (entry.index <= snapshot_index_) continue;
    tail_bytes_ += weight(entry);
    tail_.push_back(std::move(entry));
  }
  check_invariants();
}

Ballot LogTail::ballot_at(Index index) const {
  CHECK(knows(index), "only positions behind the snapshot have a known ballot");
  if (index == snapshot_index_) return snapshot_ballot_;
  if (index >= runs_.back().first) return runs_.back().ballot;  // nearly every question
  auto after = std::ranges::upper_bound(runs_, index, {}, &BallotRun::first);
  return std::prev(after)->ballot;
}

Index LogTail::newest_with_round_at_most(Index from, uint64_t round) const {
  Index end = std::min(from, last_);
  for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
    if (run->first > end) continue;
    if (run->ballot.round <= round) return end;
    end = run->first.previous();
  }
  return snapshot_index_;
}

const Entry* LogTail::find(Index index) const {
  const Index oldest = tail_first();
  if (index < oldest || index > last_) return nullptr;
  return &tail_[index - oldest];
}

void LogTail::append(Entry entry) {
  CHECK(entry.index == last_.next(), "a log has no gaps");
  CHECK(entry.ballot >= last_ballot(), "ballots never shrink along a log");
  if (runs_.empty() || runs_.back().ballot != entry.ballot) {
    runs_.push_back({entry.index, entry.ballot});
  }
  last_ = entry.index;
  tail_bytes_ += weight(entry);
  tail_.push_back(std::move(entry));
}

void LogTail::truncate_from(Index index) {
  CHECK(index > snapshot_index_, "what a snapshot represents is never taken back");
  if (index > last_) return;
  while (!tail_.empty() && tail_.back().index >= index) {
    tail_bytes_ -= weight(tail_.back());
    tail_.pop_back();
  }
  while (!runs_.empty() && runs_.back().first >= index) runs_.pop_back();
  last_ = index.previous();
}

void LogTail::drop_prefix(Index index) {
  if (index <= snapshot_index_) return;
  snapshot_ballot_ = ballot_at(index);
  snapshot_index_ = index;
  while (!tail_.empty() && tail_.front().index <= index) {
    tail_bytes_ -= weight(tail_.front());
    tail_.pop_front();
  }
  if (index == last_) {
    runs_.clear();
    return;
  }
  auto after = std::ranges::upper_bound(runs_, first(), {}, &BallotRun::first);
  runs_.erase(runs_.begin(), std::prev(after));
  runs_.front().first = first();
}

void LogTail::reset(Index index, const Ballot& ballot) {
  runs_.clear();
  tail_.clear();
  tail_bytes_ = 0;
  snapshot_index_ = index;
  snapshot_ballot_ = ballot;
  last_ = index;
}

void LogTail::evict(Index limit, size_t bytes) {
  while (tail_bytes_ > bytes && !tail_.empty() && tail_.front().index <= limit) {
    tail_bytes_ -= weight(tail_.front());
    tail_.pop_front();
  }
}

void LogTail::fingerprint(Fingerprint& into) const {
  into.add(snapshot_index_);
  into.add(snapshot_ballot_);
  into.add(last_);
  into.add(runs_.size());
  for (const BallotRun& run : runs_) {
    into.add(run.first);
    into.add(run.ballot);
  }
  into.add(tail_.size());
  for (const Entry& entry : tail_) into.add(entry);
}

void LogTail::check_invariants() const {
  CHECK(last_ >= snapshot_index_, "the log ends at or behind its snapshot");
  CHECK(runs_.empty() == (last_ == snapshot_index_), "runs cover exactly the entries");
  CHECK(runs_.empty() || runs_.front().first == first(), "runs begin right behind the snapshot");
  for (size_t position = 0; position < runs_.size(); ++position) {
    const BallotRun& run = runs_[position];
    CHECK(run.first <= last_, "a run has at least one entry");
    const Ballot before = position == 0 ? snapshot_ballot_ : runs_[position - 1].ballot;
    CHECK(run.ballot >= before, "ballots never shrink along a log");
    CHECK(position == 0 || run.first > runs_[position - 1].first, "runs are sorted");
  }
  CHECK(tail_.size() <= last_ - snapshot_index_, "payloads lie behind the snapshot");
  CHECK(tail_.empty() || tail_.back().index == last_, "the tail ends with the log");
  CHECK(tail_.empty() || tail_.front().index == tail_first(), "the tail has no gaps");
  CHECK(tail_.empty() || tail_.front().ballot == ballot_at(tail_first()),
        "payloads and runs agree on the ballot");
}

}  // namespace quorate::consensus
