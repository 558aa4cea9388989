#include "node/snapshot_files.h"

#include <algorithm>
#include <set>

#include "base/crc32c.h"
#include "base/mutant.h"
#include "node/limits.h"

namespace quorate::node {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 20U;

Result<SnapshotFile> describe_file(world::Disk& disk, const std::string& directory,
                                   const std::string& name) {
  auto file = disk.open(directory + "/" + name, world::OpenMode::read);
  if (!file) return fail(file.error().kind, file.error().text);
  const auto size = (*file)->size();
  if (!size) return fail(size.error().kind, size.error().text);
  SnapshotFile result{name, *size, 0};
  std::vector<uint8_t> block(std::min<uint64_t>(*size, kBlockBytes));
  for (uint64_t offset = 0; offset < *size;) {
    const auto read = (*file)->read_at(offset, block);
    if (!read) return fail(read.error().kind, read.error().text);
    const uint64_t part = std::min<uint64_t>(*read, *size - offset);
    if (part == 0) return fail(ErrorKind::corrupt, directory + "/" + name + " became shorter");
    result.crc = crc32c(std::span<const uint8_t>(block.data(), part), result.crc);
    offset += part;
  }
  return result;
}

}  // namespace

bool is_safe_file_name(std::string_view name) {
  if (name.empty() || name.size() > kSnapshotNameBytesMax) return false;
  if (name == "." || name == "..") return false;
  return std::ranges::all_of(name, [](char letter) {
    return letter != '/' && letter != '\\' && static_cast<unsigned char>(letter) > ' ' &&
           static_cast<unsigned char>(letter) < 0x7f;
  });
}

Result<std::vector<SnapshotFile>> describe_files(world::Disk& disk, const std::string& directory) {
  const auto names = disk.list(directory);
  if (!names) return fail(names.error().kind, names.error().text);
  if (names->size() > kSnapshotFilesMax) {
    return fail(ErrorKind::invalid, directory + " holds more files than a snapshot may have");
  }
  std::vector<SnapshotFile> files;
  for (const std::string& name : *names) {
    auto file = describe_file(disk, directory, name);
    if (!file) return fail(file.error().kind, file.error().text);
    files.push_back(std::move(*file));
  }
  return files;
}

uint64_t chunks_of(uint64_t size) { return (size + kSnapshotChunkBytes - 1) / kSnapshotChunkBytes; }

