// storage/wal/entry_reader.h: entries read back from segments by their positions.
//
// What comes back is what was written, up to the first that is lost: each entry's checksum must
// be right, be the one remembered for this position, and the entry must have the index asked for.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/wal/segment.h"

namespace quorate::storage::wal {

struct EntryPlace {
  Index index;
  Position position;
  std::shared_ptr<Segment> segment;  // kept from being recycled while the read lasts
};

struct EntriesRead {
  std::vector<consensus::Entry> entries;  // in the order asked
  std::optional<EntryPlace> damaged;      // the first that is lost
  std::string why;                        // names file and offset
};

// Blocks.
EntriesRead read_entries(const std::vector<EntryPlace>& places);

}  // namespace quorate::storage::wal
