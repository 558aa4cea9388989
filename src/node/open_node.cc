#include <algorithm>

#include "base/log.h"
#include "base/mutant.h"
#include "node/limits.h"
#include "node/lost_machine.h"
#include "node/running_node.h"
#include "node/set_aside.h"

namespace quorate::node {
namespace {

std::unexpected<Error> pass_on(const Error& error) { return std::unexpected<Error>(error); }

// What the identity file has room for.
constexpr size_t kNameBytesMax = 1024;

Result<void> check_members(const NodeConfig& config) {
  std::vector<NodeId> ids;
  for (const PeerConfig& member : config.members) ids.push_back(member.id);
  std::ranges::sort(ids);
  if (std::ranges::adjacent_find(ids) != ids.end() || (!ids.empty() && !ids.front())) {
    return fail(ErrorKind::invalid,
                "two of the initial members have the same id: give each its own name and URLs");
  }
  if (!std::ranges::binary_search(ids, config.self)) {
    return fail(ErrorKind::invalid,
                "the initial members do not include this member: add its name and peer URLs");
  }
  return {};
}

Result<void> check_config(const NodeConfig& config) {
  if (!config.self || !config.group || config.directory.empty()) {
    return fail(ErrorKind::invalid, "a node needs an id, a group and a data directory");
  }
  if (config.name.size() > kNameBytesMax || config.token.size() > kNameBytesMax) {
    return fail(ErrorKind::invalid, "a name or token is longer than " +
                                        std::to_string(kNameBytesMax) + " bytes; shorten it");
  }
  if (config.heartbeat_interval <= Duration::zero() ||
      config.election_timeout <= config.heartbeat_interval) {
    return fail(ErrorKind::invalid,
                "the election timeout must be longer than the heartbeat interval; five to ten "
                "times as long is usual");
  }
  return {};
}

Result<void> check_owner(const Identity& identity, const NodeConfig& config) {
  if (identity.cluster_id == config.cluster_id && identity.member == config.self) return {};
  // The log knows the members and this one's URLs better than flags that are older or newer.
  const bool named = !identity.name.empty();
  if (named && identity.name == config.name && identity.token == config.token) return {};
  if (named ? identity.token != config.token : identity.cluster_id != config.cluster_id) {
    return fail(ErrorKind::conflict,
                config.directory +
                    " holds data of another cluster (other initial members or token); point to "
                    "the right data directory, or to an empty one");
  }
  return fail(ErrorKind::conflict,
              config.directory +
                  " holds data of another member of this cluster; start it with that member's "
                  "name and URLs, or point to an empty data directory");
}

Result<Identity> claim_directory(world::Disk& disk, world::Executor& executor,
                                 const NodeConfig& config, uint64_t& first_sequence) {
  auto stored = load_identity(disk, config.directory);
  if (!stored) return pass_on(stored.error());
  Identity identity = stored->value_or(Identity{});
  if (!*stored) {
    identity.cluster_id = config.cluster_id;
    identity.member = config.self;
    identity.next_sequence = 1;
    identity.protocol = consensus::name_of(config.protocol);
    if (config.introduction) identity.joined_at = config.introduction->index;
  }
  identity.name = config.name;
  identity.token = config.token;
  // Numbers of an earlier run never come again, even when the wall clock went back.
  const auto wall = static_cast<uint64_t>(std::max<int64_t>(executor.wall_nanoseconds(), 1));
  first_sequence = QRT_MUTANT(SEQUENCE_NODE) ? 1 : std::max(identity.next_sequence, wall);
  if (first_sequence > UINT64_MAX - kSequencesPerRun) {
    return fail(ErrorKind::invalid,
                config.directory +
                    " has used up its proposal numbers, or the wall clock is far "
                    "in the future; correct the clock, or let the member come "
                    "back with an empty data directory");
  }
  identity.next_sequence = first_sequence + kSequencesPerRun;
  if (auto saved = save_identity(disk, config.directory, identity); !saved) {
    return pass_on(saved.error());
  }
  return identity;
}

Result<std::optional<consensus::Recovered>> recover_group(storage::Wal& wal,
                                                          const NodeConfig& config) {
  for (const GroupId group : wal.groups()) {
    if (group != config.group) {
      return fail(ErrorKind::conflict, config.directory + " holds a group this version cannot run");
    }
  }
  std::optional<consensus::Recovered> recovered;
  if (!wal.groups().empty()) recovered = wal.take_recovered(config.group);
  return recovered;
}

// The store is damaged, the log is not: what the log still holds is replayed, what it has given
// back comes from a peer.
Result<std::shared_ptr<machine::StateMachine>> replace_store(
    world::Disk& disk, const NodeConfig& config, StoreDirectory& directory,
    const MachineFactory& make_machine, OpenedDirectory& opened, const Error& why) {
  const bool needs_peer = opened.recovered && opened.recovered->snapshot.index;
  const bool alone =
      config.members.size() <= 1 && !config.introduction && !opened.identity.joined_at;
  if (needs_peer && alone) {
    return fail(
        ErrorKind::corrupt,
        why.text + ". It is the only member, so there is nobody to copy from: restore a backup");
  }
  log(LogLevel::error, why.text);
  log(LogLevel::warn, needs_peer ? "this member's state is damaged: it is fetched from a peer"
                                 : "this member's state is damaged: it is made anew from the log");
  if (auto moved = set_aside(disk, config.directory, "store"); !moved) {
    return std::unexpected(moved.error());
  }
  if (auto prepared = directory.prepare(); !prepared) return std::unexpected(prepared.error());
  if (needs_peer) {
    opened.recovered->store_lost = true;
    return std::shared_ptr<machine::StateMachine>(std::make_shared<LostMachine>());
  }
  return directory.open_machine(make_machine, Index{});
}

}  // namespace

// A log is founded with one protocol and goes on with it: what another one would read in it is not
// what was promised.
Result<void> adopt_protocol(NodeConfig& config, const std::string& found,
                            const std::string& whose) {
  const auto known = consensus::protocol_named(found);
  if (!known) {
    return fail(ErrorKind::conflict, whose +
                                         " runs a protocol that this version does not know (it "
                                         "knows " +
                                         consensus::protocol_names() + "): use a newer version");
  }
  if (*known == config.protocol) return {};
  if (config.protocol_demanded) {
    return fail(ErrorKind::conflict,
                whose + " was founded with the protocol " + found + ", but " +
                    std::string(consensus::name_of(config.protocol)) +
                    " is asked for, and a cluster keeps the protocol it was founded with; start "
                    "with --consensus " +
                    found + ", or found a new cluster in an empty data directory");
  }
  config.protocol = *known;
  return {};
}

Result<bool> adopt_stored_identity(world::Disk& disk, NodeConfig& config) {
  auto stored = load_identity(disk, config.directory);
  if (!stored) return pass_on(stored.error());
  if (!*stored) return false;
  const Identity& identity = **stored;
  if (auto checked = check_owner(identity, config); !checked) return pass_on(checked.error());
  if (auto same = adopt_protocol(config, identity.protocol, config.directory); !same) {
    return pass_on(same.error());
  }
  // Ids of the flags are those of a founding that this member had no part in.
  if (identity.joined_at || identity.member != config.self) config.members.clear();
  config.self = identity.member;
  config.cluster_id = identity.cluster_id;
  return true;
}

Result<std::unique_ptr<Node>> open_node(world::Executor& executor, world::Disk& disk,
                                        world::Network& network, MachineFactory make_machine,
                                        NodeConfig config, Rng rng) {
  auto stored = adopt_stored_identity(disk, config);
  if (!stored) return pass_on(stored.error());
  if (auto checked = check_config(config); !checked) return pass_on(checked.error());
  if (!*stored && !config.introduction) {
    if (auto checked = check_members(config); !checked) return pass_on(checked.error());
  }
  if (auto made = disk.make_directory(config.directory); !made) return pass_on(made.error());
  OpenedDirectory opened;
  auto lock = disk.lock(config.directory);
  if (!lock) return pass_on(lock.error());
  opened.lock = std::move(*lock);

  auto identity = claim_directory(disk, executor, config, opened.first_sequence);
  if (!identity) return pass_on(identity.error());
  opened.identity = *identity;

  auto registers = load_register_file(disk, config.directory);
  if (!registers) return pass_on(registers.error());
  if (*registers &&
      ((*registers)->cluster_id != config.cluster_id || (*registers)->self != config.self)) {
    return fail(ErrorKind::conflict, config.directory +
                                         "/registers belongs to another member or cluster; put "
                                         "this member's own directory back as it was");
  }
  opened.registers = std::move(*registers);

  storage::WalOptions options;
  options.directory = config.directory + "/wal";
  options.segment_bytes = config.wal_segment_bytes;
  options.scrub_bytes_per_second = config.scrub_bytes_per_second;
  options.scrub_pause = config.scrub_pause;
  auto wal = storage::open_wal(disk, executor, options);
  if (!wal && wal.error().kind == ErrorKind::corrupt) {
    if (auto forgotten = forget_log(disk, config, opened.identity, wal.error()); !forgotten) {
      return pass_on(forgotten.error());
    }
    wal = storage::open_wal(disk, executor, options);
  }
  if (!wal) return pass_on(wal.error());
  opened.wal = std::move(*wal);
  auto recovered = recover_group(*opened.wal, config);
  if (!recovered) return pass_on(recovered.error());
  opened.recovered = std::move(*recovered);

  StoreDirectory directory(disk, config.directory);
  if (auto prepared = directory.prepare(); !prepared) return pass_on(prepared.error());
  const Index behind = opened.recovered ? opened.recovered->snapshot.index : Index{};
  auto machine = directory.open_machine(make_machine, behind);
  if (!machine && is_damage(machine.error())) {
    machine = replace_store(disk, config, directory, make_machine, opened, machine.error());
  }
  if (!machine) return pass_on(machine.error());
  opened.machine = std::move(*machine);
  if (!opened.recovered && opened.machine->applied()) {
    return fail(ErrorKind::corrupt,
                config.directory +
                    " holds a store but no log: the log was removed; remove the whole directory "
                    "and start again: the member comes back from its peers");
  }
  return std::make_unique<RunningNode>(NodeWorld{executor, disk, network}, std::move(make_machine),
                                       std::move(config), rng, std::move(opened));
}

}  // namespace quorate::node
