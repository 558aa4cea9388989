#include "node/beginning.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "consensus/factory.h"
#include "node/identity.h"
#include "node/registers/file.h"
#include "node/running_node.h"
#include "storage/wal/wal.h"

namespace quorate::node {
namespace {

consensus::Write first_write(const NodeConfig& config, Index behind) {
  return consensus::founding_write_behind(config.protocol, initial_members(config.members), behind);
}

// The log at work, and who waits for it. Ends itself in a task of its own, never from within the
// log.
struct Beginning {
  std::unique_ptr<storage::Wal> wal;
  std::function<void(Result<void>)> done;
};

Result<void> write_identity(world::Disk& disk, const NodeConfig& config) {
  RegisterFile registers;
  registers.cluster_id = config.cluster_id;
  registers.self = registers.proposer = config.self;
  for (const PeerConfig& member : config.members) registers.acceptors.push_back(member.id);
  std::ranges::sort(registers.acceptors);
  registers.accepts = true;
  const Bytes encoded = encode_register_file(registers);
  if (auto saved = save_register_file(disk, config.directory, encoded); !saved) return saved;
  Identity identity;
  identity.cluster_id = config.cluster_id;
  identity.member = config.self;
  identity.next_sequence = 1;
  identity.name = config.name;
  identity.token = config.token;
  identity.protocol = consensus::name_of(config.protocol);
  return save_identity(disk, config.directory, identity);
}

}  // namespace

machine::AppliedPosition beginning_position(const NodeConfig& config, Index behind) {
  const consensus::Write write = first_write(config, behind);
  return {behind, write.snapshot->ballot.round, write.snapshot->members};
}

std::string beginning_store_path(const NodeConfig& config, Index behind) {
  return config.directory + "/store/" + std::to_string(behind.value);
}

void begin_behind(world::Executor& executor, world::Disk& disk, const NodeConfig& config,
                  Index behind, std::function<void(Result<void>)> done) {
  auto beginning = std::make_shared<Beginning>();
  beginning->done = std::move(done);
  const auto finish = [&executor, beginning](Result<void> outcome) {
    executor.post([beginning, outcome = std::move(outcome)] {
      if (!beginning->done) return;
      beginning->wal.reset();
      std::exchange(beginning->done, {})(outcome);
    });
  };
  if (auto synced = disk.sync_directory(config.directory + "/store"); !synced) {
    return finish(synced);
  }
  storage::WalOptions options;
  options.directory = config.directory + "/wal";
  options.segment_bytes = config.wal_segment_bytes;
  auto wal = storage::open_wal(disk, executor, options);
  if (!wal) return finish(std::unexpected(wal.error()));
  CHECK((*wal)->groups().empty(), "a beginning has no log before it");
  beginning->wal = std::move(*wal);
  beginning->wal->set_callbacks(
      [&disk, config, finish](GroupId, WriteId, Duration) { finish(write_identity(disk, config)); },
      [finish](const Error& error) { finish(std::unexpected(error)); });
  beginning->wal->append(config.group, first_write(config, behind));
  beginning->wal->flush();
}

}  // namespace quorate::node
