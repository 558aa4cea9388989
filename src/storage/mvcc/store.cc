#include "storage/mvcc/store.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/mutant.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::storage::mvcc {

namespace {

std::string row_key(const RowKey& key) {
  std::string text(1, kRowTable);
  append_row_key(key, text);
  return text;
}

bool past(const KeyRange& range, std::string_view key) {
  if (range.single) return key != range.first;
  return !range.unbounded && key >= range.end;
}

}  // namespace

void stop_unreadable(const std::string& text) {
  log(LogLevel::error, text);
  check_failed("the rows can be read", text.c_str(), __FILE__, __LINE__);
}

uint64_t stored_bytes(const Version& version) {
  constexpr uint64_t kKeyBytes = 18;  // the table, two numbers, what stands between them
  return kKeyBytes + (version.tombstone ? 1 : 0) + version.row_bytes;
}

KeyRange make_range(std::string_view key, std::string_view range_end) {
  if (range_end.empty()) return {key, {}, false, true};
  if (range_end == std::string_view("\0", 1)) return {key, {}, true, false};
  return {key, range_end, false, false};
}

Readable Store::readable(int64_t revision) const {
  if (revision > view()) return Readable::future;
  if (QRT_MUTANT(V03)) {
    return revision > 0 && revision < compacted_ && !compacting_ ? Readable::compacted
                                                                 : Readable::yes;
  }
  return revision > 0 && revision < compacted_ ? Readable::compacted : Readable::yes;
}

std::string_view Store::row(const Revision& revision, std::string& scratch) const {
  const auto pending = std::lower_bound(
      pending_.begin(), pending_.end(), revision,
      [](const PendingRow& row, const Revision& wanted) { return row.revision < wanted; });
  if (pending != pending_.end() && pending->revision == revision) {
    return batch_.operations()[pending->operation].value;
  }
  Result<std::optional<std::string>> found = rows_.get(row_key({revision, false}));
  if (!found) stop_unreadable(found.error().text);
  if (!*found) {
    stop_unreadable("The row of revision " + std::to_string(revision.main) + " sub " +
                    std::to_string(revision.sub) +
                    " is missing from the row store. Replace the member.");
  }
  scratch = std::move(**found);
  return scratch;
}

std::string_view Store::record_of(const Item& item, const Version& version, bool values,
                                  std::string& scratch) const {
  const bool newest = version.revision == item.newest().revision;
  if (newest && (item.whole() || !values)) return item.record();
  return row(version.revision, scratch);
}

std::optional<std::string_view> Store::get(std::string_view key, std::string& scratch) const {
  const Item* item = index_.find(key);
  if (item == nullptr || item->tombstone()) return std::nullopt;
  return record_of(*item, item->newest(), true, scratch);
}

int64_t Store::range(const KeyRange& range, const Query& query, const Visitor& visit) const {
  const int64_t revision = query.revision > 0 ? query.revision : view();
  CHECK(QRT_MUTANT(V03) || readable(revision) == Readable::yes, "callers ask readable() first");
  if (range.single) return visit_one(range.first, query, revision, visit);
  std::string scratch;
  int64_t count = 0;
  uint64_t bytes = 0;
  for (KeyIndex::Cursor cursor = index_.lower_bound(range.first);
       cursor.valid() && bytes < query.bytes_max; cursor.next()) {
    const Item& item = cursor.item();
    if (past(range, item.key())) break;
    if (static_cast<uint64_t>(count) == query.visits_max) return count_all(range, revision);
    const std::optional<Version> version = version_at(item, revision);
    if (!version || version->tombstone) continue;
    const std::string_view record = record_of(item, *version, query.values, scratch);
    bytes += record.size();
    visit(record);
    ++count;
  }
  return count;
}

// The keys beside it are left alone: their memory would have to be waited for.
int64_t Store::visit_one(std::string_view key, const Query& query, int64_t revision,
                         const Visitor& visit) const {
  const Item* item = index_.find(key);
  const std::optional<Version> version =
      item == nullptr ? std::nullopt : version_at(*item, revision);
  if (!version || version->tombstone) return 0;
  if (query.visits_max == 0) return 1;
  std::string scratch;
  visit(record_of(*item, *version, query.values, scratch));
  return 1;
}