Result<Bytes> read_block(world::Disk& disk, const std::string& path, uint64_t offset, size_t size) {
  auto file = disk.open(path, world::OpenMode::read);
  if (!file) return fail(file.error().kind, file.error().text);
  std::string text(size, '\0');
  const auto read =
      (*file)->read_at(offset, {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  if (!read) return fail(read.error().kind, read.error().text);
  if (*read != size) return fail(ErrorKind::corrupt, path + " became shorter");
  return Bytes::adopt(std::move(text));
}

SnapshotWriter::SnapshotWriter(world::Disk& disk, std::string directory,
                               std::vector<SnapshotFile> files, Bytes manifest)
    : disk_(disk),
      directory_(std::move(directory)),
      files_(std::move(files)),
      manifest_(std::move(manifest)) {}

Result<void> SnapshotWriter::begin() {
  std::set<std::string_view> names;
  uint64_t total = kSnapshotSpareBytes;
  for (const SnapshotFile& file : files_) {
    if (!is_safe_file_name(file.name) || !names.insert(file.name).second) {
      return fail(ErrorKind::invalid, "a peer's snapshot names a file that is not allowed");
    }
    if (total + file.size < total) return fail(ErrorKind::invalid, "a snapshot of absurd size");
    total += file.size;
  }
  const auto known = disk_.exists(manifest_path())
                         ? read_block(disk_, manifest_path(), 0, manifest_.size())
                         : Result<Bytes>(Bytes{});
  const bool leftover = !manifest_.empty() && known && *known == manifest_;
  if (auto ready = leftover ? adopt_leftover() : start_empty(); !ready) return ready;
  for (uint64_t done = 0; done < file_; ++done) total -= files_[done].size;
  const auto free = disk_.free_bytes(directory_);
  if (!free) return fail(free.error().kind, free.error().text);
  if (*free < total) {
    return fail(ErrorKind::no_space, "a peer's snapshot needs " + std::to_string(total) +
                                         " bytes in " + directory_ + " but only " +
                                         std::to_string(*free) + " are free");
  }
  return {};
}

Result<void> SnapshotWriter::start_empty() {
  if (auto removed = disk_.remove_tree(directory_); !removed) return removed;
  if (auto made = disk_.make_directory(directory_); !made) return made;
  if (disk_.exists(manifest_path())) {
    if (auto removed = disk_.remove(manifest_path()); !removed) return removed;
  }
  if (manifest_.empty()) return {};
  // Nothing depends on its being durable: every file it leads us to keep is read and compared.
  auto file = disk_.open(manifest_path(), world::OpenMode::create);
  if (!file) return fail(file.error().kind, file.error().text);
  return (*file)->write_at(0, manifest_.span());
}

// Whole files are kept; what was under way when the process ended is fetched again.
Result<void> SnapshotWriter::adopt_leftover() {
  if (auto made = disk_.make_directory(directory_); !made) return made;
  bool whole = true;
  for (const SnapshotFile& file : files_) {
    const std::string path = directory_ + "/" + file.name;
    const bool there = disk_.exists(path);
    if (whole && there) {
      const auto found = describe_file(disk_, directory_, file.name);
      whole = found && *found == file;
    } else {
      whole = false;
    }
    if (!whole) {
      if (!there) continue;
      if (auto removed = disk_.remove(path); !removed) return removed;
      continue;
    }
    // It may have been complete but not synced.
    auto kept = disk_.open(path, world::OpenMode::read_write);
    if (!kept) return fail(kept.error().kind, kept.error().text);
    if (auto synced = (*kept)->sync_data(); !synced) return synced;
    chunks_ += chunks_of(file.size);
    ++file_;
  }
  return {};
}

Result<void> SnapshotWriter::open_next() {
  auto file = disk_.open(directory_ + "/" + files_[file_].name, world::OpenMode::create);
  if (!file) return fail(file.error().kind, file.error().text);
  open_ = std::move(*file);
  offset_ = 0;
  crc_ = 0;
  return {};
}

Result<void> SnapshotWriter::close_current() {
  const SnapshotFile& file = files_[file_];
  if (offset_ != file.size || crc_ != file.crc) {
    return fail(ErrorKind::corrupt, "a peer's snapshot arrived damaged: " + file.name +
                                        " has another size or checksum than announced");
  }
  if (!QRT_MUTANT(M22_NODE)) {
    if (auto synced = open_->sync_data(); !synced) return synced;
  }
  open_.reset();
  ++file_;
  return {};
}

Result<void> SnapshotWriter::skip_to(uint64_t file) {
  if (file < file_ || file > files_.size()) {
    return fail(ErrorKind::invalid, "a peer's snapshot came out of order");
  }
  while (file_ < file) {
    if (open_ == nullptr) {
      if (auto opened = open_next(); !opened) return opened;
    }
    if (auto closed = close_current(); !closed) return closed;
  }
  return {};
}

Result<void> SnapshotWriter::write(uint64_t file, uint64_t offset, const Bytes& data) {
  if (auto skipped = skip_to(file); !skipped) return skipped;
  if (file_ == files_.size()) return fail(ErrorKind::invalid, "a chunk of no file");
  if (open_ == nullptr) {
    if (auto opened = open_next(); !opened) return opened;
  }
  if (offset != offset_ || data.size() > files_[file_].size - offset_) {
    return fail(ErrorKind::invalid, "a peer's snapshot came out of order");
  }
  if (auto written = open_->write_at(offset, data.span()); !written) return written;
  crc_ = crc32c(data.span(), crc_);
  offset_ += data.size();
  ++chunks_;
  return {};
}

Result<void> SnapshotWriter::finish(const std::string& parent, const std::string& final_path) {
  if (auto closed = skip_to(files_.size()); !closed) return closed;
  if (auto synced = disk_.sync_directory(directory_); !synced) return synced;
  if (auto removed = disk_.remove_tree(final_path); !removed) return removed;
  if (disk_.exists(manifest_path())) {
    if (auto removed = disk_.remove(manifest_path()); !removed) return removed;
  }
  if (auto renamed = disk_.rename(directory_, final_path); !renamed) return renamed;
  return disk_.sync_directory(parent);
}

}  // namespace quorate::node
