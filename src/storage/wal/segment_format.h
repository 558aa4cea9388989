// storage/wal/segment_format.h: the bytes of a log segment (docs/formats/wal.md).
//
// A segment is a header page and then batches, each beginning on a page of its own, so that a
// write in progress never touches a page that an earlier sync has made durable. A record is
// believed only where it was meant to be: its checksum covers its front, the generation of its
// segment and its offset in it; the front names the entries behind it, each with a checksum of
// its own, so that one of them can be lost alone. Whatever is decoded here may be damaged or
// hostile. Format 1, in which the checksum covers the whole record, is still read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/codec.h"
#include "base/result.h"
#include "base/types.h"

namespace quorate::storage::wal {

// The unit the page cache and most disks write in: a whole page needs no reading before writing.
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr size_t kRecordHeaderBytes = 56;
inline constexpr uint64_t kRecordAlignment = 8;
// Where in a record's header its segment's generation stands.
inline constexpr uint64_t kRecordGenerationAt = 8;
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

enum class RecordType : uint8_t { checkpoint = 1, write = 2, seal = 3, state = 4 };
inline constexpr uint8_t kRecordFormat = 2;  // as written; 0 is what format 1 had there

struct RecordHeader {
  uint64_t generation = 0;
  uint64_t number = 0;  // one more than the record before it, through all segments
  GroupId group;
  WriteId write;
  uint32_t batch_begin = 0;  // where in the segment its batch begins
  uint32_t following = 0;    // records that follow in the same batch
  RecordType type = RecordType::write;
  uint8_t format = kRecordFormat;
  uint32_t front = 0;  // bytes of payload under the record's checksum; 0: all of it
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
// `base`: offset in the segment of the first byte of `bytes`.
std::optional<Record> parse_record(std::string_view bytes, uint64_t offset, uint64_t generation,
                                   uint64_t base = 0);
// In two steps, for a search: what has the looks of a record, of whatever generation, ...
std::optional<Record> sight_record(std::string_view bytes, uint64_t offset, uint64_t base = 0);
// ... and whether its checksum is right, which costs a pass over its front.
bool verify_record(std::string_view bytes, uint64_t offset, const Record& record,
                   uint64_t base = 0);

// Where an entry lies. Offset 0 (the header) means: nowhere.
struct Position {
  uint64_t generation = 0;
  uint32_t offset = 0;
  uint32_t size = 0;
  uint32_t checksum = 0;  // the entry's own; a read must find the same one
  explicit operator bool() const { return offset != 0; }
};

}  // namespace quorate::storage::wal
