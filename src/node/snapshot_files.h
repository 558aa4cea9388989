// node/snapshot_files.h: the files of a checkpoint: names, sizes, checksums, blocks of bytes.
//
// A checkpoint directory is flat. Names that come from a peer are hostile: is_safe_file_name()
// says whether one stays inside its directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "node/wire.h"
#include "world/disk.h"

namespace quorate::node {

bool is_safe_file_name(std::string_view name);

// Reads every byte. Blocking.
Result<std::vector<SnapshotFile>> describe_files(world::Disk& disk, const std::string& directory);

// Blocking; exactly `size` bytes or an error.
Result<Bytes> read_block(world::Disk& disk, const std::string& path, uint64_t offset, size_t size);

// Writes the chunks of one snapshot in the order in which they were read, and checks them.
class SnapshotWriter {
 public:
  SnapshotWriter(world::Disk& disk, std::string directory, std::vector<SnapshotFile> files);

  // All blocking. After an error nothing may follow.
  Result<void> begin();  // an empty directory; enough space?
  Result<void> write(uint64_t file, uint64_t offset, const Bytes& data);
  // Every byte came and every checksum fits; all durable under `final_path`.
  Result<void> finish(const std::string& parent, const std::string& final_path);

 private:
  Result<void> open_next();
  Result<void> close_current();
  Result<void> skip_to(uint64_t file);

  world::Disk& disk_;
  std::string directory_;
  std::vector<SnapshotFile> files_;
  uint64_t file_ = 0;  // the one being written
  uint64_t offset_ = 0;
  uint32_t crc_ = 0;
  std::unique_ptr<world::File> open_;
};

}  // namespace quorate::node
