// The ordered store on RocksDB, tuned for rows that arrive in key order: revisions only grow.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/perf_level.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <cstdarg>

#include "base/check.h"
#include "storage/kv/kv_store.h"
#include "storage/kv/read_ahead.h"
#include "storage/kv/row_buffer.h"

namespace quorate::storage {

namespace {

// A node's memory is for the index above this room, so the store below gets little. Two buffers
// hold the rows of about a second of full load each while the other is flushed; a third absorbs
// a flush that is asked for while one is under way.
constexpr size_t kWriteBufferBytes = size_t{8} << 20U;
constexpr int kWriteBuffersMax = 3;
// Old revisions are read rarely; index blocks are counted in, so open tables cannot grow it.
constexpr size_t kBlockCacheBytes = size_t{16} << 20U;
constexpr int kOpenFilesMax = 128;
constexpr int kBackgroundJobsMax = 2;
// Each block has its entry in the index, its checksum and its pass through the writer; of the
// default 4 KiB, a dozen rows make one. An old revision costs a read of one.
constexpr size_t kBlockBytes = size_t{16} << 10U;
// A scan that goes on beyond this is worth a thread that reads ahead.
constexpr size_t kRowsReadInPlace = 4096;
// The buffer of the few keys kept apart. Both families are flushed together, whichever is full.
constexpr size_t kApartBufferBytes = size_t{1} << 20U;
constexpr const char* kApartFamily = "apart";

class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

Error to_error(const rocksdb::Status& status, std::string_view what) {
  ErrorKind kind = ErrorKind::io;
  if (status.IsCorruption()) kind = ErrorKind::corrupt;
  if (status.IsNoSpace()) kind = ErrorKind::no_space;
  std::string text = "The row store could not " + std::string(what) + ": " + status.ToString();
  text += kind == ErrorKind::no_space
              ? ". Make room on its device and start the node again."
              : ". Stop the node, check the device, and replace the member if it is damaged.";
  return Error{kind, std::move(text)};
}

rocksdb::Options make_options() {
  rocksdb::Options options;
  options.write_buffer_size = kWriteBufferBytes;
  options.max_write_buffer_number = kWriteBuffersMax;
  options.max_background_jobs = kBackgroundJobsMax;
  options.max_open_files = kOpenFilesMax;
  options.compression = rocksdb::kNoCompression;
  // One thread writes.
  options.allow_concurrent_memtable_write = false;
  options.enable_write_thread_adaptive_yield = false;
  // A batch touches both families; after a crash it is there in both or in neither.
  options.atomic_flush = true;
  options.max_bgerror_resume_count = 0;  // after a failed sync: stop, never try again
  options.info_log = std::make_shared<SilentLogger>();
  options.max_manifest_file_size = size_t{16} << 20U;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  table.cache_index_and_filter_blocks = true;
  table.block_size = kBlockBytes;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& text) { return {text.data(), text.size()}; }

using Family = rocksdb::ColumnFamilyHandle;

struct Opened {
  std::unique_ptr<rocksdb::DB> database;
  Family* rows = nullptr;
  Family* apart = nullptr;

