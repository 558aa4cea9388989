// storage/bolt/reader.h: the rows of etcd's database file, every byte taken as hostile.
//
// A page counts only if everything said about it agrees: where it lies, what it calls itself, how
// its parent named it, the order of its keys. A file that is cut short, patched together or made
// to harm gives an error that names the place; it never makes the reader go in circles, look
// outside of the file or hold more than one way from the root to a leaf. What it cannot know is
// whether a row says what it said when it was written: a bolt file has no checksum of its pages.
// That is what the digest of a snapshot is for (snapshot_digest.h).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storage/bolt/page.h"
#include "world/disk.h"

namespace quorate::storage::bolt {

// A value may be as large as a request, and one page has two of them at least; requests of
// hundreds of megabytes are not what etcd is run with.
inline constexpr uint64_t kPageRunBytesMax = uint64_t{512} << 20U;
// etcd has a dozen.
inline constexpr size_t kBucketsMax = 1024;
// Pages of 1 KiB with the longest keys in all of a 64-bit file would need more; no file has it.
inline constexpr int kDepthMax = 32;

class Reader {
 public:
  // Return false to stop.
  using Visitor = std::function<bool(std::string_view key, std::string_view value)>;

  // `file` outlives the reader. `name` is for errors. `bytes`: how much of the file is database.
  static Result<Reader> open(world::File& file, const std::string& name, uint64_t bytes);

  std::vector<std::string> buckets() const;  // in the order of their names
  bool has(std::string_view bucket) const { return buckets_.contains(bucket); }
  // In the order of the keys; a bucket that is not there has no rows.
  Result<void> scan(std::string_view bucket, const Visitor& visit) const;
  const Meta& meta() const { return meta_; }

 private:
  struct Bucket {
    uint64_t root = 0;
    std::string inlined;  // its only page, when it has none of its own
  };
  struct Walk;
  struct Place {
    uint64_t page = 0;
    int depth = 0;
    std::string_view expected;  // the first key, as the parent has it
    bool named = false;         // there is a parent
  };

  Reader(world::File& file, std::string name) : file_(&file), name_(std::move(name)) {}
  Result<void> load_meta(uint64_t bytes);
  Result<void> load_buckets();
  Result<std::string> read(uint64_t offset, uint64_t size) const;
  Result<std::string> read_page(uint64_t id) const;
  Result<void> walk(Walk& walk, const Place& place) const;
  Result<void> walk_leaf(Walk& walk, const Place& place, std::string_view page) const;
  Result<void> walk_branch(Walk& walk, const Place& place, std::string_view page) const;
  std::unexpected<Error> damaged(uint64_t page, const std::string& what) const;

  world::File* file_;
  std::string name_;
  Meta meta_;
  std::map<std::string, Bucket, std::less<>> buckets_;
};

}  // namespace quorate::storage::bolt
