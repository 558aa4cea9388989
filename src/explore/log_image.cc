#include "explore/log_image.h"

#include <algorithm>

namespace quorate::explore {
namespace {

std::string number(uint64_t value) { return std::to_string(value); }

// Node names are left out: a proposal's sequence is unique in a search. In slots the ballot is too:
// members accept one decision in different ones.
uint64_t extend(consensus::LogShape shape, uint64_t chain, const consensus::Entry& entry) {
  static const consensus::Renaming kSame;
  consensus::Fingerprint link(kSame);
  link.add(chain);
  link.add(entry.index);
  if (shape == consensus::LogShape::prefix) link.add(entry.ballot.round);
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
    if (!in_slots() && next.promised.round == before.round && before.node &&
        next.promised.node != before.node) {
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
  return in_slots() ? guard_slots(write) : std::string();
}

// What an acceptor owes (as in sim/log_image.cc).
std::string LogImage::guard_slots(const consensus::Write& write) const {
  if (write.truncate_from) return "an acceptor drops slots";
  if (write.install && !write.keep_behind && last() > write.snapshot->index) {
    return "an install drops what was accepted behind it";
  }
  const consensus::HardState& next = write.hard_state ? *write.hard_state : hard_state_;
  for (const consensus::Entry& entry : write.entries) {
    if (entry.index <= next.committed) continue;
    const std::string place = "slot " + number(entry.index.value);
    if (entry.ballot < next.promised) return place + " is accepted below the promise";
    const Slot* held = find(entry.index);
    if (held == nullptr) continue;
    if (entry.ballot < held->entry.ballot) return place + " goes back to an earlier ballot";
    if (entry.ballot == held->entry.ballot &&
        !consensus::same_decision(shape_, entry, held->entry)) {
      return place + " gets a second value in one ballot";
    }
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
  if (write.install && !held && !write.keep_behind && meta.index < hard_state_.committed) {
    return "a snapshot up to " + number(meta.index.value) + " replaces a log committed up to " +
           number(hard_state_.committed.value);
  }
  if (!held) {
    if (!in_slots()) slots_.clear();
    snapshot_chain_ = installed_chain;
  } else if (slot != nullptr) {
    snapshot_chain_ = slot->chain;
  }
  const uint64_t dropped = std::min<uint64_t>(meta.index - snapshot_.index, slots_.size());
  slots_.erase(slots_.begin(), slots_.begin() + static_cast<std::ptrdiff_t>(dropped));
  snapshot_ = meta;
  return {};
}

void LogImage::fill(const consensus::Entry& entry) {
  while (last() < entry.index) {
    Slot hole;
    hole.entry.index = last().next();
    hole.held = false;
    slots_.push_back(std::move(hole));
  }
  slots_[entry.index - snapshot_.index - 1] = {entry, 0, true};
}

std::string LogImage::chain_slots() {
  uint64_t chain = snapshot_chain_;
  for (Slot& slot : slots_) {
    if (!slot.held || chain == 0) {
      chain = 0;
      if (slot.entry.index <= hard_state_.committed) {
        return "slot " + number(slot.entry.index.value) + " is committed and a hole";
      }
    } else {
      chain = extend(shape_, chain, slot.entry);
    }
    slot.chain = chain;
  }
  return {};
}

std::string LogImage::put(const consensus::Entry& entry) {
  if (entry.index != last().next()) {
    return "entry " + number(entry.index.value) + " leaves a gap behind " + number(last().value);
  }
  slots_.push_back({entry, extend(shape_, chain_at(last()), entry)});
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
    if (!broken.empty()) break;
    if (in_slots()) {
      fill(entry);
    } else {
      broken = put(entry);
    }
  }
  if (in_slots() && broken.empty()) broken = chain_slots();
  return broken;
}

const Slot* LogImage::find(Index index) const {
  if (index <= snapshot_.index || index > last()) return nullptr;
  const Slot& slot = slots_[index - snapshot_.index - 1];
  return slot.held ? &slot : nullptr;
}

uint64_t LogImage::print_at(Index index) const {
  const Slot* slot = find(index);
  if (slot == nullptr) return 0;
  return in_slots() ? extend(shape_, 1, slot->entry) : slot->chain;
}

uint64_t LogImage::content_print() const {
  if (!in_slots()) return chain_at(last());
  static const consensus::Renaming kSame;
  consensus::Fingerprint content(kSame);
  content.add(snapshot_.index);
  for (const Slot& slot : slots_) content.add(slot.entry);
  return content.value().low;
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
      recovered.runs.push_back({entry.index, entry.ballot});  // a hole's is empty
    }
    if (!slot.held) continue;
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
  for (const Slot& slot : slots_) {
    into.add(slot.entry);
    if (in_slots()) into.add(slot.held);
  }
}

}  // namespace quorate::explore
