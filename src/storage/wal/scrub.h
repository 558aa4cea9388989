// storage/wal/scrub.h: reading again what lies on the disk, to find rot while others still hold
// what it took.
//
// A part is read and checked as recovery would: records by their fronts, entries one by one.
// Pages that a sync has made durable are never written again, so a segment may be read while the
// log goes on in it. Invariant: what is found is what the next recovery would find.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "storage/wal/segment.h"

namespace quorate::storage::wal {

struct ScrubFinding {  // what lies here is lost
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string why;
};

struct ScrubPart {
  std::shared_ptr<Segment> segment;
  uint64_t generation = 0;
  uint64_t begin = 0;  // 0: with the header; otherwise where a record begins
  uint64_t limit = 0;  // records end here

  // The outcome.
  uint64_t next = 0;  // where the next part begins; `limit` or more: the segment is done
  uint64_t bytes = 0;
  std::vector<ScrubFinding> findings;
};

// Blocks.
void scrub(ScrubPart& part);

}  // namespace quorate::storage::wal