  Opened() = default;
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    if (database == nullptr) return;
    database->DestroyColumnFamilyHandle(rows).PermitUncheckedError();
    database->DestroyColumnFamilyHandle(apart).PermitUncheckedError();
    // Closing would flush the last rows first. What is not durable yet comes back from the log,
    // and a stop that equals a crash is one path less.
    database->Close().PermitUncheckedError();
  }
};

std::vector<rocksdb::ColumnFamilyDescriptor> families(const rocksdb::Options& options) {
  rocksdb::ColumnFamilyOptions apart(options);
  apart.write_buffer_size = kApartBufferBytes;
  rocksdb::ColumnFamilyOptions rows(options);
  rows.memtable_factory = make_row_buffers();
  return {{rocksdb::kDefaultColumnFamilyName, rows}, {kApartFamily, apart}};
}

rocksdb::Status open_families(const rocksdb::Options& options, const std::string& directory,
                              bool read_only, Opened& opened) {
  rocksdb::DB* raw = nullptr;
  std::vector<Family*> handles;
  const rocksdb::Status status =
      read_only
          ? rocksdb::DB::OpenForReadOnly(options, directory, families(options), &handles, &raw)
          : rocksdb::DB::Open(options, directory, families(options), &handles, &raw);
  if (!status.ok()) return status;
  opened.database.reset(raw);
  opened.rows = handles[0];
  opened.apart = handles[1];
  return status;
}

Result<std::optional<std::string>> read(const Opened& opened, const rocksdb::ReadOptions& options,
                                        std::string_view key) {
  std::string value;
  Family* family = key.starts_with(kApartTable) ? opened.apart : opened.rows;
  const rocksdb::Status status = opened.database->Get(options, family, slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return std::unexpected(to_error(status, "read a row"));
  return std::optional<std::string>(std::move(value));
}

// False: the visitor had enough.
bool scan_ahead(rocksdb::Iterator& row, const KvVisitor& visit) {
  ReadAhead ahead([&row](RowBlock& block) {
    for (; row.Valid() && !block.full(); row.Next()) block.add(view(row.key()), view(row.value()));
    return row.Valid();
  });
  while (const RowBlock* block = ahead.next()) {
    if (!block->visit(visit)) return false;
  }
  return true;
}

Result<void> scan_family(const Opened& opened, Family* family, const rocksdb::Snapshot* snapshot,
                         std::string_view first, std::string_view end, const KvVisitor& visit) {
  const rocksdb::Slice upper = slice(end);
  rocksdb::ReadOptions options;
  options.snapshot = snapshot;
  options.fill_cache = false;  // one pass over everything must not evict what is read often
  if (!end.empty()) options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> row(opened.database->NewIterator(options, family));
  size_t visited = 0;
  for (row->Seek(slice(first)); row->Valid() && visited < kRowsReadInPlace; row->Next()) {
    if (!visit(view(row->key()), view(row->value()))) return {};
    ++visited;
  }
  if (row->Valid() && !scan_ahead(*row, visit)) return {};
  if (!row->status().ok()) return std::unexpected(to_error(row->status(), "scan its rows"));
  return {};
}

// The keys kept apart stand between two parts of the others. `snapshot`: null is now.
Result<void> scan_all(const Opened& opened, const rocksdb::Snapshot* snapshot,
                      std::string_view first, std::string_view end, const KvVisitor& visit) {
  static constexpr std::string_view kApartFirst(&kApartTable, 1);
  static constexpr char kApartNext = kApartTable + 1;
  static constexpr std::string_view kApartEnd(&kApartNext, 1);
  bool more = true;
  const KvVisitor watched = [&](std::string_view key, std::string_view value) {
    more = visit(key, value);
    return more;
  };
  const auto part = [&](Family* family, std::string_view from, std::string_view to) {
    const std::string_view low = std::max(first, from);
    const std::string_view high = end.empty() || (!to.empty() && to < end) ? to : end;
    if (!more || (!high.empty() && low >= high)) return Result<void>();
    return scan_family(opened, family, snapshot, low, high, watched);
  };
  if (auto done = part(opened.rows, {}, kApartFirst); !done) return done;
  if (auto done = part(opened.apart, kApartFirst, kApartEnd); !done) return done;
  return part(opened.rows, kApartEnd, {});
}

// Shares the database with its store: whichever goes last closes it.
class RocksdbView final : public KvView {
 public:
  explicit RocksdbView(std::shared_ptr<Opened> opened)
      : opened_(std::move(opened)), snapshot_(opened_->database->GetSnapshot()) {}
  ~RocksdbView() override { opened_->database->ReleaseSnapshot(snapshot_); }
  RocksdbView(const RocksdbView&) = delete;
  RocksdbView& operator=(const RocksdbView&) = delete;

  Result<std::optional<std::string>> get(std::string_view key) const override {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot_;
    return read(*opened_, options, key);
  }
  Result<void> scan(std::string_view first, std::string_view end,
                    const KvVisitor& visit) const override {
    return scan_all(*opened_, snapshot_, first, end, visit);
  }

 private:
  const std::shared_ptr<Opened> opened_;
  const rocksdb::Snapshot* snapshot_;
};

class RocksdbStore final : public KvStore {
 public:
  explicit RocksdbStore(std::shared_ptr<Opened> opened) : opened_(std::move(opened)) {
    write_options_.disableWAL = true;  // the replicated log is the write-ahead log
  }
  Result<void> write(const WriteBatch& batch) override {
    batch_.Clear();
    for (const WriteBatch::Operation& operation : batch.operations()) {
      const std::string_view key = batch.key(operation);
      Family* family = key.starts_with(kApartTable) ? opened_->apart : opened_->rows;
      const rocksdb::Status added = operation.remove
                                        ? batch_.Delete(family, slice(key))
                                        : batch_.Put(family, slice(key), slice(operation.value));
      CHECK(added.ok(), "a batch in memory takes every row");
    }
    // Of this thread. Its counters, which nobody reads, are touched for every comparison of keys.
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
    const rocksdb::Status status = opened_->database->Write(write_options_, &batch_);
    if (!status.ok()) return std::unexpected(to_error(status, "take a batch"));
    return {};
  }

  Result<std::optional<std::string>> get(std::string_view key) const override {
    return read(*opened_, rocksdb::ReadOptions(), key);
  }

  Result<void> scan(std::string_view first, std::string_view end,
                    const Visitor& visit) const override {
    return scan_all(*opened_, nullptr, first, end, visit);
  }

  std::unique_ptr<const KvView> view() const override {
    return std::make_unique<RocksdbView>(opened_);
  }

  Result<std::optional<std::string>> durable_value(std::string_view key) const override {
    rocksdb::ReadOptions options;
    options.read_tier = rocksdb::kPersistedTier;  // without a log of its own: tables only
    return read(*opened_, options, key);
  }

  void start_flush() override {
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;  // otherwise the call itself would wait
    // A failure is remembered by the database: the next write() reports it.
    opened_->database->Flush(options, {opened_->rows, opened_->apart}).PermitUncheckedError();
  }

  Result<void> checkpoint(const std::string& directory) override {
    rocksdb::Checkpoint* raw = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(opened_->database.get(), &raw);
    const std::unique_ptr<rocksdb::Checkpoint> maker(raw);
    // 0: flush first, since there is no log to copy the newest rows from.
    if (status.ok()) status = maker->CreateCheckpoint(directory, 0);
    if (!status.ok()) return std::unexpected(to_error(status, "make a checkpoint"));
    return {};
  }

  Result<std::optional<std::string>> value_in_checkpoint(const std::string& directory,
                                                         std::string_view key) const override {
    Opened copy;
    const rocksdb::Status status = open_families(make_options(), directory, true, copy);
    if (!status.ok()) return std::unexpected(to_error(status, "open its own checkpoint"));
    return read(copy, rocksdb::ReadOptions(), key);
  }

  Result<uint64_t> verify_next(std::string& place) const override {
    std::vector<rocksdb::LiveFileMetaData> files;
    opened_->database->GetLiveFilesMetaData(&files);
    const rocksdb::LiveFileMetaData* next = nullptr;
    for (const rocksdb::LiveFileMetaData& file : files) {
      if (file.name > place && (next == nullptr || file.name < next->name)) next = &file;
    }
    if (next == nullptr) {
      place.clear();
      return uint64_t{0};
    }
    place = next->name;
    const std::string path = next->db_path + next->name;
    rocksdb::SstFileReader reader(make_options());
    rocksdb::Status status = reader.Open(path);
    if (status.ok()) status = reader.VerifyChecksum();
    // A compaction may have replaced it meanwhile.
    const bool gone = !status.ok() && opened_->database->GetEnv()->FileExists(path).IsNotFound();
    if (!status.ok() && !gone) return std::unexpected(to_error(status, "verify " + path));
    return uint64_t{next->size};
  }

  Result<void> compact() override {
    rocksdb::FlushOptions flush;
    flush.allow_write_stall = true;
    rocksdb::Status status = opened_->database->Flush(flush, {opened_->rows, opened_->apart});
    rocksdb::CompactRangeOptions options;
    options.exclusive_manual_compaction = false;  // the background work of writes goes on
    options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
    for (Family* family : {opened_->rows, opened_->apart}) {
      if (status.ok()) status = opened_->database->CompactRange(options, family, nullptr, nullptr);
    }
    if (!status.ok()) return std::unexpected(to_error(status, "compact its files"));
    return {};
  }

  uint64_t approximate_bytes() const override {
    uint64_t tables = 0;
    uint64_t buffers = 0;
    opened_->database->GetAggregatedIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize,
                                                &tables);
    opened_->database->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables,
                                                &buffers);
    return tables + buffers;
  }

 private:
  const std::shared_ptr<Opened> opened_;
  rocksdb::WriteOptions write_options_;
  rocksdb::WriteBatch batch_;
};

}  // namespace

Result<std::unique_ptr<KvStore>> open_rocksdb_store(const std::string& directory) {
  rocksdb::Options options = make_options();
  options.create_if_missing = true;
  options.avoid_flush_during_shutdown = true;
  const rocksdb::Status made = options.env->CreateDirIfMissing(directory);
  if (!made.ok()) return std::unexpected(to_error(made, "make its directory " + directory));
  options.create_missing_column_families = true;
  auto opened = std::make_shared<Opened>();
  const rocksdb::Status status = open_families(options, directory, false, *opened);
  if (!status.ok()) return std::unexpected(to_error(status, "open " + directory));
  return std::unique_ptr<KvStore>(std::make_unique<RocksdbStore>(std::move(opened)));
}

}  // namespace quorate::storage
