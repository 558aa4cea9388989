#include "sim/log_image.h"

#include <algorithm>

#include "sim/hash.h"

namespace quorate::sim {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

}  // namespace

LogImage::LogImage(Bytes bootstrap_members) { snapshot_.members = std::move(bootstrap_members); }

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
  if (write.install && !held && meta.index < hard_state_.committed) {
    return "a snapshot up to " + number(meta.index.value) + " replaces a log committed up to " +
           number(hard_state_.committed.value);
  }
  if (held) {
    if (slot != nullptr) {
      snapshot_chain_ = slot->chain;
      const uint64_t dropped = meta.index - snapshot_.index;
      entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(dropped));
    }
  } else {
    entries_.clear();
    snapshot_chain_ = installed_chain;
  }
  snapshot_ = meta;
  return {};
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
    if (entry.index != last().next()) {
      return "entry " + number(entry.index.value) + " written behind last index " +
             number(last().value);
    }
    const uint64_t before = entries_.empty() ? snapshot_chain_ : entries_.back().chain;
    entries_.push_back({entry, mix(before, hash_entry(entry)), false});
  }
  return repair(write);
}

std::string LogImage::repair(const consensus::Write& write) {
  for (const consensus::Entry& entry : write.repairs) {
    if (entry.index <= snapshot_.index || entry.index > last()) {
      return "repairs entry " + number(entry.index.value) + ", which is not in the log";
    }
    Slot& slot = entries_[entry.index - snapshot_.index - 1];
    if (!slot.damaged) return "repairs entry " + number(entry.index.value) + ", which is whole";
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
    if (slot.damaged) ranges.add({slot.entry.index, slot.entry.index});
  }
  return ranges.list();
}

const LogImage::Slot* LogImage::find(Index index) const {
  if (index <= snapshot_.index || index > last()) return nullptr;
  return &entries_[index - snapshot_.index - 1];
}

bool LogImage::chain_at(Index index, uint64_t& chain) const {
  if (index == snapshot_.index) {
    chain = snapshot_chain_;
    return true;
  }
  const Slot* slot = find(index);
  if (slot == nullptr) return false;
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
      recovered.runs.push_back({slot.entry.index, slot.entry.ballot});
    }
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
    bytes += slot->entry.data.size();
    if (bytes > tail_bytes_max || slot->damaged) break;
    recovered.tail.push_back(slot->entry);
  }
  std::ranges::reverse(recovered.tail);
  return recovered;
}

}  // namespace quorate::sim
