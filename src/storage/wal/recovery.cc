#include "storage/wal/recovery.h"

#include <algorithm>
#include <charconv>
#include <optional>

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

std::unexpected<Error> corrupt(const Segment& segment, uint64_t offset, const std::string& why) {
  return fail(ErrorKind::corrupt,
              "log segment " + segment.path + " is damaged at offset " + std::to_string(offset) +
                  ": " + why +
                  ". Records that were once durable are lost, so this member must not take part "
                  "with what is left: move its data directory away and start it again, it will "
                  "be re-admitted and copy the data from its peers");
}

Result<Bytes> load(Segment& segment, uint64_t limit) {
  std::string content(std::min(segment.filled, limit), '\0');
  auto got = segment.file->read_at(0, {reinterpret_cast<uint8_t*>(content.data()), content.size()});
  if (!got) {
    return fail(got.error().kind, "the log cannot be read: " + got.error().text +
                                      "; check the device, then start the member again");
  }
  content.resize(*got);
  return Bytes::adopt(std::move(content));
}

struct SearchResult {
  std::optional<uint64_t> proof;  // offset of a record of a batch that began behind the damage
  uint64_t generation_max = 0;    // of any record seen
};

// Looks for a record whose batch began behind `damage`: it was written only after the damaged
// bytes had been synced. Records of the damaged batch itself may legally have outlived it.
SearchResult search(std::string_view segment, uint64_t damage, uint64_t generation,
                    uint64_t newer_than) {
  SearchResult result;
  uint64_t budget = kSearchRounds * segment.size();
  uint64_t offset = align_up(damage, kRecordAlignment);
  for (; offset + kRecordHeaderBytes <= segment.size(); offset += kRecordAlignment) {
    const auto record = sight_record(segment, offset);
    if (!record || (generation != 0 && record->header.generation != generation)) continue;
    if (record->payload.size() > budget) {
      result.proof = offset;  // cannot be told apart in reasonable time: refuse
      return result;
    }
    budget -= record->payload.size();
    if (!verify_record(segment, offset, *record)) continue;
    result.generation_max = std::max(result.generation_max, record->header.generation);
    if (record->header.batch_begin > damage && record->header.generation > newer_than) {
      if (!QRT_MUTANT(D03)) result.proof = offset;
      return result;
    }
    const uint64_t end = record->payload_offset + record->payload.size();
    offset = align_up(end, kRecordAlignment) - kRecordAlignment;
  }
  return result;
}

class Recovery {
 public:
  Recovery(world::Disk& disk, const std::string& directory) : disk_(disk), directory_(directory) {}

  Result<RecoveredLog> run();

 private:
  using Step = Result<void>;
  struct Opening {  // the first record of a segment
    Checkpoint checkpoint;
    uint64_t number = 0;
  };

  Step scan();
  Step scan_file(const std::string& name, uint64_t number);
  Step find_head();
  Step follow_chain();
  Step check_unused();
  Step replay_all();
  Step replay(Segment& segment, std::optional<uint64_t> expected_end);
  Step apply(Segment& segment, const Record& record, uint64_t offset, const Bytes& content);
  Step apply_checkpoint(Segment& segment, const Record& record, uint64_t offset);
  Step apply_write(Segment& segment, const Record& record, uint64_t offset, const Bytes& content);
  Step rewrite_last_batch(Segment& segment, const Bytes& content, uint64_t end);
  bool follows(const Record& record, uint64_t offset) const;
  Result<std::optional<Opening>> opening_of(Segment& segment);
  RecoveredGroup& group(GroupId id);

  world::Disk& disk_;
  const std::string directory_;
  RecoveredLog log_;
  std::map<uint64_t, std::shared_ptr<Segment>> headed_;  // files with a valid header
  std::vector<std::shared_ptr<Segment>> headless_;
  uint64_t head_ = 0;
  std::map<uint64_t, Opening> openings_;  // of the segments in the chain
  std::optional<RecordHeader> previous_;  // of the record replayed last
};

Result<RecoveredLog> Recovery::run() {
  if (auto done = scan(); !done) return std::unexpected(done.error());
  if (auto done = find_head(); !done) return std::unexpected(done.error());
  if (auto done = follow_chain(); !done) return std::unexpected(done.error());
  if (auto done = check_unused(); !done) return std::unexpected(done.error());
  if (auto done = replay_all(); !done) return std::unexpected(done.error());
  ++log_.next_generation;
  return std::move(log_);
}

Recovery::Step Recovery::scan() {
  log_.next_generation = 0;  // for now the highest one seen
  auto names = disk_.list(directory_);
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    const auto number = file_number(name);
    if (!number) continue;
    if (auto done = scan_file(name, *number); !done) return done;
  }
  return {};
}

