#include "machine/etcd/import.h"

#include <algorithm>
#include <set>

#include "machine/etcd/big_endian.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/lease_rows.h"
#include "machine/etcd/position_row.h"
#include "storage/mvcc/protobuf.h"
#include "storage/mvcc/record.h"
#include "storage/mvcc/revision.h"
#include "storage/mvcc/revisions_row.h"
#include "storage/mvcc/store.h"

namespace quorate::machine::etcd {

using storage::WriteBatch;
using storage::mvcc::Record;
using storage::mvcc::RowKey;

namespace {

// Enough for the store to work well, little beside its own buffers.
constexpr size_t kBatchBytes = size_t{4} << 20U;
// Its leases begin here: the entry that granted them stands before the log.
constexpr uint64_t kLifeBefore = 1;

std::unexpected<Error> damaged(const std::string& what) {
  return fail(ErrorKind::corrupt, "the database is not one that etcd wrote: " + what +
                                      "; take another snapshot, or an older one");
}

struct StoredLease {
  int64_t id = 0;
  LeaseTerm term;
};

std::optional<StoredLease> decode_lease(std::string_view key, std::string_view value) {
  const auto id = decode_big_endian(key);
  StoredLease lease;
  protobuf::Reader reader(value);
  while (reader.next()) {
    if (reader.field() == protobuf::varint_field(1)) lease.id = reader.signed_number();
    if (reader.field() == protobuf::varint_field(2)) {
      lease.term.granted_seconds = reader.signed_number();
    }
    if (reader.field() == protobuf::varint_field(3)) {
      lease.term.left_seconds = reader.signed_number();
    }
  }
  lease.term.life = kLifeBefore;
  const bool sane = reader.ok() && id && lease.id != 0 && static_cast<uint64_t>(lease.id) == *id &&
                    lease.term.granted_seconds > 0 && lease.term.left_seconds >= 0 &&
                    lease.term.granted_seconds <= kLeaseSecondsMax &&
                    lease.term.left_seconds <= lease.term.granted_seconds;
  return sane ? std::optional(lease) : std::nullopt;
}

struct Row {
  RowKey key;
  Record record;
};

std::optional<Row> decode_row(std::string_view key, std::string_view value) {
  const auto row_key = storage::mvcc::decode_row_key(key);
  const auto record = storage::mvcc::decode_record(value);
  if (!row_key || !record || record->key.empty()) return std::nullopt;
  const int64_t main = row_key->revision.main;
  // 2^62: no store has come as far, and there is room behind it.
  if (main < 1 || main > INT64_MAX / 2 || row_key->revision.sub < 0 ||
      row_key->revision.sub > UINT32_MAX) {
    return std::nullopt;
  }
  const bool version_fits = record->mod_revision == main && record->version > 0 &&
                            record->create_revision > 0 && record->create_revision <= main;
  if (!row_key->tombstone && !version_fits) return std::nullopt;
  return Row{*row_key, *record};
}

Result<void> read_meta(const storage::bolt::Reader& file, EtcdContent& content) {
  bool wrong = false;
  const auto compacted = [&](std::string_view value) {
    const auto revision = storage::mvcc::decode_row_key(value);
    wrong = wrong || !revision || revision->revision.main < 1;
    if (!wrong) content.compacted = std::max(content.compacted, revision->revision.main);
  };
  auto scanned = file.scan("meta", [&](std::string_view key, std::string_view value) {
    if (key == "scheduledCompactRev" || key == "finishedCompactRev") compacted(value);
    if (key == "consistent_index") {
      const auto index = decode_big_endian(value);
      wrong = wrong || !index || *index > kImportedIndexMax;
      content.index = index.value_or(0);
    }
    return !wrong;
  });
  if (!scanned) return scanned;
  if (wrong) return damaged("what it says of its revisions makes no sense");
  return {};
}

Result<std::set<int64_t>> read_leases(const storage::bolt::Reader& file, EtcdContent& content) {
  std::set<int64_t> leases;
  bool wrong = false;
  const auto scanned = file.scan("lease", [&](std::string_view key, std::string_view value) {
    const auto lease = decode_lease(key, value);
    wrong = !lease;
    if (lease) leases.insert(lease->id);
    return !wrong;
  });
  if (!scanned) return std::unexpected(scanned.error());
  if (wrong) return damaged("a lease cannot be decoded");
  content.leases = leases.size();
  return leases;
}

}  // namespace

Result<EtcdContent> look_through(const storage::bolt::Reader& file) {
  EtcdContent content;
  for (const char* bucket : {"key", "meta"}) {
    if (!file.has(bucket)) return damaged(std::string("it has no bucket named ") + bucket);
  }
  auto auth = read_auth(file);
  if (!auth) return std::unexpected(auth.error());
  content.auth = std::move(*auth);
  if (auto read = read_meta(file, content); !read) return std::unexpected(read.error());
  const auto leases = read_leases(file, content);
  if (!leases) return std::unexpected(leases.error());
  auto scanned =
      file.scan("alarm", [&](std::string_view, std::string_view) { return ++content.alarms > 0; });
  if (!scanned) return std::unexpected(scanned.error());
  bool wrong = false;
  scanned = file.scan("key", [&](std::string_view key, std::string_view value) {
    const auto row = decode_row(key, value);
    wrong = !row;
    if (wrong) return false;
    ++content.rows;
    content.revision = std::max(content.revision, row->key.revision.main);
    const bool orphan =
        !row->key.tombstone && row->record.lease != 0 && !leases->contains(row->record.lease);
    if (orphan) {
      content.orphans.insert_or_assign(std::string(row->record.key), row->key.revision.main);
    } else if (!content.orphans.empty()) {
      content.orphans.erase(std::string(row->record.key));
    }
    return true;
  });
  if (!scanned) return std::unexpected(scanned.error());
  if (wrong) return damaged("a row of its keys cannot be decoded");
  content.revision = std::max(content.revision, content.compacted);
  return content;
}

Result<void> import_rows(const storage::bolt::Reader& file, const EtcdContent& content,
                         const AppliedPosition& position, storage::KvStore& store) {
  WriteBatch batch;
  size_t bytes = 0;
  Result<void> written;
  const auto add = [&](std::string_view key, std::string_view value) {
    batch.put(key, value);
    bytes += key.size() + value.size();
    if (bytes < kBatchBytes) return true;
    written = store.write(batch);
    batch.clear();
    bytes = 0;
    return written.has_value();
  };
  std::string row_key;
  std::string encoded;
  auto scanned = file.scan("key", [&](std::string_view key, std::string_view value) {
    row_key.assign(1, storage::mvcc::kRowTable);
    row_key += key;
    if (content.orphans.empty()) return add(row_key, value);
    const auto row = decode_row(key, value);
    const auto orphan =
        row ? content.orphans.find(std::string(row->record.key)) : content.orphans.end();
    if (orphan == content.orphans.end() || orphan->second != row->key.revision.main) {
      return add(row_key, value);
    }
    Record freed = row->record;
    freed.lease = 0;
    encoded.clear();
    storage::mvcc::encode_record(freed, encoded);
    return add(row_key, encoded);
  });
  if (!scanned) return scanned;
  if (written) {
    scanned = file.scan("lease", [&](std::string_view key, std::string_view value) {
      const auto lease = decode_lease(key, value);
      return !lease || add(lease_row_key(lease->id), encode_lease_row(lease->term));
    });
  }
  if (!scanned) return scanned;
  if (!written) return written;
  put_auth(content.auth, batch);
  // What etcd has not removed yet, or keeps where we do not, goes in the background.
  batch.put(storage::mvcc::kRevisionsKey,
            storage::mvcc::encode_revisions(
                {content.revision, content.compacted, content.compacted > 0}));
  batch.put(kPositionKey, encode_position(position));
  return store.write(batch);
}

}  // namespace quorate::machine::etcd
