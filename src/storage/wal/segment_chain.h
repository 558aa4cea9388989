// storage/wal/segment_chain.h: which files of a directory make up the log, in which order.
//
// A segment's first record names the one before it and the oldest one still needed; every later
// batch of the segment repeats that. So a lost header page, a lost first record or a lost file
// in the middle leaves the rest of the chain known. Hostile until decoded.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/wal/segment.h"
#include "storage/wal/stored_state.h"

namespace quorate::storage::wal {

// The whole file, or its beginning. Pages that cannot be read come back as zeros.
Result<Bytes> load_segment(Segment& segment, uint64_t limit);

// Where a batch begins behind `damage` of which a record is valid: it was written only after the
// damaged bytes had been synced, so it proves that they are damaged and not torn.
std::optional<uint64_t> later_batch(std::string_view segment, uint64_t damage, uint64_t generation);
// Where the next batch begins, with records numbered from `number` on.
std::optional<uint64_t> next_batch(std::string_view segment, uint64_t behind, uint64_t limit,
                                   uint64_t generation, uint64_t number);
// What a record repeats of the log; nothing for a write, or an empty seal of format 1.
std::optional<StoredState> told_by(const Record& record);

// "log segment PATH is damaged at offset N: WHY"; for refusals and for the log.
std::string place_of(const Segment& segment, uint64_t offset, const std::string& why);
// The sentence that ends in what to do.
std::unexpected<Error> refuse_log(const std::string& what);

struct ChainLink {
  std::shared_ptr<Segment> segment;
  std::optional<uint64_t> end;  // as the segment behind it says; nothing for the last
  bool behind_gap = false;      // the segment before it is missing
};

class SegmentChain {
 public:
  SegmentChain(world::Disk& disk, const std::string& directory)
      : disk_(disk), directory_(directory) {}

  Result<void> find();
  std::vector<ChainLink> links;                // oldest first
  std::vector<std::shared_ptr<Segment>> free;  // files that the log does not need
  uint64_t generation_max = 0;                 // of any header or record seen
  uint64_t next_file = 1;
  std::vector<std::string> damage;

 private:
  struct Opening {
    std::optional<StoredState> told;  // nothing: it was begun, but does not say what is before it
    uint64_t number = 0;
  };

  Result<void> scan_file(const std::string& name, uint64_t number);
  Result<void> name_headless();
  Result<void> find_head();
  Result<void> follow();
  Result<std::optional<Opening>> opening_of(Segment& segment);
  Result<uint64_t> begun_before(uint64_t generation, uint64_t oldest);

  world::Disk& disk_;
  const std::string directory_;
  std::map<uint64_t, std::shared_ptr<Segment>> named_;  // by generation
  std::vector<std::shared_ptr<Segment>> headless_;
  std::map<uint64_t, Opening> openings_;
  uint64_t head_ = 0;
};

}  // namespace quorate::storage::wal
