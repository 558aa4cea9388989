#include "node/applier.h"

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {

void Applier::set_machine(machine::StateMachine& machine) {
  machine_ = &machine;
  applied_ = machine.applied();
  told_ = applied_;
  replay_.clear();
}

void Applier::set_committed(Index committed) { committed_ = std::max(committed_, committed); }

bool Applier::can_apply() const {
  if (held_ || replica_ == nullptr || applied_ >= committed_) return false;
  const Index next = applied_.next();
  if (!replay_.empty() && replay_.front().index == next) return true;
  return replica_->find(next) != nullptr;
}

const consensus::Entry* Applier::next_entry() {
  const Index next = applied_.next();
  if (!replay_.empty()) {
    if (replay_.front().index == next) return &replay_.front();
    replay_.clear();  // read for a machine that has been replaced since
  }
  return replica_->find(next);
}

void Applier::read_log() {
  if (reading_ || starved_) return;
  const Index next = applied_.next();
  if (next < replica_->status().first) {
    listener_.on_apply_failed(
        Error{ErrorKind::corrupt,
              "the store reaches index " + std::to_string(applied_.value) +
                  " but the log behind it is gone; remove this member's data directory and "
                  "start it again: it comes back from its peers"});
    return;
  }
  reading_ = true;
  wal_.read(group_, {next, committed_}, kReplayBytesPerRead,
            lifeline_.guard([this](Result<std::vector<consensus::Entry>> entries) {
              reading_ = false;
              if (!entries) return listener_.on_apply_failed(entries.error());
              // The tail holds what is not durable yet, so this is rare.
              starved_ = entries->empty();
              std::ranges::move(*entries, std::back_inserter(replay_));
              listener_.on_log_read();
            }));
}

// Keys lie anywhere in memory, and a put that waits for each piece of it spends half its time so.
void Applier::tell_ahead() {
  told_ = std::max(told_, applied_);
  const Index last = std::min(committed_, applied_ + machine::StateMachine::kExpectedMax);
  while (told_ < last) {
    told_ = told_.next();
    const consensus::Entry* entry = replica_->find(told_);
    if (entry != nullptr && entry->kind == consensus::EntryKind::command) {
      machine_->expect(entry->data);
    }
  }
}

void Applier::apply_one(const consensus::Entry& entry) {
  CHECK(entry.index == applied_.next(), "entries are applied in order, without gaps");
  listener_.on_entry(entry);
  const uint64_t round = entry.ballot.round;
  switch (entry.kind) {
    case consensus::EntryKind::noop:
      machine_->apply_noop(entry.index, round);
      break;
    case consensus::EntryKind::members:
      machine_->apply_members(entry.index, round, entry.data);
      if (entry.id && listener_.waits_for(entry.id)) {
        replies_.emplace_back(std::pair(entry.id, entry.index), machine::Reply{});
      }
      break;
    case consensus::EntryKind::command: {
      machine::Reply reply;
      const bool wanted = entry.id && listener_.waits_for(entry.id);
      machine_->apply_command(entry.index, round, entry.data, wanted ? &reply : nullptr);
      if (wanted) replies_.emplace_back(std::pair(entry.id, entry.index), std::move(reply));
      break;
    }
  }
  applied_ = entry.index;
  round_ = round;
}

bool Applier::commit() {
  const Time started = executor_.now();
  auto committed = machine_->commit_batch();
  store_write_times_.add(executor_.now() - started);
  if (!committed) listener_.on_apply_failed(committed.error());
  return committed.has_value();
}

bool Applier::tidy() {
  if (held_ || replica_ == nullptr || machine_ == nullptr) return true;
  return commit();
}

bool Applier::apply(Budget& budget) {
  if (held_ || replica_ == nullptr || machine_ == nullptr || applied_ >= committed_) return true;
  bool any = false;
  const Time started = executor_.now();
  while (applied_ < committed_ && budget.entries > 0 && budget.bytes > 0) {
    const consensus::Entry* entry = next_entry();
    if (entry == nullptr) {
      read_log();
      break;
    }
    --budget.entries;
    budget.bytes -= std::min(budget.bytes, entry->data.size());
    tell_ahead();
    const bool replayed = !replay_.empty() && entry == &replay_.front();
    apply_one(*entry);
    if (replayed) replay_.pop_front();
    any = true;
  }
  if (!any) return true;
  if (!commit()) return false;
  if (executor_.now() - started > kSlowApply) ++slow_;
  if (QRT_MUTANT(ROUND_NODE)) listener_.on_round(round_);
  auto replies = std::exchange(replies_, {});
  for (auto& [whose, reply] : replies) {
    listener_.on_reply(whose.first, whose.second, std::move(reply));
  }
  // Only now: it may say that what has no reply yet never will have one.
  listener_.on_round(round_);
  return true;
}

}  // namespace quorate::node
