// storage/mvcc/store.h: keys with all their versions, by revision, until they are compacted.
//
// The rows of the keyspace lie in a KvStore by revision; an index in memory finds them by key
// (key_index.h). Writes gather in one batch that the owner stores as a whole, with whatever it
// adds; reads see them at once. The invariants: the current revision never shrinks, not even
// when a restart follows a compaction of the newest rows; what a reader may see depends on the
// revisions alone, never on how far the removal of old rows has come.
//
// Tables of the KvStore, by first byte: 'k' rows, 'm' this store's and its owner's own values;
// others are the owner's. One thread owns a Store. If the rows below cannot be read, or are not
// those written, the process stops: there is nothing right to answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/kv/kv_store.h"
#include "storage/mvcc/hash_walk.h"
#include "storage/mvcc/key_index.h"
#include "storage/mvcc/recent_changes.h"
#include "storage/mvcc/record.h"
#include "storage/mvcc/totals.h"

namespace quorate::storage::mvcc {

inline constexpr char kRowTable = 'k';
inline constexpr char kMetaTable = kApartTable;

// Values up to here are kept in the index while their sum stays in the budget; the rest is read
// from the rows. Larger values would crowd out many small ones that are asked for more often.
inline constexpr size_t kInlineValueMax = size_t{16} << 10U;
inline constexpr uint64_t kInlineBytesMax = uint64_t{1} << 30U;

// From `first`, included, to `end`, not included.
struct KeyRange {
  std::string_view first;
  std::string_view end;
  bool unbounded = false;  // no end at all
  bool single = false;     // `first` alone
};
// The convention of the etcd API: an empty end is one key, a zero byte no end.
KeyRange make_range(std::string_view key, std::string_view range_end);

enum class Readable : uint8_t { yes, compacted, future };

class Store {
 public:
  // Called with an encoded record, valid until the visitor returns.
  using Visitor = std::function<void(std::string_view record)>;
  struct Query {
    int64_t revision = 0;  // 0 or less: the newest; otherwise readable() must be yes
    uint64_t visits_max = UINT64_MAX;
    bool values = true;  // otherwise records may lack their value
    // Of records, after which a walk ends though there may be more; it then counts what it visited.
    uint64_t bytes_max = UINT64_MAX;
  };

  // `inline_bytes_max` is for tests.
  static Result<std::unique_ptr<Store>> open(KvStore& rows,
                                             uint64_t inline_bytes_max = kInlineBytesMax);

  int64_t current() const { return current_; }      // of the last finished transaction
  int64_t compacted() const { return compacted_; }  // -1: never
  // What a read sees now: one more than current() within a transaction that changed something.
  int64_t view() const { return current_ + (changes_ > 0 ? 1 : 0); }
  uint64_t key_count() const { return live_keys_; }
  uint64_t inline_bytes() const { return index_.record_bytes(); }
  // Whether any row that open() found names a lease.
  bool found_leases() const { return found_leases_; }
  uint64_t row_bytes() const { return row_bytes_; }  // of all rows that are there, keys included
  const Totals& totals() const { return totals_; }
  Readable readable(int64_t revision) const;

  // The newest record of a live key, whole. The view is valid until the next write or use of
  // `scratch`.
  std::optional<std::string_view> get(std::string_view key, std::string& scratch) const;
  // Visits the first live keys of the range, in order, and returns how many there are in all.
  int64_t range(const KeyRange& range, const Query& query, const Visitor& visit) const;

  // Every change from revision `first` on, oldest first, while the visitor says so. Complete from
  // changes_complete_from() on; below that some are compacted away. Between transactions only.
  void changes(int64_t first, const ChangeVisitor& visit) const;
  int64_t changes_complete_from() const;
  // The record of a key that a reader at `revision` sees, which must be readable(). The view is
  // valid as that of get().
  std::optional<std::string_view> record_at(std::string_view key, int64_t revision,
                                            std::string& scratch) const;

  // Changes of one transaction share one revision, in the order of these calls. Arguments may
  // view records of this store.
  // Returns the lease of the version it takes the place of; 0: none.
  int64_t put(std::string_view key, std::string_view value, int64_t lease);
  // A put of this key comes soon (KeyIndex::expect()).
  void expect(std::string_view key) { index_.expect(key); }
  // It will be read alone soon.
  void expect_read(std::string_view key) const { index_.expect_find(key); }
  int64_t remove(const KeyRange& range);  // returns the number of keys removed
  void finish_transaction();

  // From now on reads below `revision` are refused; yes: done, else why not.
  Readable compact(int64_t revision);
  // Removes rows that no read can reach any more, about `work_max` keys looked at or removed.
  void compact_step(uint64_t work_max);
  bool compacting() const { return compacting_; }

  // The changes since the last batch_written(). The owner adds its own rows, stores the batch,
  // and says so.
  WriteBatch& batch();
  void batch_written();

  // CRC-32C over the table's name and every row's key and value, in order. Rows that the
  // current compaction makes unreachable do not count, whether they are gone already or not.
  uint32_t hash() const;
  // Goes on with a hash of one revision by about `work_max` bytes (hash_walk.h).
  Readable hash_step(HashWalk& walk, uint64_t work_max) const;
  void check_invariants() const;

 private:
  struct PendingRow {
    Revision revision;
    size_t operation;
  };
  Store(KvStore& rows, uint64_t inline_bytes_max)
      : rows_(rows), inline_bytes_max_(inline_bytes_max) {}

  Result<void> load();
  Result<bool> load_meta();
  std::optional<Error> load_row(std::string_view key, std::string_view value);
  void index_record(KeyIndex::Place& place, const Version& version, const Record& record,
                    std::string_view encoded);
  int64_t visit_one(std::string_view key, const Query& query, int64_t revision,
                    const Visitor& visit) const;
  int64_t count_all(const KeyRange& range, int64_t revision) const;
  void write_row(const Version& version, std::string encoded);
  void remove_row(const Version& version);
  std::string_view row(const Revision& revision, std::string& scratch) const;
  std::string_view record_of(const Item& item, const Version& version, bool values,
                             std::string& scratch) const;
  bool prune(Item& item, uint64_t& work);
  bool counts_in_hash(const RowKey& key, std::string_view record) const;
  Readable begin_walk(HashWalk& walk) const;
  bool counts_in_walk(const HashWalk& walk, const RowKey& key, std::string_view record) const;

  KvStore& rows_;
  const uint64_t inline_bytes_max_;
  KeyIndex index_;
  int64_t current_ = 1;  // of an empty store; the first write makes 2
  int64_t compacted_ = -1;
  int64_t changes_ = 0;  // of the open transaction
  uint64_t live_keys_ = 0;
  uint64_t row_bytes_ = 0;
  Totals totals_;
  bool compacting_ = false;      // rows at or below compacted_ may still be there
  std::string compaction_next_;  // the key to go on from
  bool meta_changed_ = false;
  bool found_leases_ = false;
  WriteBatch batch_;
  std::vector<PendingRow> pending_;  // rows in batch_, ascending
  RecentChanges recent_;             // rows of earlier batches, the newest
  std::string encoded_;              // reused
  std::string row_key_;              // reused
};

// Shared by the files of Store.
uint64_t stored_bytes(const Version& version);
[[noreturn]] void stop_unreadable(const std::string& text);

}  // namespace quorate::storage::mvcc
