// machine/etcd/import.h: etcd's database file becomes the rows of a store, with every revision.
//
// What comes over: each version of each key since etcd's last compaction, the revision, the
// compacted revision, leases, users and roles and whether they are in force. What does not: who the
// members were, alarms (the new cluster judges its own state), versions.
//
// The file is hostile until it was looked through: look_through() reads all of it and writes
// nothing, so a file that is refused has left no trace.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "machine/etcd/auth_import.h"
#include "machine/state_machine.h"
#include "storage/bolt/reader.h"
#include "storage/kv/kv_store.h"

namespace quorate::machine::etcd {

// An index beyond it leaves no room for a log behind it; no log has come a millionth as far.
inline constexpr uint64_t kImportedIndexMax = uint64_t{1} << 56U;

struct EtcdContent {
  int64_t revision = 1;
  int64_t compacted = -1;  // never
  uint64_t index = 0;      // of etcd's log: how far the database has come
  uint64_t rows = 0;       // versions of keys
  uint64_t leases = 0;
  uint64_t alarms = 0;
  // Keys that are on a lease which is not there: when they were written. etcd keeps such a key for
  // ever, and so do we, by taking it off the lease.
  std::map<std::string, int64_t> orphans;
  ImportedAuth auth;
};

Result<EtcdContent> look_through(const storage::bolt::Reader& file);
// Into an empty store. Nothing is durable before store.compact().
Result<void> import_rows(const storage::bolt::Reader& file, const EtcdContent& content,
                         const AppliedPosition& position, storage::KvStore& store);

}  // namespace quorate::machine::etcd
