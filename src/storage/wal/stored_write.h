// storage/wal/stored_write.h: one write of the door as the payload of a record.
//
// In front, under the record's checksum: hard state, truncation, snapshot, and of each entry its
// index, ballot, kind, size and checksum. Behind it the entries themselves, as in peer messages.
// So damage to an entry loses that entry's content and nothing else.
#pragma once

#include <optional>
#include <vector>

#include "consensus/replicated_log.h"
#include "storage/wal/segment_format.h"

namespace quorate::storage::wal {

// Behind the part under the record's checksum lie the entries, then the repairs.
struct EncodedWrite {
  uint32_t front = 0;               // for the header
  std::vector<Position> positions;  // of the entries, then of the repairs; offsets in the payload
};
// `keep_rest`: for an installed snapshot, whether the log held its last entry when the write was
// queued. Recorded, because at recovery that entry may be in a segment long gone.
void encode_write(Encoder& out, const consensus::Write& write, bool keep_rest,
                  EncodedWrite& encoded);
size_t encoded_write_size_max(const consensus::Write& write);

struct StoredWrite {
  // Entries borrow from the payload. Of one that is damaged only index, ballot and whether it is
  // a `members` entry are known, and its position is null.
  consensus::Write write;
  bool keep_rest = false;
  std::vector<Position> positions;  // of the entries, then of the repairs
  std::vector<Position> lost;       // where the damaged ones lie
  bool whole = true;
};
// `record` was verified. Nothing: it makes no sense.
std::optional<StoredWrite> decode_write(const Record& record, const Bytes& segment);

}  // namespace quorate::storage::wal