Recovery::Step Recovery::scan_file(const std::string& name, uint64_t number) {
  log_.next_file = std::max(log_.next_file, number + 1);
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
  auto page = load(*segment, kPageBytes);
  if (!page) return std::unexpected(page.error());
  auto generation = decode_segment_header(page->view());
  if (!generation) {
    return fail(generation.error().kind, segment->path + " " + generation.error().text);
  }
  if (!*generation) {
    headless_.push_back(std::move(segment));
    return {};
  }
  segment->generation = **generation;
  log_.next_generation = std::max(log_.next_generation, segment->generation);
  const auto [place, fresh] = headed_.emplace(segment->generation, segment);
  if (!fresh) {
    return corrupt(*segment, 0, "it has the same generation as " + place->second->path);
  }
  return {};
}

Result<std::optional<Recovery::Opening>> Recovery::opening_of(Segment& segment) {
  auto content = load(segment, kFirstLookBytes);
  if (!content) return std::unexpected(content.error());
  if (content->size() >= kPageBytes + kRecordHeaderBytes) {
    Decoder claimed(content->view().substr(kPageBytes + 4, 4));
    const uint64_t needed = kPageBytes + kRecordHeaderBytes + claimed.u32();
    if (needed > content->size() && needed <= segment.filled) content = load(segment, needed);
    if (!content) return std::unexpected(content.error());
  }
  const auto record = parse_record(content->view(), kPageBytes, segment.generation);
  if (!record || record->header.type != RecordType::checkpoint) return std::optional<Opening>();
  auto checkpoint = decode_checkpoint(record->payload);
  if (!checkpoint) return std::optional<Opening>();
  return std::optional<Opening>({std::move(*checkpoint), record->header.number});
}

// The newest segment that was really begun. Newer ones may have a header and a torn first batch.
Recovery::Step Recovery::find_head() {
  for (auto segment = headed_.rbegin(); segment != headed_.rend(); ++segment) {
    auto opening = opening_of(*segment->second);
    if (!opening) return std::unexpected(opening.error());
    if (!*opening) continue;
    head_ = segment->first;
    openings_.emplace(head_, std::move(**opening));
    return {};
  }
  return {};
}

Recovery::Step Recovery::follow_chain() {
  if (head_ == 0) return {};
  const uint64_t oldest = openings_.at(head_).checkpoint.oldest_needed;
  uint64_t generation = head_;
  while (true) {
    const auto segment = headed_.find(generation);
    if (segment == headed_.end()) {
      return fail(ErrorKind::corrupt,
                  "the log in " + directory_ + " lacks the segment of generation " +
                      std::to_string(generation) +
                      ": its file is missing or damaged at offset 0. Move this member's data "
                      "directory away and start it again, it will be re-admitted and copy the "
                      "data from its peers");
    }
    log_.segments.emplace(generation, segment->second);
    if (!openings_.contains(generation)) {
      auto opening = opening_of(*segment->second);
      if (!opening) return std::unexpected(opening.error());
      if (!*opening) {
        return corrupt(*segment->second, kPageBytes, "its first record is not valid");
      }
      openings_.emplace(generation, std::move(**opening));
    }
    headed_.erase(segment);
    if (generation <= oldest) return {};
    const uint64_t previous = openings_.at(generation).checkpoint.previous;
    if (previous >= generation || previous < oldest) {
      return corrupt(*log_.segments.at(generation), kPageBytes,
                     "it does not name a segment before it");
    }
    generation = previous;
  }
}

// Segments outside the chain are free, unless they prove that the chain ended later.
Recovery::Step Recovery::check_unused() {
  const auto refuse = [this](Segment& segment, uint64_t damage, uint64_t generation) -> Step {
    auto content = load(segment, segment.filled);
    if (!content) return std::unexpected(content.error());
    const SearchResult found = search(content->view(), kPageBytes, generation, head_);
    log_.next_generation = std::max(log_.next_generation, found.generation_max);
    if (!found.proof) return {};
    return corrupt(segment, damage,
                   "it is not valid there, but a valid record of a later batch follows at offset " +
                       std::to_string(*found.proof));
  };
  for (auto& [generation, segment] : headed_) {
    if (generation > head_) {
      if (auto done = refuse(*segment, kPageBytes, generation); !done) return done;
    }
    log_.free.push_back(segment);
  }
  for (auto& segment : headless_) {
    if (auto done = refuse(*segment, 0, 0); !done) return done;
    log_.free.push_back(segment);
  }
  return {};
}

Recovery::Step Recovery::replay_all() {
  for (auto segment = log_.segments.begin(); segment != log_.segments.end(); ++segment) {
    const auto next = std::next(segment);
    std::optional<uint64_t> expected_end;
    if (next != log_.segments.end()) {
      expected_end = openings_.at(next->first).checkpoint.previous_end;
    }
    if (auto done = replay(*segment->second, expected_end); !done) return done;
  }
  return {};
}

// Whether the record is the one that comes next.
bool Recovery::follows(const Record& record, uint64_t offset) const {
  if (QRT_MUTANT(D06)) return true;
  const RecordHeader& header = record.header;
  const bool opens = offset == kPageBytes;
  if (opens != (header.type == RecordType::checkpoint)) return false;
  if (previous_ && header.number != previous_->number + 1) return false;
  if (opens || previous_->following == 0) return header.batch_begin == offset;
  return header.batch_begin == previous_->batch_begin &&
         header.following == previous_->following - 1;
}

