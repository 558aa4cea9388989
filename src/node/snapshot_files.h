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

// How many chunks a file of that size takes.
uint64_t chunks_of(uint64_t size);

// Blocking; exactly `size` bytes or an error.
Result<Bytes> read_block(world::Disk& disk, const std::string& path, uint64_t offset, size_t size);

// Writes the chunks of one snapshot in the order in which they were read, and checks them. What an
// earlier process left of the very same snapshot is kept, as far as whole files go.
class SnapshotWriter {
 public:
  // `manifest`: any bytes that tell this snapshot from every other.
  SnapshotWriter(world::Disk& disk, std::string directory, std::vector<SnapshotFile> files,
                 Bytes manifest = {});

  // All blocking. After an error nothing may follow.
  Result<void> begin();                        // is the space enough? what is there already?
  uint64_t chunks() const { return chunks_; }  // written, those found by begin() included
  Result<void> write(uint64_t file, uint64_t offset, const Bytes& data);
  // Every byte came and every checksum fits; all durable under `final_path`.
  Result<void> finish(const std::string& parent, const std::string& final_path);

 private:
  Result<void> open_next();
  Result<void> close_current();
  Result<void> skip_to(uint64_t file);
  Result<void> start_empty();
  Result<void> adopt_leftover();
  std::string manifest_path() const { return directory_ + ".manifest"; }

  world::Disk& disk_;
  std::string directory_;
  std::vector<SnapshotFile> files_;
  Bytes manifest_;
  uint64_t chunks_ = 0;
  uint64_t file_ = 0;  // the one being written
  uint64_t offset_ = 0;
  uint32_t crc_ = 0;
  std::unique_ptr<world::File> open_;
};

}  // namespace quorate::node
