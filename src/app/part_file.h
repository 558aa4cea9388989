// app/part_file.h: a file that is there whole or not at all.
//
// It is written beside its name, as `<path>.part`, and takes the name when it is durable. What is
// not finished is removed, and what an earlier attempt left there is replaced.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "world/disk.h"

namespace quorate::app {

class PartFile {
 public:
  static Result<PartFile> create(world::Disk& disk, const std::string& path);
  PartFile(PartFile&&) = default;
  PartFile& operator=(PartFile&&) = delete;
  ~PartFile();

  Result<void> write(std::string_view bytes);  // behind what was written
  uint64_t bytes() const { return offset_; }
  // Durable and under its name. On an error the file is not there, but for one while its
  // directory is made durable: then a power cut may undo the name.
  Result<void> finish();

 private:
  PartFile(world::Disk& disk, std::string path, std::unique_ptr<world::File> file);

  world::Disk* disk_;
  std::string path_;
  std::unique_ptr<world::File> file_;  // null: finished, or moved from
  uint64_t offset_ = 0;
};

}  // namespace quorate::app
