#include "storage/wal/log_oracle.h"

#include <algorithm>

#include "base/rng.h"

namespace quorate::storage::wal {
namespace {

using consensus::Ballot;
using consensus::Entry;
using consensus::EntryKind;
using consensus::Write;

constexpr GroupId kSlotsGroup{9};

Bytes random_bytes(Rng& rng, size_t size_max) {
  std::string text;
  const size_t size = rng.below(size_max + 1);
  for (size_t byte = 0; byte < size; ++byte) text.push_back(static_cast<char>(rng.below(256)));
  return Bytes::adopt(std::move(text));
}

Index last_of(const ModelGroup& group) {
  return group.entries.empty() ? group.snapshot.index : group.entries.rbegin()->first;
}

// Holes are runs of the empty ballot.
std::vector<consensus::BallotRun> runs_of(const ModelGroup& group) {
  std::vector<consensus::BallotRun> runs;
  Index last = group.snapshot.index;
  for (const auto& [index, entry] : group.entries) {
    if (index != last.next()) runs.push_back({last.next(), {}});
    if (runs.empty() || runs.back().ballot != entry.ballot) runs.push_back({index, entry.ballot});
    last = index;
  }
  return runs;
}

void add_entries(Rng& rng, uint64_t round, Write& write, Index last) {
  const Ballot ballot{round + 1, {}};  // no entry is of round 0
  for (uint64_t count = rng.between(1, 4); count > 0; --count) {
    Entry entry;
    ++last;
    entry.index = last;
    entry.ballot = ballot;
    entry.kind = rng.below(8) == 0 ? EntryKind::members : EntryKind::command;
    entry.id = {NodeId{rng.next()}, rng.below(1000) + 1};
    entry.data = random_bytes(rng, 500);
    write.entries.push_back(std::move(entry));
  }
}

Write random_write(Rng& rng, const ModelGroup& group) {
  Write write;
  write.id = WriteId{group.last_write.value + rng.between(1, 3)};
  consensus::HardState next = group.hard_state;
  const Index last = last_of(group);
  const Index committed = group.hard_state.committed;
  switch (rng.below(10)) {
    case 0:  // a new term and a vote
      next.promised = {next.promised.round + 1, NodeId{rng.next()}};
      write.hard_state = next;
      break;
    case 1:  // a conflict: part of what is not committed is replaced
      if (last > committed) {
        write.truncate_from = committed + rng.between(1, last - committed);
        // By a later leader: one with this index and ballot has one content, in every protocol.
        next.promised = {next.promised.round + 1, NodeId{rng.next()}};
        write.hard_state = next;
        add_entries(rng, next.promised.round, write, write.truncate_from->previous());
      } else {
        add_entries(rng, next.promised.round, write, last);
      }
      break;
    case 2:  // log space is given back
    case 3:
      if (committed > group.snapshot.index && group.entries.contains(committed)) {
        write.snapshot = {committed, group.entries.at(committed).ballot, random_bytes(rng, 40)};
      }
      break;
    case 4:  // rarely: a snapshot replaces everything
      if (rng.below(3) == 0) {
        write.snapshot = {std::max(last, committed) + rng.between(1, 5),
                          {next.promised.round, {}},
                          random_bytes(rng, 40)};
        write.install = true;
        next.committed = write.snapshot->index;
        write.hard_state = next;
      }
      break;
    default:
      add_entries(rng, next.promised.round, write, last);
      if (rng.below(2) == 0) {
        next.committed = std::max(committed, Index{rng.between(committed.value, last.value)});
        write.hard_state = next;
      }
  }
  return write;
}

// How far the log has no hole.
Index whole_until(const ModelGroup& group) {
  Index whole = std::max(group.snapshot.index, group.hard_state.committed);
  while (group.entries.contains(whole.next())) ++whole;
  return whole;
}

// As Multi-Paxos writes: slots behind the decided ones, in any order and again in later ballots.
Write random_slots_write(Rng& rng, const ModelGroup& group) {
  Write write;
  write.id = WriteId{group.last_write.value + rng.between(1, 3)};
  consensus::HardState next = group.hard_state;
  const Index committed = group.hard_state.committed;
  switch (rng.below(9)) {
    case 0:
      next.promised = {next.promised.round + 1, NodeId{rng.next()}};
      break;
    case 1:
    case 2:
      next.committed = whole_until(group);
      [[fallthrough]];
    case 3:
    case 8:
      if (committed > group.snapshot.index) {
        write.snapshot = {committed, group.entries.at(committed).ballot, random_bytes(rng, 40)};
      }
      break;
    case 4:  // a snapshot of others, over slots of which some are missing here
      if (rng.below(2) == 0) {
        next.committed = std::max(committed, group.snapshot.index) + rng.between(1, 4);
        write.snapshot = {next.committed, {next.promised.round, {}}, random_bytes(rng, 40)};
        write.install = write.keep_behind = true;
      }
      break;
    default: {
      // One slot has one content in one ballot.
      next.promised = {next.promised.round + 1, NodeId{rng.between(1, 3)}};
      const Index from = std::max(committed, group.snapshot.index);
      Index at = from + rng.below(3);
      for (uint64_t count = rng.between(1, 4); count > 0; --count) {
        add_entries(rng, next.promised.round, write, at);
        write.entries.resize(write.entries.size() - rng.below(write.entries.size()));
        at = write.entries.back().index + rng.below(2);
      }
    }
  }
  if (next != group.hard_state) write.hard_state = next;
  return write;
}

std::string describe(const char* what, GroupId group) {
  return std::string(what) + " of group " + std::to_string(group.value);
}

// The first difference between what was recovered and a state of the model.
std::string difference(Wal& log, std::map<GroupId, consensus::Recovered>& recovered,
                       const Model& model) {
  if (log.groups().size() != model.size()) return "the number of groups";
  for (const auto& [id, expected] : model) {
    const auto found = recovered.find(id);
    if (found == recovered.end()) return describe("existence", id);
    const consensus::Recovered& got = found->second;
    if (got.hard_state != expected.hard_state) return describe("hard state", id);
    if (got.snapshot != expected.snapshot) return describe("snapshot", id);
    if (got.last_write != expected.last_write) return describe("last write", id);
    if (got.last != last_of(expected)) return describe("last index", id);
    std::vector<Entry> entries;
    std::vector<Entry> members;
    const std::vector<consensus::BallotRun> runs = runs_of(expected);
    for (const auto& [index, entry] : expected.entries) {
      entries.push_back(entry);
      if (entry.kind == EntryKind::members) members.push_back(entry);
    }
    if (!got.damaged.empty()) return describe("damage", id);
    if (got.tail != entries) return describe("tail", id);
    if (got.members_entries != members) return describe("members entries", id);
    const auto same = [](const consensus::BallotRun& left, const consensus::BallotRun& right) {
      return left.first == right.first && left.ballot == right.ballot;
    };
    if (!std::ranges::equal(got.runs, runs, same)) return describe("ballots", id);
  }
  return "";
}

// After recovery the log must go on, and a second crash must not undo what it then promised.
std::string judge_continuation(const FakeDisk::Image& image, const Model& start) {
  FakeDisk disk;
  disk.load(image);
  std::vector<ScriptStep> script;
  for (const auto& [id, group] : start) script.push_back(follow_up(start, id));
  script.push_back(follow_up(start, GroupId{77}));
  const RunResult run = run_script(disk, script, 0);
  if (run.durable != script.size()) return "the recovered log does not take new writes";
  const std::vector<Model> states = states_of(script, start);
  return judge(disk, states, script.size(), script.size()).problem;
}

// A crash during recovery or during the first writes after it.
std::string judge_second_crash(const FakeDisk::Image& image, const std::vector<Model>& states,
                               size_t first, size_t last) {
  FakeDisk whole;
  whole.load(image);
  const Verdict verdict = judge(whole, states, first, last);
  const Model& start = states.at(verdict.state);
  std::vector<ScriptStep> script;
  for (const auto& [id, group] : start) script.push_back(follow_up(start, id));
  const std::vector<Model> next_states = states_of(script, start);
  for (uint64_t dies_at = 0; dies_at < 7; ++dies_at) {
    FakeDisk disk;
    disk.load(image);
    disk.dies_at = dies_at;
    const RunResult run = run_script(disk, script, 0);
    for (const FakeDisk::Image& next : disk.power_loss_images()) {
      FakeDisk copy;
      copy.load(next);
      const Verdict again = judge(copy, next_states, run.durable, script.size());
      if (!again.problem.empty()) {
        return "second crash at step " + std::to_string(dies_at) + ": " + again.problem;
      }
    }
  }
  return "";
}

}  // namespace

void apply_to_model(Model& model, const ScriptStep& step) {
  ModelGroup& group = model[step.group];
  const Write& write = step.write;
  group.last_write = write.id;
  if (write.hard_state) group.hard_state = *write.hard_state;
  auto& entries = group.entries;
  if (write.truncate_from) {
    entries.erase(entries.lower_bound(*write.truncate_from), entries.end());
  }
  if (write.snapshot) {
    const auto held = entries.find(write.snapshot->index);
    const bool same = write.keep_behind ||
                      (held != entries.end() && held->second.ballot == write.snapshot->ballot) ||
                      (group.snapshot.index == write.snapshot->index &&
                       group.snapshot.ballot == write.snapshot->ballot);
    if (write.install && !same) entries.clear();
    entries.erase(entries.begin(), entries.upper_bound(write.snapshot->index));
    group.snapshot = *write.snapshot;
  }
  for (const Entry& entry : write.entries) entries.insert_or_assign(entry.index, entry);
}

std::vector<ScriptStep> make_script(uint64_t seed, size_t steps) {
  Rng rng(seed);
  Model model;
  std::vector<ScriptStep> script;
  while (script.size() < steps) {
    const GroupId id = rng.below(3) == 0 ? kSlotsGroup : GroupId{1};
    ModelGroup& group = model[id];
    const bool slots = id == kSlotsGroup;
    script.push_back({id, slots ? random_slots_write(rng, group) : random_write(rng, group)});
    apply_to_model(model, script.back());
  }
  return script;
}

ScriptStep follow_up(const Model& model, GroupId id) {
  const auto found = model.find(id);
  const ModelGroup group = found == model.end() ? ModelGroup() : found->second;
  Write write;
  write.id = WriteId{group.last_write.value + 1};
  write.hard_state = group.hard_state;
  write.hard_state->promised = {group.hard_state.promised.round + 1, NodeId{5}};
  Entry entry;
  entry.index = last_of(group).next();
  entry.ballot = {write.hard_state->promised.round, {}};
  entry.data = Bytes("written after the crash");
  write.entries.push_back(entry);
  return {id, write};
}

std::vector<Model> states_of(const std::vector<ScriptStep>& script, Model start) {
  std::vector<Model> states{start};
  for (const ScriptStep& step : script) {
    apply_to_model(start, step);
    states.push_back(start);
  }
  return states;
}

RunResult run_script(FakeDisk& disk, const std::vector<ScriptStep>& script, uint64_t seed) {
  RunResult result;
  FakeExecutor executor;
  auto log = open_wal(disk, executor, tiny_segments());
  if (!log) {
    ++result.failures;
    return result;
  }
  (*log)->set_callbacks(
      [&](GroupId group, WriteId write, Duration) {
        const bool next = result.durable < result.appended &&
                          script[result.durable].group == group &&
                          script[result.durable].write.id == write;
        result.order_kept = result.order_kept && next && result.failures == 0;
        ++result.durable;
      },
      [&](const Error&) { ++result.failures; });
  Rng rng(seed);
  for (const ScriptStep& step : script) {
    (*log)->append(step.group, step.write);
    ++result.appended;
    switch (rng.below(6)) {
      case 0:
        break;
      case 1:
        (*log)->flush();
        break;
      case 2:
        (*log)->flush();
        executor.run_one(world::DiskLane::log);  // its completion comes later
        break;
      case 3:
        (*log)->flush();
        executor.settle();
        executor.advance(std::chrono::milliseconds(200));
        break;
      default:
        (*log)->flush();
        executor.settle();
    }
    if (result.failures > 0) break;
  }
  (*log)->flush();
  executor.settle();
  executor.advance(std::chrono::milliseconds(300));  // the seal, and the mark of the end
  return result;
}

Verdict judge(FakeDisk& disk, const std::vector<Model>& states, size_t first, size_t last) {
  FakeExecutor executor;
  auto log = open_wal(disk, executor, tiny_segments());
  if (!log) return {"refused: " + log.error().text, 0};
  std::map<GroupId, consensus::Recovered> recovered;
  for (const GroupId id : (*log)->groups()) recovered[id] = (*log)->take_recovered(id);
  std::string problem;
  for (size_t state = last + 1; state-- > first;) {
    const std::string different = difference(**log, recovered, states.at(state));
    if (different.empty()) return {"", state};
    if (problem.empty()) problem = different;
  }
  return {"recovered none of the states " + std::to_string(first) + " to " + std::to_string(last) +
              "; from the newest differs the " + problem,
          0};
}

namespace {

// Of one group; reads back every entry that is not named as lost.
std::string lie_about(Wal& log, FakeExecutor& executor, GroupId id, const consensus::Recovered& got,
                      const ModelGroup& expected) {
  if (got.hard_state != expected.hard_state) return describe("hard state", id);
  if (got.snapshot != expected.snapshot) return describe("snapshot", id);
  if (got.last_write != expected.last_write) return describe("last write", id);
  if (got.last != last_of(expected)) return describe("last index", id);
  const IndexRanges damaged(got.damaged);
  const std::vector<consensus::BallotRun> runs = runs_of(expected);
  std::vector<Entry> members;
  std::vector<Index> lost_members;
  for (const auto& [index, entry] : expected.entries) {
    const bool lost = damaged.contains(index);
    if (entry.kind == EntryKind::members) {
      if (lost) {
        lost_members.push_back(index);
      } else {
        members.push_back(entry);
      }
    }
    if (lost) continue;
    std::optional<std::vector<Entry>> read;
    log.read(id, {index, index}, 1 << 20U, [&](Result<std::vector<Entry>> answer) {
      if (answer) read = std::move(*answer);
    });
    executor.settle();
    if (!read || read->size() != 1 || read->front() != entry) {
      return describe(("entry " + std::to_string(index.value)).c_str(), id);
    }
  }
  const auto same = [](const consensus::BallotRun& left, const consensus::BallotRun& right) {
    return left.first == right.first && left.ballot == right.ballot;
  };
  if (!std::ranges::equal(got.runs, runs, same)) return describe("ballots", id);
  if (got.members_entries != members) return describe("members entries", id);
  if (got.damaged_members != lost_members) return describe("lost members entries", id);
  for (const IndexRange& range : got.damaged) {
    const bool inside =
        expected.entries.contains(range.first) && expected.entries.contains(range.last);
    if (!inside) return describe("damage outside the log", id);
  }
  for (const Entry& entry : got.tail) {
    const auto found = expected.entries.find(entry.index);
    if (found == expected.entries.end() || found->second != entry) return describe("tail", id);
  }
  return "";
}

}  // namespace

Truth judge_damaged(FakeDisk& disk, const Model& expected, const WalOptions& options) {
  Truth truth;
  FakeExecutor executor;
  auto log = open_wal(disk, executor, options);
  if (!log) {
    truth.refused = log.error().kind == ErrorKind::corrupt;
    if (!truth.refused) truth.lie = "refused for another reason: " + log.error().text;
    return truth;
  }
  if ((*log)->groups().size() != expected.size()) {
    truth.lie = "the number of groups";
    return truth;
  }
  for (const auto& [id, group] : expected) {
    const consensus::Recovered got = (*log)->take_recovered(id);
    truth.damaged += IndexRanges(got.damaged).count();
    if (truth.lie.empty()) truth.lie = lie_about(**log, executor, id, got, group);
  }
  return truth;
}

std::string enumerate_crashes(uint64_t seed, size_t steps) {
  const std::vector<ScriptStep> script = make_script(seed, steps);
  const std::vector<Model> states = states_of(script);
  for (uint64_t dies_at = 0;; ++dies_at) {
    FakeDisk disk;
    disk.dies_at = dies_at;
    const RunResult run = run_script(disk, script, seed);
    const std::string where =
        "seed " + std::to_string(seed) + ", power lost at step " + std::to_string(dies_at) + ": ";
    if (!run.order_kept) return where + "durable reported out of order or after a failure";
    if (run.failures > 1) return where + "the failure was reported more than once";
    if (run.failures == 0 && disk.steps < dies_at) {
      return run.durable == script.size() ? "" : where + "not all writes became durable";
    }
    uint64_t number = 0;
    for (const FakeDisk::Image& image : disk.power_loss_images()) {
      FakeDisk copy;
      copy.load(image);
      const Verdict verdict = judge(copy, states, run.durable, run.appended);
      std::string problem = verdict.problem;
      if (problem.empty() && number % 3 == 0) {
        problem = judge_continuation(copy.image(), states.at(verdict.state));
      }
      if (problem.empty() && number % 61 == 7) {
        problem = judge_second_crash(image, states, run.durable, run.appended);
      }
      if (!problem.empty()) return where + "image " + std::to_string(number) + ": " + problem;
      ++number;
    }
    // Killed without a power loss: what the next start believes must survive one.
    disk.dies_at = UINT64_MAX;
    const Verdict killed = judge(disk, states, run.durable, run.appended);
    if (!killed.problem.empty()) return where + "killed: " + killed.problem;
    for (const FakeDisk::Image& image : disk.power_loss_images()) {
      FakeDisk copy;
      copy.load(image);
      const Verdict after = judge(copy, states, killed.state, killed.state);
      if (!after.problem.empty()) return where + "killed, then power lost: " + after.problem;
    }
  }
}

std::string enumerate_failed_syncs(uint64_t seed, size_t steps) {
  const std::vector<ScriptStep> script = make_script(seed, steps);
  const std::vector<Model> states = states_of(script);
  FakeDisk healthy;
  run_script(healthy, script, seed);
  for (uint64_t fails_at = 1; fails_at <= healthy.steps; ++fails_at) {
    FakeDisk disk;
    disk.fails_sync_at = fails_at;
    const RunResult run = run_script(disk, script, seed);
    const std::string where =
        "seed " + std::to_string(seed) + ", failed sync at step " + std::to_string(fails_at) + ": ";
    if (!run.order_kept) return where + "durable reported out of order or after a failure";
    if (run.failures > 1) return where + "the failure was reported more than once";
    // The page cache still shows what the disk never got.
    const Verdict restarted = judge(disk, states, run.durable, run.appended);
    if (!restarted.problem.empty()) return where + restarted.problem;
    for (const FakeDisk::Image& image : disk.power_loss_images()) {
      FakeDisk copy;
      copy.load(image);
      const Verdict after = judge(copy, states, restarted.state, restarted.state);
      if (!after.problem.empty()) return where + "then power lost: " + after.problem;
    }
  }
  return "";
}

}  // namespace quorate::storage::wal