Recovery::Step Recovery::replay(Segment& segment, std::optional<uint64_t> expected_end) {
  auto content = load(segment, segment.filled);
  if (!content) return std::unexpected(content.error());
  uint64_t offset = kPageBytes;
  while (!expected_end || offset < *expected_end) {
    const auto record = parse_record(content->view(), offset, segment.generation);
    if (!record || !follows(*record, offset)) break;
    if (auto done = apply(segment, *record, offset, *content); !done) return done;
    previous_ = record->header;
    log_.next_number = record->header.number + 1;
    offset = record->next;
  }
  if (expected_end) {
    if (offset == *expected_end || QRT_MUTANT(D03)) return {};
    return corrupt(segment, offset,
                   "no valid record is there, but the next segment says that the log went on to "
                   "offset " +
                       std::to_string(*expected_end));
  }
  if (offset == kPageBytes) {
    return corrupt(segment, offset, "its first record does not continue the segment before");
  }
  const SearchResult found = search(content->view(), offset, segment.generation, 0);
  if (found.proof) {
    return corrupt(segment, offset,
                   "no valid record is there, but a valid record of a later batch follows at "
                   "offset " +
                       std::to_string(*found.proof));
  }
  log_.last_generation = segment.generation;
  log_.last_end = offset;
  return rewrite_last_batch(segment, *content, offset);
}

// After a failed sync, or a kill before it, the page cache may show what the disk does not have
// and will not get from another sync alone. Writing the same bytes again cannot harm.
Recovery::Step Recovery::rewrite_last_batch(Segment& segment, const Bytes& content, uint64_t end) {
  const uint64_t begin = previous_ ? previous_->batch_begin : kPageBytes;
  const uint64_t stop = std::min<uint64_t>(end, content.size());
  if (begin >= stop) return {};
  auto written = segment.file->write_at(begin, content.slice(begin, stop - begin).span());
  if (written) written = segment.file->sync_data();
  if (!written) return std::unexpected(explain(written.error(), "write to " + segment.path));
  return {};
}

RecoveredGroup& Recovery::group(GroupId id) {
  return log_.groups.try_emplace(id, *log_.live).first->second;
}

Recovery::Step Recovery::apply(Segment& segment, const Record& record, uint64_t offset,
                               const Bytes& content) {
  switch (record.header.type) {
    case RecordType::checkpoint:
      return apply_checkpoint(segment, record, offset);
    case RecordType::write:
      return apply_write(segment, record, offset, content);
    case RecordType::seal:
      return {};
  }
  return {};
}

Recovery::Step Recovery::apply_checkpoint(Segment& segment, const Record& record, uint64_t offset) {
  const auto checkpoint = decode_checkpoint(record.payload);
  if (!checkpoint) return corrupt(segment, offset, "its checkpoint makes no sense");
  const bool first = !previous_.has_value();
  for (const CheckpointGroup& stored : checkpoint->groups) {
    GroupState& state = group(stored.group).state;
    if (first) {
      state.hard_state = stored.hard_state;
      state.last_write = stored.last_write;
      state.last = stored.last;
      state.snapshot = stored.snapshot;
      state.snapshot.members = Bytes(stored.snapshot.members.view());
    } else if (state.hard_state != stored.hard_state || state.last_write != stored.last_write ||
               state.last != stored.last || state.snapshot != stored.snapshot) {
      return corrupt(segment, offset, "its checkpoint contradicts the records before it");
    }
  }
  return {};
}

Recovery::Step Recovery::apply_write(Segment& segment, const Record& record, uint64_t offset,
                                     const Bytes& content) {
  auto stored = decode_write(record, content);
  if (!stored || !record.header.group) {
    return corrupt(segment, offset, "its record makes no sense");
  }
  consensus::Write& write = stored->write;
  RecoveredGroup& recovered = group(record.header.group);
  if (const char* rule = recovered.state.broken_rule(write, stored->keep_rest)) {
    return corrupt(segment, offset, std::string("its record breaks the rule that ") + rule);
  }
  recovered.state.apply(write, stored->keep_rest);
  recovered.positions.apply(write, stored->keep_rest, stored->positions);
  auto& members = recovered.members;
  if (write.truncate_from) members.erase(members.lower_bound(*write.truncate_from), members.end());
  if (write.snapshot) {
    if (write.install && !stored->keep_rest) members.clear();
    members.erase(members.begin(), members.upper_bound(write.snapshot->index));
  }
  for (consensus::Entry& entry : write.entries) {
    members.erase(entry.index);
    if (entry.kind != consensus::EntryKind::members) continue;
    entry.data = Bytes(entry.data.view());  // otherwise it would keep the whole segment in memory
    members.emplace(entry.index, entry);
  }
  return {};
}

}  // namespace

Result<RecoveredLog> recover_log(world::Disk& disk, const std::string& directory) {
  return Recovery(disk, directory).run();
}

}  // namespace quorate::storage::wal
