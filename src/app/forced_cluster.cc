#include "app/forced_cluster.h"

#include <algorithm>

#include "app/export.h"
#include "app/import.h"
#include "base/log.h"
#include "node/identity.h"
#include "node/node.h"
#include "world/real/files.h"

namespace quorate::app {
namespace {

constexpr char kOwn[] = "/quorate";                // what serve uses below --data-dir
constexpr char kKept[] = "/quorate.before-force";  // what it was
constexpr char kSnapshot[] = "/forced.db";

void keep_self_only(ServeConfig& config) {
  std::erase_if(config.cluster,
                [&](const FoundingMember& member) { return member.name != config.name; });
  config.start = node::Start::new_cluster;
  config.bootstrap = false;  // nobody is to be agreed with
}

// What goes on is the log of the member as it was, so its protocol stays as well.
Result<void> keep_protocol(world::Disk& disk, const std::string& before, ServeConfig& config) {
  auto stored = node::load_identity(disk, before);
  if (!stored) return std::unexpected(stored.error());
  if (!*stored) return {};
  node::NodeConfig wanted;
  wanted.protocol = config.protocol;
  wanted.protocol_demanded = config.protocol_given;
  if (auto same = node::adopt_protocol(wanted, (*stored)->protocol, before); !same) return same;
  config.protocol = wanted.protocol;
  return {};
}

}  // namespace

// Whenever it is interrupted, the next try goes on: the snapshot is whole or not there, the old
// directory is moved before the new one comes, and the new one comes as a whole.
Result<void> force_new_cluster(ServeConfig& config) {
  const auto disk = world::make_file_disk();
  const std::string& directory = config.data_directory;
  const std::string own = directory + kOwn;
  const std::string kept = directory + kKept;
  const std::string snapshot = directory + kSnapshot;
  keep_self_only(config);
  if (disk->exists(kept) && disk->exists(own)) {
    log(LogLevel::warn,
        "--force-new-cluster: done before (" + kept +
            " is what this member was), nothing is done again; remove the flag, and that "
            "directory when it is not needed any more");
    return {};
  }
  if (!disk->exists(own) && !disk->exists(kept)) {
    log(LogLevel::warn, "--force-new-cluster: " + directory + " holds no data to go on with");
    return {};
  }
  const std::string& before = disk->exists(own) ? own : kept;
  if (auto same = keep_protocol(*disk, before, config); !same) return same;
  if (disk->exists(own)) {
    if (auto written = write_export(directory, snapshot); !written) return written;
    if (auto moved = disk->rename(own, kept); !moved) return moved;
    if (auto synced = disk->sync_directory(directory); !synced) return synced;
  }
  if (auto imported = import_snapshot(snapshot, config); !imported) return imported;
  if (auto removed = disk->remove(snapshot); !removed) return removed;
  log(LogLevel::warn,
      "--force-new-cluster: this member goes on as a cluster of its own, with all that its log "
      "holds; start none of the old members again with their data, remove the flag, "
      "and add new members; what was before is kept in " +
          kept);
  return {};
}

}  // namespace quorate::app
