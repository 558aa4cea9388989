// The ordered store as a map, for the simulator: no threads, and a crash loses what it should.
#include <algorithm>
#include <map>
#include <mutex>

#include "base/check.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "storage/kv/kv_store.h"

namespace quorate::storage {

namespace {

using Rows = std::map<std::string, std::string, std::less<>>;

constexpr uint32_t kImageMagic = 0x324d5651;  // "QVM2"
constexpr const char* kImageName = "/image";
constexpr const char* kFreshName = "/image.new";
constexpr std::string_view kChangesPrefix = "changes-";
// Changes are appended until they outweigh the image; a small store is written whole at times
// anyway, so that both ways are exercised.
constexpr uint64_t kChangesBytesMin = uint64_t{16} << 10U;

struct Image {
  Rows rows;
  uint64_t generation = 0;     // names the file of changes that belongs to it
  uint64_t bytes = 0;          // of the image
  uint64_t changes_bytes = 0;  // valid ones
};

std::span<const uint8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string changes_path(const std::string& directory, uint64_t generation) {
  return directory + "/" + std::string(kChangesPrefix) + std::to_string(generation);
}

std::string encode_image(const Rows& rows, uint64_t generation) {
  Encoder encoder;
  encoder.u32(kImageMagic);
  encoder.u64(generation);
  encoder.varint(rows.size());
  for (const auto& [key, value] : rows) {
    encoder.string(key);
    encoder.string(value);
  }
  encoder.u32(crc32c(encoder.text()));
  return std::move(encoder.text());
}

// One flush: its size, its checksum, then the operations in order.
std::string encode_changes(const WriteBatch& changes) {
  Encoder body;
  for (const WriteBatch::Operation& operation : changes.operations()) {
    body.u8(operation.remove ? 1 : 0);
    body.string(changes.key(operation));
    if (!operation.remove) body.string(operation.value);
  }
  Encoder record;
  record.u32(static_cast<uint32_t>(body.size()));
  record.u32(crc32c(body.text()));
  record.raw(body.text());
  return std::move(record.text());
}

std::unexpected<Error> damaged(const std::string& directory) {
  return fail(ErrorKind::corrupt, "The row store's image in " + directory +
                                      " is damaged: its bytes are not those written. Replace "
                                      "the member, or restore it from a snapshot.");
}

bool decode_image(std::string_view text, Image& image) {
  if (text.size() < 8) return false;
  const std::string_view body = text.substr(0, text.size() - 4);
  Decoder trailer(text.substr(body.size()));
  if (trailer.u32() != crc32c(body)) return false;
  Decoder decoder(body);
  if (decoder.u32() != kImageMagic) return false;
  image.generation = decoder.u64();
  for (uint64_t left = decoder.varint(); left > 0 && decoder.ok(); --left) {
    const std::string_view key = decoder.string();
    image.rows.emplace_hint(image.rows.end(), key, decoder.string());
  }
  image.bytes = text.size();
  return decoder.finished();
}

// Up to the first flush that is not whole: a crash may have left it so, and the log brings back
// what it held.
void apply_changes(std::string_view text, Image& image) {
  Decoder decoder(text);
  while (decoder.remaining() > 8) {
    const uint32_t size = decoder.u32();
    const uint32_t checksum = decoder.u32();
    const std::string_view body = decoder.raw(size);
    if (!decoder.ok() || size == 0 || crc32c(body) != checksum) return;
    Decoder operations(body);
    while (operations.ok() && operations.remaining() > 0) {
      const bool remove = operations.u8() != 0;
      const std::string_view key = operations.string();
      if (remove) {
        image.rows.erase(std::string(key));
      } else {
        image.rows.insert_or_assign(std::string(key), std::string(operations.string()));
      }
    }
    image.changes_bytes = text.size() - decoder.remaining();
  }
}

Result<void> save(world::Disk& disk, const std::string& directory, const std::string& image) {
  if (auto made = disk.make_directory(directory); !made) return made;
  const std::string fresh = directory + kFreshName;
  if (disk.exists(fresh)) {  // left by a crash
    if (auto removed = disk.remove(fresh); !removed) return removed;
  }
  auto file = disk.open(fresh, world::OpenMode::create);
  if (!file) return std::unexpected(file.error());
  if (auto written = (*file)->write_at(0, bytes_of(image)); !written) return written;
  if (auto synced = (*file)->sync_data(); !synced) return synced;
  if (auto renamed = disk.rename(fresh, directory + kImageName); !renamed) return renamed;
  return disk.sync_directory(directory);
}

Result<std::string> read_whole(world::Disk& disk, const std::string& path) {
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return std::unexpected(file.error());
  const Result<uint64_t> size = (*file)->size();
  if (!size) return std::unexpected(size.error());
  std::string text(static_cast<size_t>(*size), '\0');
  const Result<size_t> got =
      (*file)->read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!got) return std::unexpected(got.error());
  text.resize(*got);
  return text;
}

Result<Image> load(world::Disk& disk, const std::string& directory) {
  Image image;
  const std::string path = directory + kImageName;
  if (!disk.exists(path)) return image;
  const Result<std::string> text = read_whole(disk, path);
  if (!text) return std::unexpected(text.error());
  if (!decode_image(*text, image)) return damaged(directory);
  const std::string beside = changes_path(directory, image.generation);
  if (!disk.exists(beside)) return image;
  const Result<std::string> changes = read_whole(disk, beside);
  if (!changes) return std::unexpected(changes.error());
  apply_changes(*changes, image);
  return image;
}

// A crash may have left the changes of an image that was replaced.
Result<void> remove_old_changes(world::Disk& disk, const std::string& directory,
                                uint64_t generation) {
  if (!disk.exists(directory)) return {};
  const auto names = disk.list(directory);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const std::string path = directory + "/" + name;
    if (!name.starts_with(kChangesPrefix) || path == changes_path(directory, generation)) continue;
    if (auto removed = disk.remove(path); !removed) return removed;
  }
  return {};
}

