// storage/wal/entry_reader.h: entries read back from segments by their positions.
//
// What comes back is what was written, or an error: each entry's checksum must be right, be the
// one remembered for this position, and the entry must have the index asked for.
#pragma once

#include <memory>
#include <vector>

#include "storage/wal/segment.h"

namespace quorate::storage::wal {

struct EntryPlace {
  Index index;
  Position position;
  std::shared_ptr<Segment> segment;  // kept from being recycled while the read lasts
};

// In the order asked. Blocks.
Result<std::vector<consensus::Entry>> read_entries(const std::vector<EntryPlace>& places);

}  // namespace quorate::storage::wal
