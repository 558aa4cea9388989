// storage/wal/segment.h: a segment file, and the batches the log lane writes into it.
//
// The node's thread fills in a Batch, the lane writes it with one write and one sync, and the
// node's thread reads the outcome: at no time do both touch it, except that the node's thread
// may read the queued writes. A batch never crosses segments.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consensus/replicated_log.h"
#include "storage/wal/segment_format.h"
#include "world/disk.h"

namespace quorate::storage::wal {

struct Segment {
  std::string path;
  std::unique_ptr<world::File> file;  // null until first used
  uint64_t generation = 0;
  uint64_t filled = 0;       // bytes the file has: overwriting them changes no metadata
  uint64_t end = 0;          // where its records end, once the log goes on in another; 0: unknown
  bool header_lost = false;  // it has records, but its first page is damaged
};

// A segment that is new to the disk grows by this much at a time, so that neither a first start
// nor any single batch waits for a whole segment of zeros.
inline constexpr uint64_t kFillBytes = uint64_t{1} << 20U;

struct Batch {
  struct Item {
    GroupId group;
    consensus::Write write;
    bool keep_rest = false;
    std::vector<Position> positions;  // of its entries, once written
  };
  struct Rotation {  // the batch opens a segment
    uint64_t oldest_needed = 0;
    uint64_t previous = 0;
    uint64_t previous_end = 0;
    bool create = false;
  };

  std::vector<Item> items;  // none: a seal
  std::string told;         // encoded: how things stand before this batch
  std::shared_ptr<Segment> segment;
  std::optional<Rotation> rotation;
  uint64_t begin = 0;         // offset in the segment
  uint64_t first_number = 0;  // of its first record
  uint64_t segment_bytes = 0;

  // The outcome.
  uint64_t end = 0;
  uint64_t records = 0;
  uint64_t bytes_written = 0;
  std::optional<Error> error;
};

// Lives on the log lane.
class BatchWriter {
 public:
  BatchWriter(world::Disk& disk, std::string directory)
      : disk_(disk), directory_(std::move(directory)) {}
  void write(Batch& batch);

 private:
  Result<void> open_segment(const Batch& batch);
  void encode(Batch& batch);

  world::Disk& disk_;
  std::string directory_;
  Encoder buffer_;  // kept between batches
};

// Opens or creates the file and makes its generation durable before any record carries it.
Result<void> begin_segment(world::Disk& disk, const std::string& directory, Segment& segment,
                           bool create);
// One more piece of zeros for a segment not yet in use; false when it has them all.
Result<bool> fill_segment(Segment& segment, uint64_t segment_bytes);

// Adds what a person can do about it.
Error explain(const Error& error, const std::string& what);

}  // namespace quorate::storage::wal