std::optional<std::string> find(const Rows& rows, std::string_view key) {
  const auto row = rows.find(key);
  if (row == rows.end()) return std::nullopt;
  return row->second;
}

Result<void> scan_rows(const Rows& rows, std::string_view first, std::string_view end,
                       const KvVisitor& visit) {
  for (auto row = rows.lower_bound(first); row != rows.end(); ++row) {
    if (!end.empty() && row->first >= end) break;
    if (!visit(row->first, row->second)) break;
  }
  return {};
}

class MemoryView final : public KvView {
 public:
  explicit MemoryView(Rows rows) : rows_(std::move(rows)) {}
  Result<std::optional<std::string>> get(std::string_view key) const override {
    return find(rows_, key);
  }
  Result<void> scan(std::string_view first, std::string_view end,
                    const KvVisitor& visit) const override {
    return scan_rows(rows_, first, end, visit);
  }

 private:
  const Rows rows_;
};

class MemoryStore final : public KvStore {
 public:
  MemoryStore(world::Disk& disk, std::string directory, Image image)
      : disk_(disk),
        directory_(std::move(directory)),
        generation_(image.generation),
        image_bytes_(image.bytes),
        changes_end_(image.changes_bytes),
        rows_(std::move(image.rows)),
        durable_(rows_) {
    for (const auto& [key, value] : rows_) bytes_ += key.size() + value.size();
  }

