// world/disk.h: files, as far as the log, the snapshots and the store's own bookkeeping need them.
//
// Calls block and belong on a disk lane (world/executor.h), except during start-up. Short reads,
// partial writes and EINTR are handled below this line. A failed sync means that the data's fate
// is unknown: callers stop the node, they never sync again and believe it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quorate::world {

class File {
 public:
  virtual ~File() = default;
  // Bytes read; fewer than asked only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, std::span<uint8_t> target) = 0;
  virtual Result<void> write_at(uint64_t offset, std::span<const uint8_t> data) = 0;
  virtual Result<void> sync_data() = 0;  // fdatasync: content, and size if it grew
  // Both: durable when it returns. A real disk may do it in one step, past the page cache, if
  // offset and size are multiples of 4 KiB.
  virtual Result<void> write_durably_at(uint64_t offset, std::span<const uint8_t> data) {
    if (auto written = write_at(offset, data); !written) return written;
    return sync_data();
  }
  virtual Result<uint64_t> size() = 0;
  virtual Result<void> truncate(uint64_t size) = 0;
};

// Held for the life of the object; a second holder, in any process, is refused.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

enum class OpenMode : uint8_t { read, read_write, create /* fails if present */ };

class Disk {
 public:
  virtual ~Disk() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  // Parents too; present: ok. What is made is durable by name: its parent is synced.
  virtual Result<void> make_directory(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;       // a file
  virtual Result<void> remove_tree(const std::string& path) = 0;  // absent: ok
  virtual Result<void> sync_directory(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;  // names, sorted
  virtual bool exists(const std::string& path) = 0;
  virtual Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) = 0;
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
};

}  // namespace quorate::world
