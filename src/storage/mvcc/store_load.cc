// What of a Store outlives the process: its own values beside the rows, and how both come back.
#include "base/check.h"
#include "base/mutant.h"
#include "storage/mvcc/protobuf.h"
#include "storage/mvcc/revisions_row.h"
#include "storage/mvcc/store.h"

namespace quorate::storage::mvcc {

namespace {

std::string damaged(const std::string& what) {
  return "The row store is damaged: " + what +
         ". Replace the member, or restore it from a snapshot.";
}

// Each field once, without what need not be said, and the key first: then the size tells.
bool in_our_form(const Record& record, std::string_view encoded) {
  const size_t before_key = 1 + protobuf::varint_size(record.key.size());
  return !record.key.empty() && record.key.data() == encoded.data() + before_key &&
         encoded_size(record) == encoded.size();
}

}  // namespace

WriteBatch& Store::batch() {
  CHECK(changes_ == 0, "a batch holds whole transactions");
  if (meta_changed_) {
    batch_.put(kRevisionsKey, encode_revisions({current_, compacted_, compacting_}));
    meta_changed_ = false;
  }
  return batch_;
}

void Store::batch_written() {
  CHECK(!meta_changed_, "what was written is the batch that was asked for");
  // The rows are in the store below now, where finding them again costs more than keeping them.
  for (const PendingRow& row : pending_) {
    const bool tombstone = batch_.key(batch_.operations()[row.operation]).back() == 't';
    recent_.add(row.revision, tombstone, batch_.take_value(row.operation));
  }
  batch_.clear();
  pending_.clear();
}

Result<bool> Store::load_meta() {
  const Result<std::optional<std::string>> stored = rows_.get(kRevisionsKey);
  if (!stored) return std::unexpected(stored.error());
  if (!*stored) return false;
  const Result<StoredRevisions> revisions = decode_revisions(**stored);
  if (!revisions) return std::unexpected(revisions.error());
  current_ = revisions->current;
  compacted_ = revisions->compacted;
  // An unfinished removal starts again at the first key: what is gone already is passed quickly.
  compacting_ = revisions->compacting;
  return true;
}

std::optional<Error> Store::load_row(std::string_view key, std::string_view value) {
  key.remove_prefix(1);
  const std::optional<RowKey> decoded = decode_row_key(key);
  const std::optional<Record> record = decode_record(value);
  if (!decoded || !record) {
    return Error{ErrorKind::corrupt, damaged("a row cannot be decoded")};
  }
  if (decoded->revision.main > current_) {
    return Error{ErrorKind::corrupt, damaged("a row is newer than the store")};
  }
  // Rows this store wrote begin with the key; others are put into that form.
  std::string_view encoded = value;
  if (!in_our_form(*record, value)) {
    encoded_.clear();
    encode_record(*record, encoded_);
    encoded = encoded_;
  }
  const Version version{decoded->revision, decoded->tombstone,
                        static_cast<uint32_t>(encoded.size())};
  row_bytes_ += stored_bytes(version);
  found_leases_ = found_leases_ || record->lease != 0;
  KeyIndex::Place place = index_.locate(record->key);
  index_record(place, version, *record, encoded);
  return std::nullopt;
}

Result<void> Store::load() {
  const Result<bool> known = load_meta();
  if (!known) return std::unexpected(known.error());
  std::optional<Error> error;
  const auto visit = [&](std::string_view key, std::string_view value) {
    error = *known ? load_row(key, value)
                   : Error{ErrorKind::corrupt, damaged("it has rows but no revision")};
    return !error;
  };
  const Result<void> scanned = rows_.scan(std::string(1, kRowTable),
                                          std::string(1, static_cast<char>(kRowTable + 1)), visit);
  if (!scanned) return scanned;
  if (error) return std::unexpected(*error);
  // The revision comes from the store's own value, never from what a compaction, finished or
  // not, has left of the rows (etcd #17780).
  if (QRT_MUTANT(V01) && compacting_) current_ = compacted_;
  recent_.start(current_ + 1);
  return {};
}

Result<std::unique_ptr<Store>> Store::open(KvStore& rows, uint64_t inline_bytes_max) {
  std::unique_ptr<Store> store(new Store(rows, inline_bytes_max));
  if (const Result<void> loaded = store->load(); !loaded) {
    return std::unexpected(loaded.error());
  }
  return store;
}

}  // namespace quorate::storage::mvcc
