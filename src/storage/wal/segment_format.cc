#include "storage/wal/segment_format.h"

#include <cstring>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/mutant.h"

namespace quorate::storage::wal {
namespace {

constexpr std::string_view kMagic{"QRTWAL\r\n", 8};
constexpr uint32_t kFormatVersion = 2;
constexpr uint32_t kOldestVersion = 1;
constexpr size_t kSegmentHeaderBytes = 8 + 4 + 8;  // magic, version, generation; then its crc32c

size_t checked_bytes(const RecordHeader& header, size_t payload) {
  return kRecordHeaderBytes + (header.front == 0 ? payload : header.front);
}

// Of the header and that part of the payload which is under the record's own checksum.
uint32_t record_checksum(std::string_view checked, uint64_t offset) {
  const uint32_t content = crc32c(checked.substr(4));
  if (QRT_MUTANT(D06)) return content;
  Encoder address;
  address.u64(offset);
  return crc32c(address.text(), content);
}

bool known_type(uint8_t type, uint8_t format) {
  const RecordType last = format == 0 ? RecordType::seal : RecordType::state;
  return type >= static_cast<uint8_t>(RecordType::checkpoint) && type <= static_cast<uint8_t>(last);
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
  out.u32(static_cast<uint32_t>(header.type) | uint32_t{header.format} << 8U);
  out.u32(header.front);
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
  if (version < kOldestVersion || version > kFormatVersion) {
    return fail(ErrorKind::invalid,
                "has log format " + std::to_string(version) + ", this program reads formats " +
                    std::to_string(kOldestVersion) + " to " + std::to_string(kFormatVersion) +
                    "; start the version that wrote it");
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
  CHECK(header.front <= payload, "the front is part of the payload");
  Encoder fields;
  const std::string_view bytes = header_fields(header, payload, fields);
  CHECK(bytes.size() == kRecordHeaderBytes, "the header's size is part of the format");
  std::memcpy(out.text().data() + start, bytes.data(), bytes.size());
  Encoder checksum;
  checksum.u32(record_checksum(
      std::string_view(out.text()).substr(start, checked_bytes(header, payload)), offset));
  std::memcpy(out.text().data() + start, checksum.text().data(), 4);
  const size_t size = out.size() - start;
  out.text().append(align_up(size, kRecordAlignment) - size, '\0');
}

std::optional<Record> sight_record(std::string_view bytes, uint64_t offset, uint64_t base) {
  const uint64_t place = offset - base;
  if (place > bytes.size() || bytes.size() - place < kRecordHeaderBytes) return std::nullopt;
  const std::string_view rest = bytes.substr(place);
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
  const uint32_t kind = in.u32();
  record.header.front = in.u32();
  const auto type = static_cast<uint8_t>(kind & 0xffU);
  record.header.format = static_cast<uint8_t>(kind >> 8U & 0xffU);
  const bool old = record.header.format == 0;
  const bool plausible =
      record.header.generation != 0 && kind <= UINT16_MAX &&
      (old ? record.header.front == 0 : record.header.format == kRecordFormat) &&
      known_type(type, record.header.format) && payload <= rest.size() - kRecordHeaderBytes &&
      record.header.front <= payload && record.header.batch_begin >= kPageBytes &&
      record.header.batch_begin % kPageBytes == 0 &&
      (record.header.batch_begin <= offset || QRT_MUTANT(D06));
  if (!plausible) return std::nullopt;
  record.header.type = static_cast<RecordType>(type);
  record.payload = rest.substr(kRecordHeaderBytes, payload);
  record.payload_offset = offset + kRecordHeaderBytes;
  record.next = align_up(record.payload_offset + payload,
                         record.header.following == 0 ? kPageBytes : kRecordAlignment);
  return record;
}

bool verify_record(std::string_view bytes, uint64_t offset, const Record& record, uint64_t base) {
  const std::string_view checked =
      bytes.substr(offset - base, checked_bytes(record.header, record.payload.size()));
  Decoder stored(checked.substr(0, 4));
  return record_checksum(checked, offset) == stored.u32();
}

std::optional<Record> parse_record(std::string_view bytes, uint64_t offset, uint64_t generation,
                                   uint64_t base) {
  const auto record = sight_record(bytes, offset, base);
  if (!record) return std::nullopt;
  if (record->header.generation != generation && !QRT_MUTANT(D06)) return std::nullopt;
  if (!verify_record(bytes, offset, *record, base)) return std::nullopt;
  return record;
}

}  // namespace quorate::storage::wal
