// storage/bolt/snapshot_digest.h: the SHA-256 that stands behind the database in a snapshot file.
//
// A database is a whole number of pages, so a length of 32 more than a multiple of 512 says that
// there is one; the copy of a member's own file has none.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "world/disk.h"

namespace quorate::storage::bolt {

struct SnapshotFile {
  uint64_t bytes = 0;                 // of the database alone
  std::optional<std::string> digest;  // as the file has it
};
// From its length alone.
Result<SnapshotFile> measure_snapshot(world::File& file);
// Reads all of the database.
Result<std::string> compute_digest(world::File& file, uint64_t bytes);

}  // namespace quorate::storage::bolt