int64_t Store::count_all(const KeyRange& range, int64_t revision) const {
  return index_.count(range.first, range.unbounded ? nullptr : &range.end, revision);
}

void Store::write_row(const Version& version, std::string encoded) {
  row_key_.assign(1, kRowTable);
  append_row_key({version.revision, version.tombstone}, row_key_);
  row_bytes_ += stored_bytes(version);
  pending_.push_back({version.revision, batch_.operations().size()});
  batch_.put(row_key_, std::move(encoded));
}

void Store::remove_row(const Version& version) {
  row_key_.assign(1, kRowTable);
  append_row_key({version.revision, version.tombstone}, row_key_);
  batch_.remove(row_key_);
  row_bytes_ -= stored_bytes(version);
  ++totals_.rows_compacted;
}

void Store::index_record(KeyIndex::Place& place, const Version& version, const Record& record,
                         std::string_view encoded) {
  const bool whole = record.value.size() <= kInlineValueMax &&
                     index_.record_bytes() + encoded.size() <= inline_bytes_max_;
  std::string stripped;
  if (!whole) {
    Record without = record;
    without.value = {};
    encode_record(without, stripped);
    encoded = stripped;
  }
  // The key is the first field: a tag, its length, the bytes.
  const size_t offset = record.key.empty() ? 0 : 1 + protobuf::varint_size(record.key.size());
  const Item* found = place.item();
  const bool was_live = found != nullptr && !found->tombstone();
  index_.add(place, {version, encoded.substr(offset, record.key.size()), encoded,
                     whole || record.value.empty()});
  if (!was_live && !version.tombstone) ++live_keys_;
  if (was_live && version.tombstone) --live_keys_;
}

int64_t Store::put(std::string_view key, std::string_view value, int64_t lease) {
  KeyIndex::Place place = index_.locate(key);
  const Item* found = place.item();
  Version version{{current_ + 1, changes_++}, false};
  Record record{key, version.revision.main, version.revision.main, 1, value, lease};
  int64_t lease_before = 0;
  if (found != nullptr && !found->tombstone()) {
    const std::optional<Record> before = decode_record(found->record());
    CHECK(before, "the index holds what this store encoded or read and checked");
    record.create_revision = before->create_revision;
    record.version = before->version + 1;
    lease_before = before->lease;
  }
  std::string encoded;
  encode_record(record, encoded);
  version.row_bytes = static_cast<uint32_t>(encoded.size());
  ++totals_.puts;
  totals_.put_bytes += key.size() + value.size();
  index_record(place, version, record, encoded);
  write_row(version, std::move(encoded));
  return lease_before;
}

int64_t Store::remove(const KeyRange& range) {
  int64_t removed = 0;
  ++totals_.removals;
  for (KeyIndex::Cursor cursor = index_.lower_bound(range.first); cursor.valid(); cursor.next()) {
    Item& item = cursor.item();
    if (past(range, item.key())) break;
    if (item.tombstone()) continue;
    Version version{{current_ + 1, changes_++}, true};
    const std::string key(item.key());  // the item may move
    Record record;
    record.key = key;
    encoded_.clear();
    encode_record(record, encoded_);
    version.row_bytes = static_cast<uint32_t>(encoded_.size());
    write_row(version, encoded_);
    KeyIndex::Place place = index_.locate(key);
    index_record(place, version, record, encoded_);
    ++removed;
  }
  return removed;
}

void Store::finish_transaction() {
  if (changes_ == 0) return;
  ++current_;
  changes_ = 0;
  meta_changed_ = true;
}

Readable Store::compact(int64_t revision) {
  CHECK(changes_ == 0, "a compaction is not part of a transaction");
  if (revision <= compacted_) return Readable::compacted;
  if (revision > current_) return Readable::future;
  compacted_ = revision;
  compacting_ = true;
  compaction_next_.clear();
  meta_changed_ = true;
  return Readable::yes;
}

