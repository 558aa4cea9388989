#include "app/part_file.h"

#include <utility>

#include "app/output.h"

namespace quorate::app {
namespace {

std::string part_of(const std::string& path) { return path + ".part"; }

}  // namespace

PartFile::PartFile(world::Disk& disk, std::string path, std::unique_ptr<world::File> file)
    : disk_(&disk), path_(std::move(path)), file_(std::move(file)) {}

Result<PartFile> PartFile::create(world::Disk& disk, const std::string& path) {
  const std::string part = part_of(path);
  if (disk.exists(part)) {
    if (auto removed = disk.remove(part); !removed) return std::unexpected(removed.error());
  }
  auto file = disk.open(part, world::OpenMode::create);
  if (!file) return std::unexpected(file.error());
  return PartFile(disk, path, std::move(*file));
}

PartFile::~PartFile() {
  if (file_ == nullptr) return;
  const auto removed = disk_->remove(part_of(path_));
  if (!removed) complain(removed.error().text);
}

Result<void> PartFile::write(std::string_view bytes) {
  auto written =
      file_->write_at(offset_, {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  offset_ += bytes.size();
  return written;
}

Result<void> PartFile::finish() {
  if (auto synced = file_->sync_data(); !synced) return synced;
  if (auto renamed = disk_->rename(part_of(path_), path_); !renamed) return renamed;
  file_.reset();
  const size_t slash = path_.rfind('/');
  return disk_->sync_directory(slash == std::string::npos ? "." : path_.substr(0, slash + 1));
}

}  // namespace quorate::app
