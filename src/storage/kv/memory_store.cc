// The ordered store as a map, for the simulator: no threads, and a crash loses what it should.
#include <map>
#include <mutex>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "storage/kv/kv_store.h"

namespace quorate::storage {

namespace {

using Rows = std::map<std::string, std::string, std::less<>>;

constexpr uint32_t kImageMagic = 0x314d5651;  // "QVM1"
constexpr const char* kImageName = "/image";
constexpr const char* kFreshName = "/image.new";

std::string encode_image(const Rows& rows) {
  Encoder encoder;
  encoder.u32(kImageMagic);
  encoder.varint(rows.size());
  for (const auto& [key, value] : rows) {
    encoder.string(key);
    encoder.string(value);
  }
  encoder.u32(crc32c(encoder.text()));
  return std::move(encoder.text());
}

std::unexpected<Error> damaged(const std::string& directory) {
  return fail(ErrorKind::corrupt, "The row store's image in " + directory +
                                      " is damaged: its bytes are not those written. Replace "
                                      "the member, or restore it from a snapshot.");
}

Result<Rows> decode_image(std::string_view text, const std::string& directory) {
  if (text.size() < 8) return damaged(directory);
  const std::string_view body = text.substr(0, text.size() - 4);
  Decoder trailer(text.substr(body.size()));
  if (trailer.u32() != crc32c(body)) return damaged(directory);
  Decoder decoder(body);
  if (decoder.u32() != kImageMagic) return damaged(directory);
  Rows rows;
  for (uint64_t left = decoder.varint(); left > 0 && decoder.ok(); --left) {
    const std::string_view key = decoder.string();
    rows.emplace_hint(rows.end(), key, decoder.string());
  }
  if (!decoder.finished()) return damaged(directory);
  return rows;
}

Result<void> save(world::Disk& disk, const std::string& directory, const Rows& rows) {
  if (auto made = disk.make_directory(directory); !made) return made;
  const std::string fresh = directory + kFreshName;
  if (disk.exists(fresh)) {  // left by a crash
    if (auto removed = disk.remove(fresh); !removed) return removed;
  }
  auto file = disk.open(fresh, world::OpenMode::create);
  if (!file) return std::unexpected(file.error());
  const std::string image = encode_image(rows);
  const auto* bytes = reinterpret_cast<const uint8_t*>(image.data());
  if (auto written = (*file)->write_at(0, {bytes, image.size()}); !written) return written;
  if (auto synced = (*file)->sync_data(); !synced) return synced;
  if (auto renamed = disk.rename(fresh, directory + kImageName); !renamed) return renamed;
  return disk.sync_directory(directory);
}

Result<Rows> load(world::Disk& disk, const std::string& directory) {
  const std::string path = directory + kImageName;
  if (!disk.exists(path)) return Rows();
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return std::unexpected(file.error());
  const Result<uint64_t> size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  std::string text(static_cast<size_t>(*size), '\0');
  const Result<size_t> got =
      (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!got) return std::unexpected(got.error());
  if (*got != text.size()) return damaged(directory);
  return decode_image(text, directory);
}

std::optional<std::string> find(const Rows& rows, std::string_view key) {
  const auto row = rows.find(key);
  if (row == rows.end()) return std::nullopt;
  return row->second;
}

class MemoryStore final : public KvStore {
 public:
  MemoryStore(world::Disk& disk, std::string directory, Rows rows)
      : disk_(disk), directory_(std::move(directory)), rows_(std::move(rows)), durable_(rows_) {}

  Result<void> write(const WriteBatch& batch) override {
    const std::lock_guard guard(lock_);
    if (failure_) return std::unexpected(*failure_);
    for (const WriteBatch::Operation& operation : batch.operations()) {
      if (operation.remove) {
        rows_.erase(operation.key);
      } else {
        rows_.insert_or_assign(operation.key, operation.value);
      }
      changed_.push_back(operation);
    }
    return {};
  }

  Result<std::optional<std::string>> get(std::string_view key) const override {
    const std::lock_guard guard(lock_);
    return find(rows_, key);
  }

  Result<void> scan(std::string_view first, std::string_view end,
                    const Visitor& visit) const override {
    const std::lock_guard guard(lock_);
    for (auto row = rows_.lower_bound(first); row != rows_.end(); ++row) {
      if (!end.empty() && row->first >= end) break;
      if (!visit(row->first, row->second)) break;
    }
    return {};
  }

  Result<std::optional<std::string>> durable_value(std::string_view key) const override {
    const std::lock_guard guard(lock_);
    return find(durable_, key);
  }

  void start_flush() override {
    const std::lock_guard guard(lock_);
    if (failure_ || changed_.empty()) return;
    if (const auto saved = save(disk_, directory_, rows_); !saved) {
      failure_ = saved.error();  // the next write() reports it, as RocksDB does
      return;
    }
    for (const WriteBatch::Operation& operation : changed_) {
      if (operation.remove) {
        durable_.erase(operation.key);
      } else {
        durable_.insert_or_assign(operation.key, operation.value);
      }
    }
    changed_.clear();
  }

  Result<void> checkpoint(const std::string& directory) override {
    const std::lock_guard guard(lock_);
    if (disk_.exists(directory)) {
      return fail(ErrorKind::conflict, "A checkpoint cannot be made in " + directory +
                                           ": it is there already. Remove it first.");
    }
    return save(disk_, directory, rows_);
  }

  Result<std::optional<std::string>> value_in_checkpoint(const std::string& directory,
                                                         std::string_view key) const override {
    const Result<Rows> rows = load(disk_, directory);
    if (!rows) return std::unexpected(rows.error());
    return find(*rows, key);
  }

  uint64_t approximate_bytes() const override {
    const std::lock_guard guard(lock_);
    uint64_t bytes = 0;
    for (const auto& [key, value] : rows_) bytes += key.size() + value.size();
    return bytes;
  }

 private:
  world::Disk& disk_;
  const std::string directory_;
  mutable std::mutex lock_;  // a checkpoint may come from another thread
  Rows rows_;
  Rows durable_;                                // what load() would give now
  std::vector<WriteBatch::Operation> changed_;  // since then
  std::optional<Error> failure_;
};

}  // namespace

Result<std::unique_ptr<KvStore>> open_memory_store(world::Disk& disk,
                                                   const std::string& directory) {
  Result<Rows> rows = load(disk, directory);
  if (!rows) return std::unexpected(rows.error());
  return std::unique_ptr<KvStore>(std::make_unique<MemoryStore>(disk, directory, std::move(*rows)));
}

}  // namespace quorate::storage
