// The ordered store on RocksDB, tuned for rows that arrive in key order: revisions only grow.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include <cstdarg>

#include "base/check.h"
#include "storage/kv/kv_store.h"

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
  options.max_bgerror_resume_count = 0;  // after a failed sync: stop, never try again
  options.info_log = std::make_shared<SilentLogger>();
  options.max_manifest_file_size = size_t{16} << 20U;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(kBlockCacheBytes);
  table.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view view(const rocksdb::Slice& text) { return {text.data(), text.size()}; }

Result<std::optional<std::string>> read(rocksdb::DB& database, const rocksdb::ReadOptions& options,
                                        std::string_view key) {
  std::string value;
  const rocksdb::Status status = database.Get(options, slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  if (!status.ok()) return std::unexpected(to_error(status, "read a row"));
  return std::optional<std::string>(std::move(value));
}

class RocksdbStore final : public KvStore {
 public:
  explicit RocksdbStore(std::unique_ptr<rocksdb::DB> database) : database_(std::move(database)) {
    write_options_.disableWAL = true;  // the replicated log is the write-ahead log
  }
  ~RocksdbStore() override {
    // Closing would flush the last rows first. What is not durable yet comes back from the log,
    // and a stop that equals a crash is one path less.
    const rocksdb::Status status = database_->Close();
    status.PermitUncheckedError();
  }

  Result<void> write(const WriteBatch& batch) override {
    batch_.Clear();
    for (const WriteBatch::Operation& operation : batch.operations()) {
      const rocksdb::Status added = operation.remove
                                        ? batch_.Delete(slice(operation.key))
                                        : batch_.Put(slice(operation.key), slice(operation.value));
      CHECK(added.ok(), "a batch in memory takes every row");
    }
    const rocksdb::Status status = database_->Write(write_options_, &batch_);
    if (!status.ok()) return std::unexpected(to_error(status, "take a batch"));
    return {};
  }

  Result<std::optional<std::string>> get(std::string_view key) const override {
    return read(*database_, rocksdb::ReadOptions(), key);
  }

  Result<void> scan(std::string_view first, std::string_view end,
                    const Visitor& visit) const override {
    const rocksdb::Slice upper = slice(end);
    rocksdb::ReadOptions options;
    options.fill_cache = false;  // one pass over everything must not evict what is read often
    if (!end.empty()) options.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> row(database_->NewIterator(options));
    for (row->Seek(slice(first)); row->Valid(); row->Next()) {
      if (!visit(view(row->key()), view(row->value()))) return {};
    }
    if (!row->status().ok()) return std::unexpected(to_error(row->status(), "scan its rows"));
    return {};
  }

  Result<std::optional<std::string>> durable_value(std::string_view key) const override {
    rocksdb::ReadOptions options;
    options.read_tier = rocksdb::kPersistedTier;  // without a log of its own: tables only
    return read(*database_, options, key);
  }

  void start_flush() override {
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;  // otherwise the call itself would wait
    // A failure is remembered by the database: the next write() reports it.
    const rocksdb::Status status = database_->Flush(options);
    status.PermitUncheckedError();
  }

  Result<void> checkpoint(const std::string& directory) override {
    rocksdb::Checkpoint* raw = nullptr;
    rocksdb::Status status = rocksdb::Checkpoint::Create(database_.get(), &raw);
    const std::unique_ptr<rocksdb::Checkpoint> maker(raw);
    // 0: flush first, since there is no log to copy the newest rows from.
    if (status.ok()) status = maker->CreateCheckpoint(directory, 0);
    if (!status.ok()) return std::unexpected(to_error(status, "make a checkpoint"));
    return {};
  }

  Result<std::optional<std::string>> value_in_checkpoint(const std::string& directory,
                                                         std::string_view key) const override {
    rocksdb::DB* raw = nullptr;
    const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(make_options(), directory, &raw);
    const std::unique_ptr<rocksdb::DB> copy(raw);
    if (!status.ok()) return std::unexpected(to_error(status, "open its own checkpoint"));
    return read(*copy, rocksdb::ReadOptions(), key);
  }

  uint64_t approximate_bytes() const override {
    uint64_t tables = 0;
    uint64_t buffers = 0;
    database_->GetIntProperty(rocksdb::DB::Properties::kTotalSstFilesSize, &tables);
    database_->GetIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &buffers);
    return tables + buffers;
  }

 private:
  std::unique_ptr<rocksdb::DB> database_;
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
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(options, directory, &raw);
  if (!status.ok()) return std::unexpected(to_error(status, "open " + directory));
  return std::unique_ptr<KvStore>(
      std::make_unique<RocksdbStore>(std::unique_ptr<rocksdb::DB>(raw)));
}

}  // namespace quorate::storage
