#include "storage/wal/segment_chain.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "base/log.h"
#include "base/mutant.h"

namespace quorate::storage::wal {
namespace {

constexpr std::string_view kSuffix = ".wal";
// The first look at a segment: its header and, nearly always, its whole checkpoint.
constexpr uint64_t kFirstLookBytes = uint64_t{64} << 10U;
// Checksums are computed over at most this many times the size of what is searched, so that
// bytes made to look like records cannot keep a start busy for ever.
constexpr uint64_t kSearchRounds = 64;

std::optional<uint64_t> file_number(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

std::span<uint8_t> bytes_of(std::string& text) {
  return {reinterpret_cast<uint8_t*>(text.data()), text.size()};
}

struct SearchResult {
  std::optional<uint64_t> proof;  // where a batch begins that was written later
  uint64_t generation_max = 0;    // of any record seen
};

// Most of what is searched is zeros behind the end of the log, or the middle of an entry: a look
// at the generation alone passes over it.
bool may_be_record(std::string_view segment, uint64_t offset, uint64_t generation) {
  static_assert(std::endian::native == std::endian::little, "integers are compared as they lie");
  uint64_t found = 0;
  std::memcpy(&found, segment.data() + offset + kRecordGenerationAt, sizeof(found));
  return generation == 0 ? found != 0 : found == generation;
}

SearchResult search(std::string_view segment, uint64_t damage, uint64_t generation) {
  SearchResult result;
  uint64_t budget = kSearchRounds * segment.size();
  uint64_t offset = align_up(damage, kRecordAlignment);
  for (; offset + kRecordHeaderBytes <= segment.size(); offset += kRecordAlignment) {
    if (!may_be_record(segment, offset, generation)) continue;
    const auto record = sight_record(segment, offset);
    if (!record || (generation != 0 && record->header.generation != generation)) continue;
    const uint64_t cost = record->header.front == 0 ? record->payload.size() : record->header.front;
    if (cost > budget) {
      result.proof = offset;  // cannot be told apart in reasonable time: it is not a torn tail
      return result;
    }
    budget -= cost;
    if (!verify_record(segment, offset, *record)) continue;
    result.generation_max = std::max(result.generation_max, record->header.generation);
    if (generation != 0 && record->header.batch_begin > damage) {
      if (!QRT_MUTANT(D03)) result.proof = record->header.batch_begin;
      return result;
    }
    const uint64_t end = record->payload_offset + record->payload.size();
    offset = align_up(end, kRecordAlignment) - kRecordAlignment;
  }
  return result;
}

}  // namespace

std::string place_of(const Segment& segment, uint64_t offset, const std::string& why) {
  return "log segment " + segment.path + " is damaged at offset " + std::to_string(offset) + ": " +
         why;
}

std::unexpected<Error> refuse_log(const std::string& what) {
  return fail(ErrorKind::corrupt,
              what +
                  ". What was lost cannot be told for certain, so this member must not take part "
                  "with what is left: move its data directory away and start it again, it will "
                  "be re-admitted and copy the data from its peers");
}

Result<Bytes> load_segment(Segment& segment, uint64_t limit) {
  std::string content(std::min(segment.filled, limit), '\0');
  auto got = segment.file->read_at(0, bytes_of(content));
  if (got) {
    content.resize(*got);
    return Bytes::adopt(std::move(content));
  }
  // One bad sector fails the whole call: what can be read is read page by page.
  uint64_t unreadable = 0;
  std::string page;
  for (uint64_t offset = 0; offset < content.size(); offset += kPageBytes) {
    page.assign(std::min<uint64_t>(kPageBytes, content.size() - offset), '\0');
    const auto part = segment.file->read_at(offset, bytes_of(page));
    if (!part) {
      ++unreadable;
      page.assign(page.size(), '\0');
    }
    content.replace(offset, page.size(), page);
  }
  if (unreadable * kPageBytes >= content.size()) {
    return fail(ErrorKind::io, "the log cannot be read: " + got.error().text +
                                   "; check the device, then start the member again");
  }
  log(LogLevel::warn, "wal: " + std::to_string(unreadable) + " pages of " + segment.path +
                          " cannot be read: " + got.error().text);
  return Bytes::adopt(std::move(content));
}

std::optional<uint64_t> later_batch(std::string_view segment, uint64_t damage,
                                    uint64_t generation) {
  return search(segment, damage, generation).proof;
}

std::optional<uint64_t> next_batch(std::string_view segment, uint64_t behind, uint64_t limit,
                                   uint64_t generation, uint64_t number) {
  uint64_t offset = align_up(behind + 1, kPageBytes);
  for (; offset < std::min<uint64_t>(limit, segment.size()); offset += kPageBytes) {
    const auto record = sight_record(segment, offset);
    const bool opens = record && record->header.generation == generation &&
                       record->header.batch_begin == offset && record->header.number >= number;
    if (opens && verify_record(segment, offset, *record)) return offset;
  }
  return std::nullopt;
}

std::optional<StoredState> told_by(const Record& record) {
  if (record.header.type == RecordType::write) return std::nullopt;
  if (record.header.format != 0) return decode_state(record.payload);
  if (record.header.type != RecordType::checkpoint) return std::nullopt;
  return decode_old_checkpoint(record.payload);
}

Result<void> SegmentChain::find() {
  auto names = disk_.list(directory_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const auto number = file_number(name);
    if (!number) continue;
    if (auto done = scan_file(name, *number); !done) return done;
  }
  if (auto done = name_headless(); !done) return done;
  if (auto done = find_head(); !done) return done;
  if (auto done = follow(); !done) return done;
  for (auto& [generation, segment] : named_) free.push_back(segment);
  for (auto& segment : headless_) free.push_back(segment);
  return {};
}

Result<void> SegmentChain::scan_file(const std::string& name, uint64_t number) {
  next_file = std::max(next_file, number + 1);
  auto segment = std::make_shared<Segment>();
  segment->path = directory_ + "/" + name;
  auto file = disk_.open(segment->path, world::OpenMode::read_write);
  if (!file) return std::unexpected(file.error());
  segment->file = std::move(*file);
  auto size = segment->file->size();
  if (!size) return std::unexpected(size.error());
  if (*size > kSegmentBytesMax) {
    return fail(ErrorKind::corrupt,
                "log segment " + segment->path +
                    " is larger than any this program writes; move "
                    "the file away if it does not belong here, otherwise move the data directory "
                    "away and start the member again, it will copy the data from its peers");
  }
  segment->filled = *size;
  auto look = load_segment(*segment, kFirstLookBytes);
  if (!look) return std::unexpected(look.error());
  auto generation = decode_segment_header(look->view().substr(0, kPageBytes));
  if (!generation) {
    return fail(generation.error().kind, segment->path + " " + generation.error().text);
  }
  if (!*generation) {
    headless_.push_back(std::move(segment));
    return {};
  }
  segment->generation = **generation;
  // A header write that never arrived leaves the header of an earlier life.
  const auto first = sight_record(look->view(), kPageBytes);
  if (first && first->header.generation > segment->generation &&
      verify_record(look->view(), kPageBytes, *first)) {
    segment->generation = first->header.generation;
    segment->header_lost = true;
  }
  generation_max = std::max(generation_max, segment->generation);
  const auto [place, fresh] = named_.emplace(segment->generation, segment);
  if (!fresh) {
    return refuse_log(
        place_of(*segment, 0, "it has the same generation as " + place->second->path));
  }
  return {};
}

// A file without a valid header is free, unless its records say otherwise: the header was synced
// before the first of them.
Result<void> SegmentChain::name_headless() {
  std::vector<std::shared_ptr<Segment>> nameless;
  for (auto& segment : headless_) {
    auto content = load_segment(*segment, segment->filled);
    if (!content) return std::unexpected(content.error());
    const uint64_t generation = search(content->view(), 0, 0).generation_max;
    generation_max = std::max(generation_max, generation);
    if (generation == 0 || named_.contains(generation)) {
      nameless.push_back(segment);
      continue;
    }
    segment->generation = generation;
    segment->header_lost = true;
    named_.emplace(generation, segment);
  }
  headless_ = std::move(nameless);
  return {};
}

// Nothing: the segment was never really begun; it may have a header and a torn first batch.
Result<std::optional<SegmentChain::Opening>> SegmentChain::opening_of(Segment& segment) {
  auto content = load_segment(segment, kFirstLookBytes);
  if (!content) return std::unexpected(content.error());
  if (content->size() >= kPageBytes + kRecordHeaderBytes) {
    Decoder claimed(content->view().substr(kPageBytes + 4, 4));
    const uint64_t needed = kPageBytes + kRecordHeaderBytes + claimed.u32();
    if (needed > content->size() && needed <= segment.filled) {
      content = load_segment(segment, needed);
    }
    if (!content) return std::unexpected(content.error());
  }
  const auto first = parse_record(content->view(), kPageBytes, segment.generation);
  if (first && first->header.type == RecordType::checkpoint) {
    if (auto told = told_by(*first)) {
      return std::optional<Opening>({std::move(told), first->header.number});
    }
  }
  content = load_segment(segment, segment.filled);
  if (!content) return std::unexpected(content.error());
  const auto later = later_batch(content->view(), kPageBytes, segment.generation);
  if (!later) return std::optional<Opening>();
  uint64_t behind = kPageBytes;
  while (const auto offset =
             next_batch(content->view(), behind, segment.filled, segment.generation, 1)) {
    const auto record = sight_record(content->view(), *offset);
    if (auto told = told_by(*record)) {
      return std::optional<Opening>({std::move(told), record->header.number});
    }
    behind = *offset;
  }
  return std::optional<Opening>({std::nullopt, 0});
}

// The newest segment that was really begun.
Result<void> SegmentChain::find_head() {
  for (auto segment = named_.rbegin(); segment != named_.rend(); ++segment) {
    auto opening = opening_of(*segment->second);
    if (!opening) return std::unexpected(opening.error());
    if (!*opening) continue;
    head_ = segment->first;
    if (!(*opening)->told) {
      return refuse_log(place_of(*segment->second, kPageBytes,
                                 "its first record is not valid, but records of later batches "
                                 "are"));
    }
    openings_.emplace(head_, std::move(**opening));
    return {};
  }
  return {};
}

// The newest begun segment before `generation`, but not before `oldest`; 0: there is none.
Result<uint64_t> SegmentChain::begun_before(uint64_t generation, uint64_t oldest) {
  for (auto segment = named_.rbegin(); segment != named_.rend(); ++segment) {
    if (segment->first >= generation || segment->first < oldest) continue;
    auto opening = opening_of(*segment->second);
    if (!opening) return std::unexpected(opening.error());
    if (!*opening) continue;
    openings_.emplace(segment->first, std::move(**opening));
    return segment->first;
  }
  return uint64_t{0};
}

Result<void> SegmentChain::follow() {
  if (head_ == 0) return {};
  const uint64_t oldest = openings_.at(head_).told->oldest_needed;
  uint64_t generation = head_;
  std::optional<uint64_t> end;
  while (true) {
    const auto segment = named_.find(generation);
    if (segment->second->header_lost) {
      damage.push_back(place_of(*segment->second, 0, "its header is lost"));
    }
    links.push_back({segment->second, end, false});
    named_.erase(segment);
    if (generation <= oldest) break;
    const auto& told = openings_.at(generation).told;
    if (!told || told->previous >= generation || told->previous < oldest) {
      return refuse_log(
          place_of(*links.back().segment, kPageBytes, "it does not name a segment before it"));
    }
    uint64_t before = told->previous;
    end = told->previous_end;
    if (!openings_.contains(before) && named_.contains(before)) {
      auto opening = opening_of(*named_.at(before));
      if (!opening) return std::unexpected(opening.error());
      if (*opening) openings_.emplace(before, std::move(**opening));
    }
    if (!openings_.contains(before)) {
      damage.push_back("the log in " + directory_ + " lacks the segment of generation " +
                       std::to_string(before) + ": its file is missing or damaged as a whole");
      links.back().behind_gap = true;
      end.reset();
      auto found = begun_before(before, oldest);
      if (!found) return std::unexpected(found.error());
      if (*found == 0) break;
      before = *found;
    }
    generation = before;
  }
  std::ranges::reverse(links);
  return {};
}

}  // namespace quorate::storage::wal