// Removes the versions of one key that no reader can reach. True: the whole key is gone.
bool Store::prune(Item& item, uint64_t& work) {
  // A deletion exactly at the compacted revision stays until the next compaction, so that a
  // watch may start there and see it.
  const auto unreachable = [this](const Version& version) {
    if (QRT_MUTANT(V02)) return version.tombstone;
    return version.tombstone && version.revision.main < compacted_;
  };
  std::vector<Version>* older = item.older();
  const Version newest = item.newest();
  size_t drop = 0;
  if (older != nullptr) {
    while (drop < older->size() && (*older)[drop].revision.main <= compacted_) ++drop;
    const bool last_is_read = newest.revision.main > compacted_ && drop > 0;
    if (last_is_read && !unreachable((*older)[drop - 1])) --drop;
    for (size_t i = 0; i < drop; ++i) remove_row((*older)[i]);
    work += drop;
    older->erase(older->begin(), older->begin() + static_cast<ptrdiff_t>(drop));
    if (older->empty()) KeyIndex::forget_older(item);
  }
  if (newest.revision.main > compacted_ || !unreachable(newest)) return false;
  remove_row(newest);
  ++work;
  return true;
}

void Store::compact_step(uint64_t work_max) {
  CHECK(changes_ == 0, "rows are removed between transactions");
  if (!compacting_) return;
  std::vector<std::string> gone;
  uint64_t work = 0;
  KeyIndex::Cursor cursor = index_.lower_bound(compaction_next_);
  for (; cursor.valid() && work < work_max; cursor.next()) {
    ++work;
    if (prune(cursor.item(), work)) gone.emplace_back(cursor.item().key());
  }
  if (cursor.valid()) {
    compaction_next_ = cursor.item().key();
  } else {
    compacting_ = false;
    compaction_next_.clear();
    meta_changed_ = true;
  }
  for (const std::string& key : gone) index_.erase(key);
}

bool Store::counts_in_hash(const RowKey& key, std::string_view record) const {
  if (key.revision.main > compacted_) return true;
  if (QRT_MUTANT(V10)) return true;
  if (key.tombstone) return false;
  const std::optional<Record> decoded = decode_record(record);
  const Item* item = decoded ? index_.find(decoded->key) : nullptr;
  if (item == nullptr) return false;
  const std::optional<Version> kept = version_at(*item, compacted_);
  return kept && kept->revision == key.revision;
}

uint32_t Store::hash() const {
  uint32_t crc = crc32c("key");
  const auto add = [&](std::string_view key, std::string_view value) {
    key.remove_prefix(1);
    const std::optional<RowKey> decoded = decode_row_key(key);
    if (!decoded) stop_unreadable("A row of the row store has no valid key. Replace the member.");
    if (counts_in_hash(*decoded, value)) crc = crc32c(value, crc32c(key, crc));
    return true;
  };
  const Result<void> scanned =
      rows_.scan(std::string(1, kRowTable), std::string(1, static_cast<char>(kRowTable + 1)), add);
  if (!scanned) stop_unreadable(scanned.error().text);
  for (const PendingRow& row : pending_) {
    const WriteBatch::Operation& operation = batch_.operations()[row.operation];
    add(batch_.key(operation), operation.value);
  }
  return crc;
}

void Store::check_invariants() const {
  index_.check_invariants();
  uint64_t live = 0;
  uint64_t rows = 0;
  for (KeyIndex::Cursor cursor = index_.lower_bound({}); cursor.valid(); cursor.next()) {
    const Item& item = cursor.item();
    if (!item.tombstone()) ++live;
    rows += stored_bytes(item.newest());
    if (item.older() == nullptr) continue;
    for (const Version& version : *item.older()) rows += stored_bytes(version);
  }
  CHECK(rows == row_bytes_, "the store counts the bytes of its rows");
  for (KeyIndex::Cursor cursor = index_.lower_bound({}); cursor.valid(); cursor.next()) {
    const Item& item = cursor.item();
    CHECK(item.newest().revision.main <= view(), "no version is newer than the store");
    const std::optional<Record> record = decode_record(item.record());
    CHECK(record && record->key == item.key(), "an item holds a record of its key");
  }
  CHECK(live == live_keys_, "the store counts its live keys");
  CHECK(compacted_ <= current_, "only the past is compacted");
}

}  // namespace quorate::storage::mvcc
