#include "sim/log_image.h"

#include <algorithm>

#include "sim/hash.h"

namespace quorate::sim {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

}  // namespace

LogImage::LogImage(Bytes bootstrap_members, consensus::LogShape shape) : shape_(shape) {
  snapshot_.members = std::move(bootstrap_members);
}

std::string LogImage::guard(const consensus::Write& write) const {
  if (write.id <= last_write_) {
    return "write ids must grow: " + number(write.id.value) + " after " + number(last_write_.value);
  }
  if (write.hard_state) {
    if (write.hard_state->promised < hard_state_.promised) {
      return "promised shrinks from round " + number(hard_state_.promised.round) + " to " +
             number(write.hard_state->promised.round);
    }
    if (write.hard_state->joined < hard_state_.joined) return "joined shrinks";
    if (write.hard_state->committed < hard_state_.committed) {
      return "committed shrinks from " + number(hard_state_.committed.value) + " to " +
             number(write.hard_state->committed.value);
    }
  }
  if (write.truncate_from && *write.truncate_from <= hard_state_.committed) {
    return "truncation from " + number(write.truncate_from->value) + " at or below committed " +
           number(hard_state_.committed.value);
  }
  if (!write.entries.empty() && write.entries.front().index <= hard_state_.committed) {
    return "entry " + number(write.entries.front().index.value) +
           " written at or below committed " + number(hard_state_.committed.value);
  }
  return slots() ? guard_slots(write) : std::string();
}

// What an acceptor owes: it forgets nothing that it accepted, accepts nothing below its promise,
// and in one ballot one value for a slot. What others have decided it may copy from any ballot.
std::string LogImage::guard_slots(const consensus::Write& write) const {
  if (write.truncate_from) {
    return "slots from " + number(write.truncate_from->value) + " on are dropped";
  }
  if (write.install && !write.keep_behind && last() > write.snapshot->index) {
    return "an install drops what was accepted behind " + number(write.snapshot->index.value);
  }
  const consensus::HardState& next = write.hard_state ? *write.hard_state : hard_state_;
  Index before;
  for (const consensus::Entry& entry : write.entries) {
    const std::string place = "slot " + number(entry.index.value);
    if (entry.index <= before) return place + " is written behind slot " + number(before.value);
    before = entry.index;
    if (entry.index <= next.committed) continue;
    // What was promised before: a write may hold an acceptance and, behind it, a higher promise.
    if (entry.ballot < hard_state_.promised) {
      return place + " is accepted in round " + number(entry.ballot.round) + " below the promise " +
             number(hard_state_.promised.round);
    }
    const Slot* held = find(entry.index);
    if (held == nullptr) continue;
    if (entry.ballot < held->entry.ballot) return place + " goes back to an earlier ballot";
    if (entry.ballot == held->entry.ballot && held->print != hash_decision(entry)) {
      return place + " gets a second value in round " + number(entry.ballot.round);
    }
  }
  return {};
}

std::string LogImage::replace_prefix(const consensus::Write& write, uint64_t installed_chain) {
  const consensus::SnapshotMeta& meta = *write.snapshot;
  if (meta.index < snapshot_.index) {
    return "the snapshot goes back from " + number(snapshot_.index.value) + " to " +
           number(meta.index.value);
  }
  const Slot* slot = find(meta.index);
  const bool held = (slot != nullptr && slot->entry.ballot == meta.ballot) ||
                    (meta.index == snapshot_.index && meta.ballot == snapshot_.ballot);
  if (!write.install && !held) {
    return "log space given back up to " + number(meta.index.value) +
           ", which this log does not hold";
  }
  if (write.install && !held && !write.keep_behind && meta.index < hard_state_.committed) {
    return "a snapshot up to " + number(meta.index.value) + " replaces a log committed up to " +
           number(hard_state_.committed.value);
  }
  if (held && slot != nullptr) {
    snapshot_chain_ = slot->chain;
  } else if (!held) {
    snapshot_chain_ = installed_chain;
    if (!slots()) entries_.clear();
  }
  const uint64_t dropped = std::min<uint64_t>(meta.index - snapshot_.index, entries_.size());
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(dropped));
  snapshot_ = meta;
  if (slots()) chain_slots(meta.index.next());
  return {};
}

std::string LogImage::append(const consensus::Entry& entry) {
  if (entry.index != last().next()) {
    return "entry " + number(entry.index.value) + " written behind last index " +
           number(last().value);
  }
  const uint64_t before = entries_.empty() ? snapshot_chain_ : entries_.back().chain;
  const uint64_t chain = mix(before, hash_entry(entry));
  entries_.push_back({entry, chain, chain});
  return {};
}

