// storage/wal/log_oracle.h: what the log must say after a crash, for this room's tests.
//
// A script is a list of writes of several groups. The oracle keeps, independently and naively,
// the state after each of them. Whatever is recovered must be one of these states, no earlier
// than the last write that was reported durable.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "storage/wal/fake_world.h"
#include "storage/wal/wal.h"

namespace quorate::storage::wal {

struct ModelGroup {
  consensus::HardState hard_state;
  consensus::SnapshotMeta snapshot;
  std::map<Index, consensus::Entry> entries;
  WriteId last_write;
};
using Model = std::map<GroupId, ModelGroup>;

struct ScriptStep {
  GroupId group;
  consensus::Write write;
};

void apply_to_model(Model& model, const ScriptStep& step);
// A plausible life of two groups: one whose log is cut off at its end and written anew (Raft), one
// whose slots are filled in any order and again (Multi-Paxos); with snapshots of either kind.
std::vector<ScriptStep> make_script(uint64_t seed, size_t steps);
// A write that any recovered group must be able to take.
ScriptStep follow_up(const Model& model, GroupId group);

struct RunResult {
  size_t appended = 0;
  size_t durable = 0;  // reported so, in the order of appending
  size_t failures = 0;
  bool order_kept = true;
};
inline WalOptions tiny_segments() {
  WalOptions options;
  options.directory = "wal";
  options.segment_bytes = 20480;
  options.recovered_tail_bytes = size_t{1} << 20U;
  return options;
}
// Appends the script's steps, with flushes, half-finished batches and reads at places chosen by
// the seed, until the end or until the log reports a failure.
RunResult run_script(FakeDisk& disk, const std::vector<ScriptStep>& script, uint64_t seed);

// States of the model after 0, 1, 2 ... steps.
std::vector<Model> states_of(const std::vector<ScriptStep>& script, Model start = {});

struct Verdict {
  std::string problem;  // empty: fine
  size_t state = 0;     // which of the states was recovered
};
// Opens the log and compares it with states[first..last].
Verdict judge(FakeDisk& disk, const std::vector<Model>& states, size_t first, size_t last);

// What a log with damage says, compared with what it once held.
struct Truth {
  std::string lie;       // empty: nothing false was said
  bool refused = false;  // it said nothing
  uint64_t damaged = 0;  // entries named as lost
};
// Everything that was durable must be there or be named; positions, ballots, hard state and the
// end of the log must be right.
Truth judge_damaged(FakeDisk& disk, const Model& expected, const WalOptions& options);

// Breaks the power at every disk operation of the script and judges every state that the disk
// may be left in, and what the log does with it next. Empty, or the first problem found.
std::string enumerate_crashes(uint64_t seed, size_t steps);
// Fails each sync of the script in turn, without a power loss, then loses power.
std::string enumerate_failed_syncs(uint64_t seed, size_t steps);

}  // namespace quorate::storage::wal
