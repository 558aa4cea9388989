#include "node/stopped.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "node/limits.h"
#include "node/store_directory.h"
#include "storage/wal/wal.h"

namespace quorate::node {
namespace {

using Done = std::function<void(Result<StoppedMember>)>;

struct Opening {
  world::Executor& executor;
  std::unique_ptr<storage::Wal> wal;
  GroupId group;
  StoppedMember member;
  Index target;
  Done done;
};

// In a task of its own, never from within the log.
void finish(const std::shared_ptr<Opening>& opening, Result<void> outcome) {
  opening->executor.post([opening, outcome = std::move(outcome)] {
    opening->wal.reset();
    if (!opening->done) return;
    const Done done = std::exchange(opening->done, {});
    if (!outcome) return done(std::unexpected(outcome.error()));
    done(std::move(opening->member));
  });
}

std::string range_text(Index first, Index last) {
  return std::to_string(first.value) + " to " + std::to_string(last.value);
}

void apply(machine::StateMachine& machine, const consensus::Entry& entry) {
  switch (entry.kind) {
    case consensus::EntryKind::noop:
      return machine.apply_noop(entry.index, entry.ballot.round);
    case consensus::EntryKind::members:
      return machine.apply_members(entry.index, entry.ballot.round, entry.data);
    case consensus::EntryKind::command:
      return machine.apply_command(entry.index, entry.ballot.round, entry.data, nullptr);
  }
}

void read_on(const std::shared_ptr<Opening>& opening);

Result<void> take(Opening& opening, const Result<std::vector<consensus::Entry>>& entries) {
  if (!entries) return std::unexpected(entries.error());
  machine::StateMachine& machine = *opening.member.machine;
  const bool next_is_there =
      !entries->empty() && entries->front().index == machine.applied().next();
  if (!next_is_there) {
    return fail(ErrorKind::corrupt,
                "the log has lost entries between " +
                    range_text(machine.applied().next(), opening.target) +
                    ", so the state cannot be brought up to what was decided; take the snapshot "
                    "from another member");
  }
  for (const consensus::Entry& entry : *entries) {
    if (entry.index != machine.applied().next()) break;  // the rest is judged by the next read
    apply(machine, entry);
  }
  return machine.commit_batch();
}

void read_on(const std::shared_ptr<Opening>& opening) {
  const Index applied = opening->member.machine->applied();
  if (applied >= opening->target) return finish(opening, {});
  opening->wal->read(opening->group, {applied.next(), opening->target}, kReplayBytesPerRead,
                     [opening](const Result<std::vector<consensus::Entry>>& entries) {
                       if (auto taken = take(*opening, entries); !taken) {
                         return finish(opening, std::move(taken));
                       }
                       opening->executor.post([opening] { read_on(opening); });
                     });
}

Result<consensus::Members> last_members(const consensus::Recovered& recovered) {
  const Bytes& encoded = recovered.members_entries.empty() ? recovered.snapshot.members
                                                           : recovered.members_entries.back().data;
  const auto members = consensus::decode_members(encoded);
  if (members && recovered.damaged_members.empty()) return *members;
  return fail(ErrorKind::corrupt,
              "the log has lost who the members are, so it cannot say what was decided; take the "
              "snapshot from another member");
}

// Of a sole voter every entry that is durable is decided: nobody else has a say. Others know it
// only as far as they wrote it down.
Result<void> judge_log(const consensus::Recovered& recovered, StoppedMember& member) {
  auto members = last_members(recovered);
  if (!members) return std::unexpected(members.error());
  member.members = std::move(*members);
  const std::vector<consensus::Member>& voters = member.members.voters;
  const bool alone = voters.size() == 1 && voters.front().id == member.identity.member &&
                     !member.members.joint() && !member.identity.amnesiac;
  member.last = recovered.last;
  member.decided = std::max(recovered.hard_state.committed, recovered.snapshot.index);
  if (alone) member.decided = recovered.last;
  member.decided = std::min(member.decided, member.last);
  member.last_round =
      recovered.runs.empty() ? recovered.snapshot.ballot.round : recovered.runs.back().ballot.round;
  return {};
}

// The newest store, or the one that was received to take its place when a crash came between.
Result<void> open_state(world::Disk& disk, const std::string& directory,
                        const MachineFactory& make_machine, Index log_begins_behind,
                        StoppedMember& member) {
  StoreDirectory stores(disk, directory);
  Index generation;
  if (disk.exists(directory + "/store")) {
    const auto newest = stores.newest();
    if (!newest) return std::unexpected(newest.error());
    generation = *newest;
  }
  auto machine = make_machine(stores.store_path(generation));
  if (!machine) return std::unexpected(machine.error());
  if ((*machine)->applied() < log_begins_behind &&
      disk.exists(stores.arrived_path(log_begins_behind))) {
    machine->reset();
    machine = make_machine(stores.arrived_path(log_begins_behind));
    if (!machine) return std::unexpected(machine.error());
  }
  member.stored = (*machine)->applied();
  if (member.stored < log_begins_behind) {
    return fail(ErrorKind::corrupt,
                directory + "/store reaches index " + std::to_string(member.stored.value) +
                    " but the log begins behind " + std::to_string(log_begins_behind.value) +
                    ": part of the store was removed or is damaged; take the "
                    "snapshot from another member");
  }
  member.machine = std::move(*machine);
  // What is applied was decided, whatever the log has written down.
  member.decided = std::max(member.decided, member.stored);
  member.last = std::max(member.last, member.decided);
  return {};
}

Result<void> open_directory(world::Disk& disk, const std::string& directory, Opening& opening) {
  if (!disk.exists(directory + "/identity")) {
    return fail(ErrorKind::not_found,
                directory +
                    " holds no member's data: it has no identity; name the data directory "
                    "that the member was started with");
  }
  auto lock = disk.lock(directory);
  if (!lock) return std::unexpected(lock.error());
  opening.member.lock = std::move(*lock);
  auto identity = load_identity(disk, directory);
  if (!identity) return std::unexpected(identity.error());
  if (*identity) opening.member.identity = std::move(**identity);
  if (!disk.exists(directory + "/wal")) {
    return fail(ErrorKind::corrupt,
                directory +
                    " has no log, so nobody can tell what was decided; take the snapshot "
                    "from another member");
  }
  storage::WalOptions options;
  options.directory = directory + "/wal";
  options.recovered_tail_bytes = 0;  // all that is needed of it is read in turn
  auto wal = storage::open_wal(disk, opening.executor, options);
  if (!wal) return std::unexpected(wal.error());
  opening.wal = std::move(*wal);
  const std::vector<GroupId> groups = opening.wal->groups();
  if (groups.size() == 1) {
    opening.group = groups.front();
    return {};
  }
  return fail(ErrorKind::invalid, groups.empty()
                                      ? directory +
                                            " belongs to a member that has never taken part: there "
                                            "is nothing to export"
                                      : directory + " holds more groups than this version knows");
}

}  // namespace

void open_stopped(world::Executor& executor, world::Disk& disk, const std::string& directory,
                  const MachineFactory& make_machine, TakeLog take,
                  std::function<void(Result<StoppedMember>)> done) {
  const auto opening =
      std::make_shared<Opening>(Opening{executor, {}, {}, {}, {}, std::move(done)});
  if (auto opened = open_directory(disk, directory, *opening); !opened) {
    return finish(opening, std::move(opened));
  }
  const consensus::Recovered recovered = opening->wal->take_recovered(opening->group);
  StoppedMember& member = opening->member;
  if (auto judged = judge_log(recovered, member); !judged) {
    return finish(opening, std::move(judged));
  }
  if (auto opened = open_state(disk, directory, make_machine, recovered.snapshot.index, member);
      !opened) {
    return finish(opening, std::move(opened));
  }
  opening->target = take == TakeLog::all ? member.last : member.decided;
  read_on(opening);
}

}  // namespace quorate::node
