#include "consensus/paxos/slots.h"

#include <algorithm>

#include "base/check.h"

namespace quorate::consensus::paxos {
namespace {

Entry hole(Index index) { return Entry{index, {}, EntryKind::noop, {}, {}}; }

}  // namespace

Slots::Slots(Recovered& recovered)
    : snapshot_index_(recovered.snapshot.index),
      snapshot_ballot_(recovered.snapshot.ballot),
      last_(std::max(recovered.last, recovered.snapshot.index)) {
  for (const BallotRun& run : recovered.runs) {
    if (run.first <= last_) add_run(std::max(run.first, first()), run.ballot);
  }
  std::vector<Entry> held;
  for (Entry& entry : recovered.tail) {
    if (entry.index > snapshot_index_) held.push_back(std::move(entry));
  }
  load(std::move(held));
}

void Slots::add_run(Index first, const Ballot& ballot) {
  if (!runs_.empty() && runs_.back().first == first) runs_.pop_back();
  if (runs_.empty() || runs_.back().ballot != ballot) runs_.push_back({first, ballot});
}

Ballot Slots::ballot_at(Index index) const {
  if (index > last_ || index < snapshot_index_) return {};
  if (index == snapshot_index_) return snapshot_ballot_;
  const Index oldest = memory_first();
  if (index >= oldest) return memory_[index - oldest].ballot;
  const auto after = std::ranges::upper_bound(runs_, index, {}, &BallotRun::first);
  return after == runs_.begin() ? Ballot{} : std::prev(after)->ballot;
}

const Entry* Slots::find(Index index) const {
  const Index oldest = memory_first();
  if (index < oldest || index > last_) return nullptr;
  if (!blank_.empty() && blank_.contains(index)) return nullptr;
  const Entry& entry = memory_[index - oldest];
  return entry.ballot.round == 0 ? nullptr : &entry;
}

void Slots::put(Entry entry) {
  CHECK(entry.ballot.round != 0, "what is accepted has a ballot");
  CHECK(entry.index > snapshot_index_, "a snapshot stands for its slots for ever");
  if (entry.index < memory_first() && entry.index <= last_) return load({std::move(entry)});
  memory_bytes_ += weight(entry);
  if (entry.index > last_) {
    while (last_.next() < entry.index) {
      ++last_;
      memory_.push_back(hole(last_));
    }
    last_ = entry.index;
    memory_.push_back(std::move(entry));
    return;
  }
  Entry& there = memory_[entry.index - memory_first()];
  if (there.ballot.round != 0) memory_bytes_ -= weight(there);
  if (!blank_.empty()) blank_.remove({entry.index, entry.index});
  there = std::move(entry);
}

void Slots::restore(Entry entry) {
  CHECK(ballot_at(entry.index) == entry.ballot, "what comes back is what was lost");
  if (entry.index >= memory_first()) put(std::move(entry));
}

void Slots::lose(Index index) {
  if (index < memory_first() || !holds(index) || blank_.contains(index)) return;
  Entry& there = memory_[index - memory_first()];
  memory_bytes_ -= weight(there);
  there = Entry{index, there.ballot, EntryKind::noop, {}, {}};
  memory_bytes_ += weight(there);
  blank_.add({index, index});
}

void Slots::load(std::vector<Entry> entries) {
  if (entries.empty()) return;
  Ring<Entry> whole;
  const auto add_unloaded = [&](Index at) {
    Entry entry = hole(at);
    entry.ballot = ballot_at(at);
    if (entry.ballot.round != 0) {
      blank_.add({at, at});
      memory_bytes_ += weight(entry);
    }
    whole.push_back(std::move(entry));
  };
  Index next = entries.front().index;
  const Index oldest = memory_first();
  for (Entry& entry : entries) {
    CHECK(entry.index >= next && entry.index < oldest, "loaded in order, before what is there");
    for (; next < entry.index; ++next) add_unloaded(next);
    memory_bytes_ += weight(entry);
    whole.push_back(std::move(entry));
    ++next;
  }
  for (; next < oldest; ++next) add_unloaded(next);
  for (const Entry& entry : memory_) whole.push_back(entry);
  memory_ = std::move(whole);
  const Index begin = memory_first();
  while (!runs_.empty() && runs_.back().first >= begin) runs_.pop_back();
}

void Slots::pop_front() {
  const Entry& front = memory_.front();
  if (front.ballot.round != 0) memory_bytes_ -= weight(front);
  if (!blank_.empty()) blank_.drop_through(front.index);
  memory_.pop_front();
}

void Slots::drop_prefix(Index index) {
  if (index <= snapshot_index_) return;
  CHECK(holds(index), "only what is held is given back");
  replace_prefix(index, ballot_at(index));
}

void Slots::replace_prefix(Index index, const Ballot& ballot) {
  const Index behind = index.next();
  if (index >= last_) {
    while (!memory_.empty()) pop_front();
    runs_.clear();
    last_ = index;
  } else {
    while (!memory_.empty() && memory_.front().index <= index) pop_front();
    const Ballot next = ballot_at(behind);
    while (runs_.size() > 1 && runs_[1].first <= behind) runs_.erase(runs_.begin());
    if (memory_first() <= behind) runs_.clear();
    if (!runs_.empty()) runs_.front() = {behind, next};
  }
  snapshot_index_ = index;
  snapshot_ballot_ = ballot;
}

void Slots::evict(Index limit, size_t bytes) {
  while (memory_bytes_ > bytes && !memory_.empty() && memory_.front().index <= limit) {
    add_run(memory_.front().index, memory_.front().ballot);
    pop_front();
  }
}

void Slots::fingerprint(Fingerprint& into) const {
  into.add(snapshot_index_);
  into.add(snapshot_ballot_);
  into.add(last_);
  into.add(runs_.size());
  for (const BallotRun& run : runs_) {
    into.add(run.first);
    into.add(run.ballot);
  }
  into.add(memory_.size());
  for (const Entry& entry : memory_) into.add(entry);
  into.add(blank_.list().size());
  for (const IndexRange& range : blank_.list()) {
    into.add(range.first);
    into.add(range.last);
  }
}

void Slots::check_invariants() const {
  CHECK(last_ >= snapshot_index_, "slots end at or behind the snapshot");
  CHECK(memory_first() > snapshot_index_, "nothing before the snapshot is kept");
  CHECK(memory_.empty() || memory_.back().ballot.round != 0, "the last slot is no hole");
  CHECK(memory_.empty() || memory_.back().index == last_, "memory ends at the last slot");
  for (size_t place = 0; place < runs_.size(); ++place) {
    CHECK(runs_[place].first < memory_first(), "runs tell of what is not in memory");
    CHECK(runs_[place].first > snapshot_index_, "and begin behind the snapshot");
    CHECK(place == 0 || runs_[place - 1].first < runs_[place].first, "in order");
  }
}

}  // namespace quorate::consensus::paxos