  Result<void> write(const WriteBatch& batch) override {
    const std::lock_guard guard(lock_);
    if (failure_) return std::unexpected(*failure_);
    for (const WriteBatch::Operation& operation : batch.operations()) {
      const std::string_view key = batch.key(operation);
      bytes_ += change(rows_, key, operation);
      if (operation.remove) {
        changed_.remove(key);
      } else {
        changed_.put(key, operation.value);
      }
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
    return scan_rows(rows_, first, end, visit);
  }

  std::unique_ptr<const KvView> view() const override {
    const std::lock_guard guard(lock_);
    return std::make_unique<MemoryView>(rows_);
  }

  Result<std::optional<std::string>> durable_value(std::string_view key) const override {
    const std::lock_guard guard(lock_);
    return find(durable_, key);
  }

  void start_flush() override {
    const std::lock_guard guard(lock_);
    if (failure_ || changed_.empty()) return;
    if (const auto saved = flush(); !saved) {
      failure_ = saved.error();  // the next write() reports it, as RocksDB does
      return;
    }
    for (const WriteBatch::Operation& operation : changed_.operations()) {
      change(durable_, changed_.key(operation), operation);
    }
    changed_.clear();
  }

  Result<void> checkpoint(const std::string& directory) override {
    const std::lock_guard guard(lock_);
    if (disk_.exists(directory)) {
      return fail(ErrorKind::conflict, "A checkpoint cannot be made in " + directory +
                                           ": it is there already. Remove it first.");
    }
    return save(disk_, directory, encode_image(rows_, 1));
  }

  Result<std::optional<std::string>> value_in_checkpoint(const std::string& directory,
                                                         std::string_view key) const override {
    const Result<Image> image = load(disk_, directory);
    if (!image) return std::unexpected(image.error());
    return find(image->rows, key);
  }

  Result<uint64_t> verify_next(std::string& place) const override {
    place.clear();
    const std::lock_guard guard(lock_);
    const auto stored = load(disk_, directory_);
    if (!stored) return std::unexpected(stored.error());
    if (stored->bytes != image_bytes_ || stored->changes_bytes < changes_end_) {
      return damaged(directory_);
    }
    return stored->bytes + stored->changes_bytes;
  }

  uint64_t approximate_bytes() const override {
    const std::lock_guard guard(lock_);
    return bytes_;
  }

 private:
  // By how much the rows grew.
  static uint64_t change(Rows& rows, std::string_view key, const WriteBatch::Operation& operation) {
    const auto row = rows.lower_bound(key);
    const bool present = row != rows.end() && row->first == key;
    uint64_t grown = 0;
    if (present) grown -= key.size() + row->second.size();
    if (!operation.remove) grown += key.size() + operation.value.size();
    if (!present && !operation.remove) {
      rows.emplace_hint(row, key, operation.value);
    } else if (present && operation.remove) {
      rows.erase(row);
    } else if (present) {
      row->second = operation.value;
    }
    return grown;
  }

  Result<void> flush() {
    const uint64_t room = std::max(kChangesBytesMin, image_bytes_);
    return generation_ == 0 || changes_end_ > room ? write_image() : append_changes();
  }

  // What an earlier file of changes holds is in the image: its name says that it is of no use.
  Result<void> write_image() {
    const std::string image = encode_image(rows_, generation_ + 1);
    changes_.reset();
    if (auto saved = save(disk_, directory_, image); !saved) return saved;
    const std::string old = changes_path(directory_, generation_);
    ++generation_;
    image_bytes_ = image.size();
    changes_end_ = 0;
    if (!disk_.exists(old)) return {};
    return disk_.remove(old);
  }

  Result<void> append_changes() {
    if (changes_ == nullptr) {
      const std::string path = changes_path(directory_, generation_);
      const bool present = disk_.exists(path);
      auto file = disk_.open(path, present ? world::OpenMode::read_write : world::OpenMode::create);
      if (!file) return std::unexpected(file.error());
      changes_ = std::move(*file);
      // Behind what is valid a crash may have left the beginning of a flush.
      if (auto cut = changes_->truncate(changes_end_); !cut) return cut;
      if (auto synced = disk_.sync_directory(directory_); !synced) return synced;
    }
    const std::string record = encode_changes(changed_);
    if (auto written = changes_->write_at(changes_end_, bytes_of(record)); !written) {
      return written;
    }
    changes_end_ += record.size();
    return changes_->sync_data();
  }

  world::Disk& disk_;
  const std::string directory_;
  mutable std::mutex lock_;  // a checkpoint may come from another thread
  uint64_t generation_;
  uint64_t image_bytes_;
  uint64_t changes_end_;
  std::unique_ptr<world::File> changes_;
  Rows rows_;
  uint64_t bytes_ = 0;
  Rows durable_;        // what load() would give now
  WriteBatch changed_;  // since then
  std::optional<Error> failure_;
};

}  // namespace

Result<std::unique_ptr<KvStore>> open_memory_store(world::Disk& disk,
                                                   const std::string& directory) {
  Result<Image> image = load(disk, directory);
  if (!image) return std::unexpected(image.error());
  if (auto removed = remove_old_changes(disk, directory, image->generation); !removed) {
    return std::unexpected(removed.error());
  }
  return std::unique_ptr<KvStore>(
      std::make_unique<MemoryStore>(disk, directory, std::move(*image)));
}

}  // namespace quorate::storage
