// storage/bolt/etcd_log.h: what the log of an etcd member holds that its database lacks.
//
// etcd writes its database a little behind its log. After a clean stop the two meet; after a
// crash the log has writes that were acknowledged and are in no bucket. Whoever takes the database
// alone must know. The log is read as far as its checksums go: what a torn end says does not count.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "world/disk.h"

namespace quorate::storage::bolt {

struct LogBehind {
  uint64_t last = 0;     // index of its last entry
  uint64_t missing = 0;  // entries behind `index` that write keys, leases or users
};
// `directory`: member/wal. `index`: how far the database has come.
Result<LogBehind> read_etcd_log(world::Disk& disk, const std::string& directory, uint64_t index);

}  // namespace quorate::storage::bolt
