#include "explore/log_image.h"

#include <algorithm>

namespace quorate::explore {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

// Node names are left out: a proposal's sequence is unique in a search.
uint64_t extend(uint64_t chain, const consensus::Entry& entry) {
  static const consensus::Renaming kSame;
  consensus::Fingerprint link(kSame);
  link.add(chain);
  link.add(entry.index);
  link.add(entry.ballot.round);
  link.add(static_cast<uint64_t>(entry.kind));
  link.add(entry.id.sequence);
  if (entry.kind == consensus::EntryKind::members) {
    link.add(entry.data.size());
  } else {
    link.add(entry.data.view());
  }
  return link.value().low | 1U;  // never 0
}

}  // namespace

std::string LogImage::guard(const consensus::Write& write) const {
  if (write.id <= last_write_) return "write ids must grow";
  if (write.hard_state) {
    const consensus::HardState& next = *write.hard_state;
    if (next.promised < hard_state_.promised || next.joined < hard_state_.joined) {
      return "what was promised shrinks from round " + number(hard_state_.promised.round) + " to " +
             number(next.promised.round);
    }
    if (next.committed < hard_state_.committed) {
      return "committed shrinks from " + number(hard_state_.committed.value) + " to " +
             number(next.committed.value);
    }
    // Raft, section 5.2: a server votes for at most one candidate in a term.
    const consensus::Ballot& before = hard_state_.promised;
    if (next.promised.round == before.round && before.node && next.promised.node != before.node) {
      return "two votes in term " + number(before.round) + ": for " + number(before.node.value) +
             " and then for " + number(next.promised.node.value);
    }
  }
  const Index first = write.truncate_from.value_or(
      write.entries.empty() ? Index{UINT64_MAX} : write.entries.front().index);
  if (first <= hard_state_.committed) {
    return "index " + number(first.value) + " is replaced, though " +
           number(hard_state_.committed.value) + " is committed";
  }
  return {};
}

std::string LogImage::replace_prefix(const consensus::Write& write, uint64_t installed_chain) {
  const consensus::SnapshotMeta& meta = *write.snapshot;
  if (meta.index < snapshot_.index) return "the snapshot goes back";
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
  if (!held) {
    slots_.clear();
    snapshot_chain_ = installed_chain;
  } else if (slot != nullptr) {
    snapshot_chain_ = slot->chain;
    const uint64_t dropped = meta.index - snapshot_.index;
    slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(dropped));
  }
  snapshot_ = meta;
  return {};
}

std::string LogImage::put(const consensus::Entry& entry) {
  if (entry.index != last().next()) {
    return "entry " + number(entry.index.value) + " leaves a gap behind " + number(last().value);
  }
  slots_.push_back({entry, extend(chain_at(last()), entry)});
  return {};
}

std::string LogImage::apply(const consensus::Write& write, uint64_t installed_chain) {
  std::string broken = guard(write);
  if (!broken.empty()) return broken;
  last_write_ = write.id;
  if (write.hard_state) hard_state_ = *write.hard_state;
  if (write.truncate_from) {
    if (*write.truncate_from <= snapshot_.index) return "truncation inside the snapshot";
    while (!slots_.empty() && last() >= *write.truncate_from) slots_.pop_back();
  }
  if (write.snapshot) broken = replace_prefix(write, installed_chain);
  for (const consensus::Entry& entry : write.entries) {
    if (broken.empty()) broken = put(entry);
  }
  return broken;
}

const Slot* LogImage::find(Index index) const {
  if (index <= snapshot_.index || index > last()) return nullptr;
  return &slots_[index - snapshot_.index - 1];
}

uint64_t LogImage::chain_at(Index index) const {
  if (index == snapshot_.index) return snapshot_chain_;
  const Slot* slot = find(index);
  return slot == nullptr ? 0 : slot->chain;
}

const Bytes& LogImage::members_at(Index index) const {
  for (auto slot = slots_.rbegin(); slot != slots_.rend(); ++slot) {
    const bool counts = slot->entry.index <= index;
    if (counts && slot->entry.kind == consensus::EntryKind::members) return slot->entry.data;
  }
  return snapshot_.members;
}

consensus::Recovered LogImage::recover(size_t tail) const {
  consensus::Recovered recovered;
  recovered.hard_state = hard_state_;
  recovered.snapshot = snapshot_;
  recovered.last = last();
  recovered.last_write = last_write_;
  for (const Slot& slot : slots_) {
    const consensus::Entry& entry = slot.entry;
    if (recovered.runs.empty() || recovered.runs.back().ballot != entry.ballot) {
      recovered.runs.push_back({entry.index, entry.ballot});
    }
    if (entry.kind == consensus::EntryKind::members) recovered.members_entries.push_back(entry);
    if (last() - entry.index < tail) recovered.tail.push_back(entry);
  }
  return recovered;
}

void LogImage::fingerprint(consensus::Fingerprint& into) const {
  into.add(hard_state_);
  into.add(snapshot_);
  into.add(snapshot_chain_);
  into.add(slots_.size());
  for (const Slot& slot : slots_) into.add(slot.entry);
}

}  // namespace quorate::explore
