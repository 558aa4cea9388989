#include "node/set_aside.h"

#include "base/log.h"

namespace quorate::node {

bool is_damage(const Error& error) {
  if (error.kind == ErrorKind::corrupt) return true;
  return error.kind == ErrorKind::io && error.text.find("nput/output error") != std::string::npos;
}

Result<void> set_aside(world::Disk& disk, const std::string& directory, const std::string& name) {
  const std::string path = directory + "/" + name;
  if (!disk.exists(path)) return {};
  uint64_t number = 1;
  const auto target = [&] { return directory + "/damaged-" + std::to_string(number) + "-" + name; };
  while (disk.exists(target())) ++number;
  if (auto moved = disk.rename(path, target()); !moved) return moved;
  log(LogLevel::warn, path + " was moved to " + target());
  return disk.sync_directory(directory);
}

Result<void> forget_log(world::Disk& disk, const NodeConfig& config, Identity& identity,
                        const Error& why) {
  const bool alone = config.members.size() <= 1 && !config.introduction && !identity.joined_at;
  if (alone) {
    return fail(
        ErrorKind::corrupt,
        why.text + ". It is the only member, so there is nobody to copy from: restore a backup");
  }
  log(LogLevel::error, why.text);
  log(LogLevel::warn,
      "this member does that now by itself: it takes part again once the others have re-admitted "
      "it");
  identity.amnesiac = true;
  identity.incarnation = config.incarnation;
  if (auto saved = save_identity(disk, config.directory, identity); !saved) return saved;
  // The log last: while it is there, the next start comes here again.
  if (auto moved = set_aside(disk, config.directory, "store"); !moved) return moved;
  return set_aside(disk, config.directory, "wal");
}

}  // namespace quorate::node