void LogImage::fill(const consensus::Entry& entry) {
  while (last() < entry.index) {
    Slot hole;
    hole.held = false;
    hole.entry.index = last().next();
    entries_.push_back(std::move(hole));
  }
  at(entry.index) = {entry, 0, hash_decision(entry)};
}

void LogImage::chain_slots(Index from) {
  uint64_t chain = snapshot_chain_;
  if (chained_ < snapshot_.index || from <= first()) {
    chained_ = snapshot_.index;
  } else {
    chained_ = std::min(chained_, from.previous());
    if (chained_ > snapshot_.index) chain = at(chained_).chain;
  }
  while (chained_ < last() && at(chained_.next()).held) {
    ++chained_;
    Slot& slot = at(chained_);
    slot.chain = chain = mix(chain, slot.print);
  }
}

std::string LogImage::apply(const consensus::Write& write, uint64_t installed_chain) {
  std::string broken = guard(write);
  if (!broken.empty()) return broken;
  last_write_ = write.id;
  if (write.hard_state) hard_state_ = *write.hard_state;
  if (write.truncate_from) {
    if (*write.truncate_from <= snapshot_.index) return "truncation inside the snapshot";
    while (!entries_.empty() && last() >= *write.truncate_from) entries_.pop_back();
  }
  if (write.snapshot) {
    broken = replace_prefix(write, installed_chain);
    if (!broken.empty()) return broken;
  }
  for (const consensus::Entry& entry : write.entries) {
    if (slots()) {
      fill(entry);
      continue;
    }
    broken = append(entry);
    if (!broken.empty()) return broken;
  }
  if (slots()) {
    if (!write.entries.empty()) chain_slots(write.entries.front().index);
    if (hard_state_.committed > std::max(chained_, snapshot_.index)) {
      return "committed " + number(hard_state_.committed.value) + ", but slot " +
             number(chained_.next().value) + " is a hole";
    }
  }
  return repair(write);
}

std::string LogImage::repair(const consensus::Write& write) {
  for (const consensus::Entry& entry : write.repairs) {
    if (entry.index <= snapshot_.index || entry.index > last()) {
      return "repairs entry " + number(entry.index.value) + ", which is not in the log";
    }
    Slot& slot = at(entry.index);
    if (!slot.damaged || !slot.held)
      return "repairs entry " + number(entry.index.value) + ", which is whole";
    if (slot.entry != entry) {
      return "repairs entry " + number(entry.index.value) + " with another one than was lost";
    }
    slot.damaged = false;
  }
  return {};
}

void LogImage::damage(Index index) { entries_[index - snapshot_.index - 1].damaged = true; }

std::vector<IndexRange> LogImage::damaged() const {
  IndexRanges ranges;
  for (const Slot& slot : entries_) {
    if (slot.held && slot.damaged) ranges.add({slot.entry.index, slot.entry.index});
  }
  return ranges.list();
}

const LogImage::Slot* LogImage::find(Index index) const {
  if (index <= snapshot_.index || index > last()) return nullptr;
  const Slot& slot = entries_[index - snapshot_.index - 1];
  return slot.held ? &slot : nullptr;
}

bool LogImage::chain_at(Index index, uint64_t& chain) const {
  if (index == snapshot_.index) {
    chain = snapshot_chain_;
    return true;
  }
  const Slot* slot = find(index);
  if (slot == nullptr || (slots() && index > chained_)) return false;
  chain = slot->chain;
  return true;
}

consensus::Recovered LogImage::recover(size_t tail_bytes_max) const {
  consensus::Recovered recovered;
  recovered.hard_state = hard_state_;
  recovered.snapshot = snapshot_;
  recovered.last = last();
  recovered.last_write = last_write_;
  for (const Slot& slot : entries_) {
    if (recovered.runs.empty() || recovered.runs.back().ballot != slot.entry.ballot) {
      recovered.runs.push_back({slot.entry.index, slot.entry.ballot});  // a hole's is empty
    }
    if (!slot.held) continue;
    if (slot.entry.kind != consensus::EntryKind::members) continue;
    if (slot.damaged) {
      recovered.damaged_members.push_back(slot.entry.index);
    } else {
      recovered.members_entries.push_back(slot.entry);
    }
  }
  recovered.damaged = damaged();
  size_t bytes = 0;
  for (auto slot = entries_.rbegin(); slot != entries_.rend(); ++slot) {
    if (!slot->held) continue;
    bytes += slot->entry.data.size();
    if (bytes > tail_bytes_max || slot->damaged) break;
    recovered.tail.push_back(slot->entry);
  }
  std::ranges::reverse(recovered.tail);
  return recovered;
}

}  // namespace quorate::sim
