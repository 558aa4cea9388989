#include "storage/wal/segment_format.h"

#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"
#include "consensus/entry_codec.h"

namespace quorate::storage::wal {
namespace {

constexpr std::string_view kMagic{"QRTWAL\r\n", 8};
constexpr uint32_t kFormatVersion = 1;
constexpr size_t kSegmentHeaderBytes = 8 + 4 + 8;  // magic, version, generation; then its crc32c

// What a write may hold, as bits of its first byte.
constexpr uint8_t kHasHardState = 1;
constexpr uint8_t kHasTruncation = 2;
constexpr uint8_t kHasSnapshot = 4;
constexpr uint8_t kInstalls = 8;
constexpr uint8_t kKeepsRest = 16;
constexpr uint8_t kAllFlags = 31;

constexpr size_t kVarintBytesMax = 10;
constexpr size_t kBallotBytesMax = kVarintBytesMax + 8;
constexpr size_t kHardStateBytesMax = 2 * kBallotBytesMax + kVarintBytesMax;

uint32_t record_checksum(std::string_view record, uint64_t offset) {
  const uint32_t content = crc32c(record.substr(4));
  if (QRT_MUTANT(D06)) return content;
  Encoder address;
  address.u64(offset);
  return crc32c(address.text(), content);
}

bool known_type(uint8_t type) {
  return type >= static_cast<uint8_t>(RecordType::checkpoint) &&
         type <= static_cast<uint8_t>(RecordType::seal);
}

std::string_view header_fields(const RecordHeader& header, size_t payload, Encoder& out) {
  out.u32(0);  // the checksum, filled in last
  out.u32(static_cast<uint32_t>(payload));
  out.u64(header.generation);
  out.u64(header.number);
  out.u64(header.group.value);
  out.u64(header.write.value);
  out.u32(header.batch_begin);
  out.u32(header.following);
  out.u64(static_cast<uint64_t>(header.type));
  return out.text();
}

}  // namespace

std::string encode_segment_header(uint64_t generation) {
  Encoder out;
  out.raw(kMagic);
  out.u32(kFormatVersion);
  out.u64(generation);
  out.u32(crc32c(out.text()));
  std::string page = std::move(out.text());
  page.resize(kPageBytes, '\0');
  return page;
}

Result<std::optional<uint64_t>> decode_segment_header(std::string_view page) {
  Decoder in(page);
  const std::string_view magic = in.raw(kMagic.size());
  const uint32_t version = in.u32();
  const uint64_t generation = in.u64();
  const uint32_t stored = in.u32();
  if (!in.ok() || magic != kMagic || generation == 0 ||
      stored != crc32c(page.substr(0, kSegmentHeaderBytes))) {
    return std::optional<uint64_t>();
  }
  if (version != kFormatVersion) {
    return fail(ErrorKind::invalid,
                "has log format " + std::to_string(version) + ", this program reads format " +
                    std::to_string(kFormatVersion) + "; start the version that wrote it");
  }
  return std::optional<uint64_t>(generation);
}

size_t begin_record(Encoder& out) {
  const size_t start = out.size();
  out.text().append(kRecordHeaderBytes, '\0');
  return start;
}

void finish_record(Encoder& out, size_t start, const RecordHeader& header, uint64_t offset) {
  CHECK(offset % kRecordAlignment == 0, "records lie where the search for them looks");
  const size_t payload = out.size() - start - kRecordHeaderBytes;
  CHECK(payload < kSegmentBytesMax, "a record fits into a segment");
  Encoder fields;
  const std::string_view bytes = header_fields(header, payload, fields);
  CHECK(bytes.size() == kRecordHeaderBytes, "the header's size is part of the format");
  std::memcpy(out.text().data() + start, bytes.data(), bytes.size());
  Encoder checksum;
  checksum.u32(record_checksum(std::string_view(out.text()).substr(start), offset));
  std::memcpy(out.text().data() + start, checksum.text().data(), 4);
  const size_t size = out.size() - start;
  out.text().append(align_up(size, kRecordAlignment) - size, '\0');
}

std::optional<Record> sight_record(std::string_view segment, uint64_t offset) {
  if (offset > segment.size() || segment.size() - offset < kRecordHeaderBytes) {
    return std::nullopt;
  }
  const std::string_view rest = segment.substr(offset);
  Decoder in(rest.substr(0, kRecordHeaderBytes));
  in.u32();  // the checksum
  const uint64_t payload = in.u32();
  Record record;
  record.header.generation = in.u64();
  record.header.number = in.u64();
  record.header.group = GroupId{in.u64()};
  record.header.write = WriteId{in.u64()};
  record.header.batch_begin = in.u32();
  record.header.following = in.u32();
  const uint64_t type = in.u64();
  const bool plausible =
      record.header.generation != 0 && type <= UINT8_MAX &&
      known_type(static_cast<uint8_t>(type)) && payload <= rest.size() - kRecordHeaderBytes &&
      record.header.batch_begin >= kPageBytes && record.header.batch_begin % kPageBytes == 0 &&
      (record.header.batch_begin <= offset || QRT_MUTANT(D06));
  if (!plausible) return std::nullopt;
  record.header.type = static_cast<RecordType>(type);
  record.payload = rest.substr(kRecordHeaderBytes, payload);
  record.payload_offset = offset + kRecordHeaderBytes;
  record.next = align_up(record.payload_offset + payload,
                         record.header.following == 0 ? kPageBytes : kRecordAlignment);
  return record;
}

bool verify_record(std::string_view segment, uint64_t offset, const Record& record) {
  const std::string_view whole = segment.substr(offset, kRecordHeaderBytes + record.payload.size());
  Decoder stored(whole.substr(0, 4));
  return record_checksum(whole, offset) == stored.u32();
}

std::optional<Record> parse_record(std::string_view segment, uint64_t offset, uint64_t generation) {
  const auto record = sight_record(segment, offset);
  if (!record) return std::nullopt;
  if (record->header.generation != generation && !QRT_MUTANT(D06)) return std::nullopt;
  if (!verify_record(segment, offset, *record)) return std::nullopt;
  return record;
}

void encode_write(Encoder& out, const consensus::Write& write, bool keep_rest,
                  std::vector<std::pair<size_t, size_t>>* entry_ranges) {
  uint8_t flags = 0;
  if (write.hard_state) flags |= kHasHardState;
  if (write.truncate_from) flags |= kHasTruncation;
  if (write.snapshot) flags |= kHasSnapshot;
  if (write.install) flags |= kInstalls;
  if (keep_rest) flags |= kKeepsRest;
  out.u8(flags);
  if (write.hard_state) consensus::encode_hard_state(out, *write.hard_state);
  if (write.truncate_from) out.varint(write.truncate_from->value);
  if (write.snapshot) consensus::encode_snapshot_meta(out, *write.snapshot);
  out.varint(write.entries.size());
  for (const consensus::Entry& entry : write.entries) {
    const size_t begin = out.size();
    consensus::encode_entry(out, entry);
    if (entry_ranges != nullptr) entry_ranges->emplace_back(begin, out.size() - begin);
  }
}

size_t encoded_write_size_max(const consensus::Write& write) {
  size_t size = 1 + kHardStateBytesMax + kVarintBytesMax + kVarintBytesMax;
  if (write.snapshot) {
    size += 2 * kVarintBytesMax + kBallotBytesMax + write.snapshot->members.size();
  }
  for (const consensus::Entry& entry : write.entries) size += consensus::encoded_size_max(entry);
  return size;
}

std::optional<StoredWrite> decode_write(const Record& record, const Bytes& segment) {
  const Bytes payload = segment.slice(record.payload_offset, record.payload.size());
  Decoder in(payload.view());
  StoredWrite stored;
  const uint8_t flags = in.u8();
  if (flags > kAllFlags) return std::nullopt;
  stored.write.id = record.header.write;
  if ((flags & kHasHardState) != 0) stored.write.hard_state = consensus::decode_hard_state(in);
  if ((flags & kHasTruncation) != 0) stored.write.truncate_from = Index{in.varint()};
  if ((flags & kHasSnapshot) != 0) stored.write.snapshot = consensus::decode_snapshot_meta(in);
  stored.write.install = (flags & kInstalls) != 0;
  stored.keep_rest = (flags & kKeepsRest) != 0;
  const uint64_t entries = in.varint();
  for (uint64_t entry = 0; entry < entries && in.ok(); ++entry) {
    const size_t begin = payload.size() - in.remaining();
    stored.write.entries.push_back(consensus::decode_entry(in, payload));
    if (!in.ok()) break;
    const size_t end = payload.size() - in.remaining();
    Decoder checksum(payload.view().substr(end - 4, 4));
    stored.positions.push_back({record.header.generation,
                                static_cast<uint32_t>(record.payload_offset + begin),
                                static_cast<uint32_t>(end - begin), checksum.u32()});
  }
  if (!in.finished()) return std::nullopt;
  return stored;
}

void encode_checkpoint(Encoder& out, const Checkpoint& checkpoint) {
  out.u64(checkpoint.oldest_needed);
  out.u64(checkpoint.previous);
  out.u64(checkpoint.previous_end);
  out.varint(checkpoint.groups.size());
  for (const CheckpointGroup& group : checkpoint.groups) {
    out.u64(group.group.value);
    out.varint(group.last_write.value);
    out.varint(group.last.value);
    consensus::encode_hard_state(out, group.hard_state);
    consensus::encode_snapshot_meta(out, group.snapshot);
  }
}

std::optional<Checkpoint> decode_checkpoint(std::string_view payload) {
  Decoder in(payload);
  Checkpoint checkpoint;
  checkpoint.oldest_needed = in.u64();
  checkpoint.previous = in.u64();
  checkpoint.previous_end = in.u64();
  const uint64_t groups = in.varint();
  for (uint64_t group = 0; group < groups && in.ok(); ++group) {
    CheckpointGroup stored;
    stored.group = GroupId{in.u64()};
    stored.last_write = WriteId{in.varint()};
    stored.last = Index{in.varint()};
    stored.hard_state = consensus::decode_hard_state(in);
    stored.snapshot = consensus::decode_snapshot_meta(in);
    if (!stored.group) return std::nullopt;  // no group is numbered zero
    checkpoint.groups.push_back(std::move(stored));
  }
  if (!in.finished()) return std::nullopt;
  return checkpoint;
}

}  // namespace quorate::storage::wal
