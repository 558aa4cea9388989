// The hash that members and clients compare: hash_walk.h says which.
#include "base/crc32c.h"
#include "storage/mvcc/store.h"

namespace quorate::storage::mvcc {

namespace {

// Finding a row and asking the index about it costs about as much as reading this many bytes.
constexpr uint64_t kRowWork = 200;

}  // namespace

Readable Store::begin_walk(HashWalk& walk) const {
  if (walk.wanted > 0 && walk.wanted < compacted_) return Readable::compacted;
  if (walk.wanted > current_) return Readable::future;
  walk.revision = walk.wanted == 0 ? current_ : walk.wanted;
  walk.compacted = compacted_;
  walk.next = {};
  walk.crc = crc32c("key");
  walk.begun = true;
  walk.finished = false;
  walk.anything_live = walk.revision == current_ && live_keys_ > 0;
  // Only rows from before a compaction ask for it. Nearly always one of the first keys is live.
  const bool look = compacted_ > 0 && walk.revision > 0 && walk.revision < current_;
  KeyIndex::Cursor cursor = index_.lower_bound({});
  for (; look && cursor.valid() && !walk.anything_live; cursor.next()) {
    const std::optional<Version> version = version_at(cursor.item(), walk.revision);
    walk.anything_live = version && !version->tombstone;
  }
  return Readable::yes;
}

bool Store::counts_in_walk(const HashWalk& walk, const RowKey& key, std::string_view record) const {
  if (key.revision.main > walk.compacted) return true;
  // etcd keeps a deletion at the compacted revision since 3.5.16 and leaves it out of the hash.
  if (key.tombstone) return false;
  const std::optional<Record> decoded = decode_record(record);
  const Item* item = decoded ? index_.find(decoded->key) : nullptr;
  if (item == nullptr) return false;
  // Of compacted rows etcd counts those which a reader at the hashed revision sees, except when
  // there is nothing to see at all: then it counts whatever the compaction has left.
  const int64_t reader = walk.anything_live ? walk.revision : walk.compacted;
  const std::optional<Version> seen = version_at(*item, reader);
  return seen && seen->revision == key.revision;
}

Readable Store::hash_step(HashWalk& walk, uint64_t work_max) const {
  // A store that was replaced by a peer's may be behind the one the walk began at.
  if (!walk.begun || walk.compacted != compacted_ || walk.revision > current_) {
    if (const Readable begun = begin_walk(walk); begun != Readable::yes) return begun;
  }
  uint64_t work = 0;
  bool more = false;
  const auto visit = [&](std::string_view key, std::string_view value) {
    key.remove_prefix(1);
    const std::optional<RowKey> row = decode_row_key(key);
    if (!row) stop_unreadable("A row of the row store has no valid key. Replace the member.");
    if (row->revision.main > walk.revision) return false;
    if (work >= work_max) {
      walk.next = row->revision;
      more = true;
      return false;
    }
    work += kRowWork + key.size() + value.size();
    if (counts_in_walk(walk, *row, value)) walk.crc = crc32c(value, crc32c(key, walk.crc));
    return true;
  };
  std::string first(1, kRowTable);
  append_row_key({walk.next, false}, first);
  const Result<void> scanned =
      rows_.scan(first, std::string(1, static_cast<char>(kRowTable + 1)), visit);
  if (!scanned) stop_unreadable(scanned.error().text);
  // Rows not written yet are newer than all that are.
  const Revision rest = walk.next;
  for (const PendingRow& row : pending_) {
    if (more) break;
    if (row.revision < rest) continue;
    const WriteBatch::Operation& operation = batch_.operations()[row.operation];
    if (!visit(batch_.key(operation), operation.value)) break;
  }
  walk.finished = !more;
  return Readable::yes;
}

}  // namespace quorate::storage::mvcc
