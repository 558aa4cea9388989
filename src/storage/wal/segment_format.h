// storage/wal/segment_format.h: the bytes of a log segment (docs/formats/wal.md).
//
// A segment is a header page and then batches, each beginning on a page of its own, so that a
// write in progress never touches a page that an earlier sync has made durable. A record is
// believed only where it was meant to be: its checksum covers its bytes, the generation of its
// segment and its offset in it. Whatever is decoded here may be damaged or hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/codec.h"
#include "base/result.h"
#include "consensus/replicated_log.h"

namespace quorate::storage::wal {

// The unit the page cache and most disks write in: a whole page needs no reading before writing.
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr size_t kRecordHeaderBytes = 56;
inline constexpr uint64_t kRecordAlignment = 8;
// Offsets are kept in 32 bits; recovery loads one segment at a time into memory.
inline constexpr uint64_t kSegmentBytesMax = uint64_t{1} << 30U;
// Index numbers that may be missing between two entries (Paxos leaves holes). They cost memory.
inline constexpr uint64_t kHoleEntriesMax = uint64_t{1} << 16U;

constexpr uint64_t align_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

// The generation names one life of a segment file. It grows by every life in a directory and is
// never used twice, therefore it orders the segments as well.
std::string encode_segment_header(uint64_t generation);  // one page
// Empty when the page is no valid header; an error when its format is one we cannot read.
Result<std::optional<uint64_t>> decode_segment_header(std::string_view page);

enum class RecordType : uint8_t { checkpoint = 1, write = 2, seal = 3 };

struct RecordHeader {
  uint64_t generation = 0;
  uint64_t number = 0;  // one more than the record before it, through all segments
  GroupId group;
  WriteId write;
  uint32_t batch_begin = 0;  // where in the segment its batch begins
  uint32_t following = 0;    // records that follow in the same batch
  RecordType type = RecordType::write;
};

struct Record {
  RecordHeader header;
  std::string_view payload;
  uint64_t payload_offset = 0;
  uint64_t next = 0;  // where the next record is expected
};

// Makes room for a header; the payload is appended by the caller, then finish_record().
size_t begin_record(Encoder& out);
// `start` is what begin_record() returned, `offset` the place of the record in its segment.
void finish_record(Encoder& out, size_t start, const RecordHeader& header, uint64_t offset);
// The record of this generation at `offset`, or nothing if there is none that can be believed.
std::optional<Record> parse_record(std::string_view segment, uint64_t offset, uint64_t generation);
// In two steps, for a search: what has the looks of a record, of whatever generation, ...
std::optional<Record> sight_record(std::string_view segment, uint64_t offset);
// ... and whether its checksum is right, which costs a pass over it.
bool verify_record(std::string_view segment, uint64_t offset, const Record& record);

// Where an entry lies. Offset 0 (the header) means: nowhere.
struct Position {
  uint64_t generation = 0;
  uint32_t offset = 0;
  uint32_t size = 0;
  uint32_t checksum = 0;  // the entry's own; a read must find the same one
  explicit operator bool() const { return offset != 0; }
};

// `keep_rest`: for an installed snapshot, whether the log held its last entry when the write was
// queued. Recorded, because at recovery that entry may be in a segment long gone.
void encode_write(Encoder& out, const consensus::Write& write, bool keep_rest,
                  std::vector<std::pair<size_t, size_t>>* entry_ranges);
size_t encoded_write_size_max(const consensus::Write& write);
struct StoredWrite {
  consensus::Write write;  // entries borrow from the payload
  bool keep_rest = false;
  std::vector<Position> positions;  // of the entries
};
std::optional<StoredWrite> decode_write(const Record& record, const Bytes& segment);

// The first record of each segment: all that would otherwise have to be read from earlier ones.
struct CheckpointGroup {
  GroupId group;
  WriteId last_write;
  Index last;
  consensus::HardState hard_state;
  consensus::SnapshotMeta snapshot;
};
struct Checkpoint {
  uint64_t oldest_needed = 0;  // generation of the first segment that holds a live entry
  uint64_t previous = 0;       // generation of the segment before, 0 if none
  uint64_t previous_end = 0;   // where its valid records end; what lies behind never counts
  std::vector<CheckpointGroup> groups;
};
void encode_checkpoint(Encoder& out, const Checkpoint& checkpoint);
std::optional<Checkpoint> decode_checkpoint(std::string_view payload);

}  // namespace quorate::storage::wal
