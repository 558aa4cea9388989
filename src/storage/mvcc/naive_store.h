// storage/mvcc/naive_store.h: the same rules as store.h in the simplest form, for tests: a list
// of every version ever written, searched from one end to the other.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "storage/mvcc/store.h"

namespace quorate::storage::mvcc {

struct NaiveRecord {
  std::string key;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
  int64_t version = 0;
  std::string value;
  int64_t lease = 0;
  bool tombstone = false;
  bool operator==(const NaiveRecord&) const = default;
};

class NaiveStore {
 public:
  int64_t current = 1;
  int64_t compacted = -1;
  bool changed = false;
  std::vector<NaiveRecord> versions;

  int64_t view() const { return current + (changed ? 1 : 0); }

  // Live records of [first, end) as of a revision (0 or less: now), by key.
  std::vector<NaiveRecord> range(const KeyRange& range, int64_t revision) const {
    std::map<std::string, NaiveRecord> newest;
    for (const NaiveRecord& version : versions) {
      const bool inside =
          range.single ? version.key == range.first
                       : version.key >= range.first && (range.unbounded || version.key < range.end);
      if (!inside || (revision > 0 && version.mod_revision > revision)) continue;
      newest[version.key] = version;
    }
    std::vector<NaiveRecord> live;
    for (const auto& [key, version] : newest) {
      if (!version.tombstone) live.push_back(version);
    }
    return live;
  }

  void put(const std::string& key, const std::string& value, int64_t lease) {
    NaiveRecord record{key, current + 1, current + 1, 1, value, lease, false};
    const std::vector<NaiveRecord> before = range(make_range(key, {}), 0);
    if (!before.empty()) {
      record.create_revision = before[0].create_revision;
      record.version = before[0].version + 1;
    }
    versions.push_back(record);
    changed = true;
  }

  int64_t remove(const KeyRange& keys) {
    const std::vector<NaiveRecord> live = range(keys, 0);
    for (const NaiveRecord& record : live) {
      versions.push_back({record.key, 0, current + 1, 0, {}, 0, true});
      changed = true;
    }
    return static_cast<int64_t>(live.size());
  }

  void finish_transaction() {
    if (changed) ++current;
    changed = false;
  }

  Readable compact(int64_t revision) {
    if (revision <= compacted) return Readable::compacted;
    if (revision > current) return Readable::future;
    compacted = revision;
    return Readable::yes;
  }
};

inline NaiveRecord to_naive(std::string_view bytes) {
  const std::optional<Record> record = decode_record(bytes);
  if (!record) return {};
  return {std::string(record->key),
          record->create_revision,
          record->mod_revision,
          record->version,
          std::string(record->value),
          record->lease,
          false};
}

}  // namespace quorate::storage::mvcc
