#include "storage/wal/scrub.h"

#include <algorithm>

#include "storage/wal/segment_chain.h"
#include "storage/wal/stored_write.h"

namespace quorate::storage::wal {
namespace {

// One read: short enough that whatever else waits for the lane hardly notices.
constexpr uint64_t kPartBytes = uint64_t{1} << 20U;

// The bytes [begin, end) behind so many zeros; pages that cannot be read are zeros too.
std::string read_part(Segment& segment, uint64_t begin, uint64_t end) {
  std::string content(end - begin, '\0');
  const auto whole =
      segment.file->read_at(begin, {reinterpret_cast<uint8_t*>(content.data()), content.size()});
  if (whole) {
    content.resize(*whole);
    return content;
  }
  for (uint64_t offset = begin; offset < end; offset += kPageBytes) {
    std::string page(std::min(kPageBytes, end - offset), '\0');
    const auto got =
        segment.file->read_at(offset, {reinterpret_cast<uint8_t*>(page.data()), page.size()});
    if (!got) page.assign(page.size(), '\0');
    content.replace(offset - begin, page.size(), page);
  }
  return content;
}

void scrub_header(ScrubPart& part) {
  const std::string page = read_part(*part.segment, 0, kPageBytes);
  const auto generation = decode_segment_header(page);
  part.bytes = kPageBytes;
  part.next = kPageBytes;
  if (generation && *generation == part.generation) return;
  // Nothing is lost: the records say which segment it is. The same bytes once more do no harm.
  part.findings.push_back({0, kPageBytes, place_of(*part.segment, 0, "its header is lost")});
  const std::string header = encode_segment_header(part.generation);
  auto written = part.segment->file->write_at(
      0, {reinterpret_cast<const uint8_t*>(header.data()), header.size()});
  if (written) written = part.segment->file->sync_data();
  if (!written) part.findings.back().why += ", and cannot be written again";
}

class Scrubber {
 public:
  explicit Scrubber(ScrubPart& part) : part_(part) { load(part.begin, kPartBytes); }

  void run() {
    uint64_t offset = part_.begin;
    while (offset < part_.limit && offset < end_) {
      const auto record = parse_record(content_, offset, part_.generation, base_);
      if (record) {
        check(*record, offset);
        offset = record->next;
        continue;
      }
      if (offset > part_.begin && !complete(offset)) break;  // it ends in the next part
      if (load_record(offset)) continue;
      offset = skip(offset);
    }
    part_.next = std::max(offset, part_.begin + 1);
  }

 private:
  void load(uint64_t begin, uint64_t bytes) {
    end_ = std::min(part_.limit, begin + bytes);
    base_ = begin;
    content_ = read_part(*part_.segment, begin, end_);
    part_.bytes += content_.size();
    content_.resize(end_ - begin, '\0');
  }

  // Whether all of the record that seems to be here has been read.
  bool complete(uint64_t offset) const {
    if (end_ == part_.limit) return true;
    if (end_ - offset < kRecordHeaderBytes) return false;
    Decoder claimed(std::string_view(content_).substr(offset - base_ + 4, 4));
    return offset + kRecordHeaderBytes + claimed.u32() <= end_;
  }

  // A record larger than a part is read as a whole.
  bool load_record(uint64_t offset) {
    if (complete(offset) || loaded_) return false;
    loaded_ = true;
    Decoder claimed(std::string_view(content_).substr(offset - base_ + 4, 4));
    load(offset, kRecordHeaderBytes + claimed.u32());
    return true;
  }

  void check(const Record& record, uint64_t offset) {
    if (record.header.type != RecordType::write) return;
    const uint64_t size = kRecordHeaderBytes + record.payload.size();
    const Bytes whole = Bytes(std::string_view(content_).substr(offset - base_, size));
    Record moved = record;
    moved.payload_offset = kRecordHeaderBytes;
    const auto stored = decode_write(moved, whole);
    if (!stored) {
      return find(offset, record.next, "its record makes no sense");
    }
    for (const Position& lost : stored->lost) {
      const uint64_t begin = offset + lost.offset;
      find(begin, begin + lost.size, "an entry fails its checksum");
    }
  }

  // Nothing can be said of what lies here: up to the next record that can be believed.
  uint64_t skip(uint64_t offset) {
    uint64_t next = align_up(offset + 1, kRecordAlignment);
    for (; next < end_; next += kRecordAlignment) {
      if (parse_record(content_, next, part_.generation, base_)) break;
    }
    next = std::min(next, end_);
    find(offset, next, "no valid record is there");
    return next;
  }

  void find(uint64_t begin, uint64_t end, const char* why) {
    part_.findings.push_back({begin, end, place_of(*part_.segment, begin, why)});
  }

  ScrubPart& part_;
  std::string content_;  // of the segment from `base_` to `end_`
  uint64_t base_ = 0;
  uint64_t end_ = 0;
  bool loaded_ = false;
};

}  // namespace

void scrub(ScrubPart& part) {
  if (part.begin == 0) return scrub_header(part);
  Scrubber(part).run();
}

}  // namespace quorate::storage::wal
