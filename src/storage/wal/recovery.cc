#include "storage/wal/recovery.h"

#include <algorithm>
#include <optional>

#include "base/mutant.h"
#include "storage/wal/end_mark.h"
#include "storage/wal/segment_chain.h"
#include "storage/wal/stored_write.h"

namespace quorate::storage::wal {
namespace {

class Recovery {
 public:
  Recovery(world::Disk& disk, const std::string& directory) : disk_(disk), directory_(directory) {}

  Result<RecoveredLog> run();

 private:
  using Step = Result<void>;
  struct Salvaged {  // read while it was unknown what the log holds
    GroupId group;
    consensus::Entry entry;
    Position position;
  };

  Step replay(const ChainLink& link, bool last);
  bool believable(const Record& record, uint64_t offset) const;
  bool is_torn(const Bytes& content, uint64_t offset, const ChainLink& link, bool last);
  Step rewrite_last_batch(Segment& segment, const Bytes& content, uint64_t end);

  Step apply(Segment& segment, const Record& record, uint64_t offset, StoredWrite* write);
  Step apply_checkpoint(Segment& segment, const Record& record, uint64_t offset);
  Step apply_state(Segment& segment, const Record& record, uint64_t offset);
  Step apply_write(Segment& segment, const Record& record, uint64_t offset, StoredWrite& stored);

  void lose(const Segment& segment, uint64_t offset, const std::string& why);
  bool adopt(const StoredGroup& told);
  void use_salvage();
  static bool contradicts(const StoredGroup& told, const GroupState& state);
  void begin_with(const StoredGroup& told);
  Step find_damaged();
  Step check_end();
  RecoveredGroup& group(GroupId id) {
    return log_.groups.try_emplace(id, *log_.live).first->second;
  }

  world::Disk& disk_;
  const std::string directory_;
  RecoveredLog log_;
  std::optional<RecordHeader> previous_;  // of the record replayed last
  uint64_t expected_ = 0;                 // number of the next record; 0: any
  // Records from this number on are lost, and nothing has told yet what they had changed.
  std::optional<uint64_t> lost_since_;
  bool resuming_ = false;  // behind a loss: only the beginning of a batch is believed
  uint64_t proven_ = 0;    // damage before this offset of the last segment is no torn tail
  std::vector<Salvaged> salvage_;
};

Result<RecoveredLog> Recovery::run() {
  SegmentChain chain(disk_, directory_);
  if (auto done = chain.find(); !done) return std::unexpected(done.error());
  log_.damage = std::move(chain.damage);
  log_.free = std::move(chain.free);
  log_.next_file = chain.next_file;
  log_.next_generation = chain.generation_max + 1;
  for (size_t place = 0; place < chain.links.size(); ++place) {
    const bool last = place + 1 == chain.links.size();
    log_.segments.emplace(chain.links[place].segment->generation, chain.links[place].segment);
    if (auto done = replay(chain.links[place], last); !done) return std::unexpected(done.error());
  }
  if (auto done = find_damaged(); !done) return std::unexpected(done.error());
  if (auto done = check_end(); !done) return std::unexpected(done.error());
  return std::move(log_);
}

// Whether the record is the one that comes next, or one that may follow what was lost.
bool Recovery::believable(const Record& record, uint64_t offset) const {
  if (QRT_MUTANT(D06)) return true;
  const RecordHeader& header = record.header;
  const bool opens_segment = offset == kPageBytes;
  if (opens_segment != (header.type == RecordType::checkpoint)) return false;
  if (header.number < expected_) return false;
  if (resuming_ || opens_segment) return header.batch_begin == offset;
  if (expected_ != 0 && header.number != expected_) return false;
  if (previous_->following == 0) return header.batch_begin == offset;
  return header.batch_begin == previous_->batch_begin &&
         header.following == previous_->following - 1;
}

// What cannot be believed at the end of the log was never acknowledged, unless a later batch is
// behind it.
bool Recovery::is_torn(const Bytes& content, uint64_t offset, const ChainLink& link, bool last) {
  if (!last || offset < proven_) return false;
  const auto proof = later_batch(content.view(), offset, link.segment->generation);
  if (proof) proven_ = std::max(proven_, *proof);
  return !proof;
}

Recovery::Step Recovery::replay(const ChainLink& link, bool last) {
  Segment& segment = *link.segment;
  auto loaded = load_segment(segment, segment.filled);
  if (!loaded) return std::unexpected(loaded.error());
  const Bytes& content = *loaded;
  segment.end = link.end.value_or(0);
  if (link.behind_gap) lost_since_ = lost_since_.value_or(expected_);
  resuming_ = link.behind_gap;
  proven_ = 0;
  const uint64_t limit = link.end.value_or(content.size());
  uint64_t offset = kPageBytes;
  while (offset < limit) {
    const auto record = parse_record(content.view(), offset, segment.generation);
    if (record && believable(*record, offset)) {
      std::optional<StoredWrite> write;
      if (record->header.type == RecordType::write) {
        write = decode_write(*record, content);
        if (!write || !record->header.group) {
          return refuse_log(place_of(segment, offset, "its record makes no sense"));
        }
        if (!write->whole && is_torn(content, offset, link, last)) break;
      }
      if (auto done = apply(segment, *record, offset, write ? &*write : nullptr); !done) {
        return done;
      }
      previous_ = record->header;
      expected_ = record->header.number + 1;
      resuming_ = false;
      offset = record->next;
      continue;
    }
    if (is_torn(content, offset, link, last)) break;
    const auto next = next_batch(content.view(), offset, limit, segment.generation, expected_);
    lose(segment, offset, "records are lost up to offset " + std::to_string(next.value_or(limit)));
    offset = next.value_or(limit);
  }
  if (QRT_MUTANT(D03)) lost_since_.reset();
  if (!last) {
    // Without its end being told, whether something is missing shows in the next number.
    return {};
  }
  if (offset == kPageBytes && !previous_) {
    return refuse_log(place_of(segment, offset, "its first record is not valid"));
  }
  log_.last_generation = segment.generation;
  log_.last_end = offset;
  return rewrite_last_batch(segment, content, offset);
}

void Recovery::lose(const Segment& segment, uint64_t offset, const std::string& why) {
  log_.damage.push_back(place_of(segment, offset, why));
  lost_since_ = lost_since_.value_or(expected_);
  resuming_ = true;
}

// After a failed sync, or a kill before it, the page cache may show what the disk does not have
// and will not get from another sync alone. Writing the same bytes again cannot harm.
Recovery::Step Recovery::rewrite_last_batch(Segment& segment, const Bytes& content, uint64_t end) {
  const uint64_t begin = previous_ ? previous_->batch_begin : kPageBytes;
  const uint64_t stop = std::min<uint64_t>(end, content.size());
  if (begin >= stop || resuming_) return {};
  auto written = segment.file->write_at(begin, content.slice(begin, stop - begin).span());
  if (written) written = segment.file->sync_data();
  if (!written) return std::unexpected(explain(written.error(), "write to " + segment.path));
  return {};
}

// ---- What the records say.

Recovery::Step Recovery::apply(Segment& segment, const Record& record, uint64_t offset,
                               StoredWrite* write) {
  // A segment before this one may have ended earlier than it should have.
  if (expected_ != 0 && record.header.number > expected_) {
    lost_since_ = lost_since_.value_or(expected_);
  }
  switch (record.header.type) {
    case RecordType::checkpoint:
      return apply_checkpoint(segment, record, offset);
    case RecordType::state:
    case RecordType::seal:
      return apply_state(segment, record, offset);
    case RecordType::write:
      return apply_write(segment, record, offset, *write);
  }
  return {};
}

bool Recovery::contradicts(const StoredGroup& told, const GroupState& state) {
  return state.hard_state != told.hard_state || state.last_write != told.last_write ||
         state.last != told.last || state.snapshot.index != told.snapshot.index ||
         state.snapshot.ballot != told.snapshot.ballot;
}

// The oldest segment's checkpoint. In format 1 it does not say which entries stood before it; all
// of them have been dropped since.
void Recovery::begin_with(const StoredGroup& told) {
  GroupState& state = group(told.group).state;
  if (told.identities && state.adopt(told)) return;
  state.hard_state = told.hard_state;
  state.last_write = told.last_write;
  state.last = told.last;
  state.snapshot = told.snapshot;
  state.snapshot.members = Bytes(told.snapshot.members.view());
}

Recovery::Step Recovery::apply_checkpoint(Segment& segment, const Record& record, uint64_t offset) {
  const auto told = told_by(record);
  if (!told) return refuse_log(place_of(segment, offset, "its checkpoint makes no sense"));
  const bool first = !previous_.has_value();
  for (const StoredGroup& stored : told->groups) {
    if (first) {
      begin_with(stored);
    } else if (lost_since_) {
      if (adopt(stored)) continue;
      return refuse_log(place_of(segment, offset,
                                 "its checkpoint does not tell what the lost records before it "
                                 "had changed"));
    } else if (contradicts(stored, group(stored.group).state)) {
      return refuse_log(
          place_of(segment, offset, "its checkpoint contradicts the records before it"));
    }
  }
  if (lost_since_) use_salvage();
  lost_since_.reset();
  return {};
}

Recovery::Step Recovery::apply_state(Segment& segment, const Record& record, uint64_t offset) {
  if (record.header.format == 0) return {};  // a seal of format 1 tells nothing
  const auto told = told_by(record);
  if (!told) return refuse_log(place_of(segment, offset, "its state record makes no sense"));
  // Does it reach back to before the loss? Otherwise the next checkpoint may tell.
  if (lost_since_ && told->covers > *lost_since_) return {};
  for (const StoredGroup& stored : told->groups) {
    if (lost_since_) {
      if (!adopt(stored)) return {};
    } else if (contradicts(stored, group(stored.group).state)) {
      return refuse_log(
          place_of(segment, offset, "its state record contradicts the records before it"));
    }
  }
  lost_since_.reset();
  return {};
}

Recovery::Step Recovery::apply_write(Segment& segment, const Record& record, uint64_t offset,
                                     StoredWrite& stored) {
  consensus::Write& write = stored.write;
  if (lost_since_) {
    // Which of these entries are still in the log will be known later, or never.
    size_t place = 0;
    for (auto* list : {&write.entries, &write.repairs}) {
      for (consensus::Entry& entry : *list) {
        const Position& position = stored.positions[place++];
        if (!position) continue;
        if (entry.kind != consensus::EntryKind::members) entry.data = {};
        entry.data = Bytes(entry.data.view());
        salvage_.push_back({record.header.group, std::move(entry), position});
      }
    }
    return {};
  }
  RecoveredGroup& recovered = group(record.header.group);
  if (const char* rule = recovered.state.broken_rule(write, stored.keep_rest)) {
    return refuse_log(
        place_of(segment, offset, std::string("its record breaks the rule that ") + rule));
  }
  if (!stored.whole) {
    log_.damage.push_back(place_of(segment, offset, "entries of its record are lost"));
  }
  recovered.state.apply(write, stored.keep_rest);
  recovered.positions.apply(write, stored.keep_rest, stored.positions);
  auto& members = recovered.members;
  if (write.truncate_from) members.erase(members.lower_bound(*write.truncate_from), members.end());
  if (write.snapshot) {
    if (write.install && !stored.keep_rest) members.clear();
    members.erase(members.begin(), members.upper_bound(write.snapshot->index));
  }
  size_t place = 0;
  for (auto* list : {&write.entries, &write.repairs}) {
    for (consensus::Entry& entry : *list) {
      const bool whole = static_cast<bool>(stored.positions[place++]);
      members.erase(entry.index);
      if (entry.kind != consensus::EntryKind::members || !whole) continue;
      entry.data = Bytes(entry.data.view());  // otherwise it would keep the whole segment
      members.emplace(entry.index, entry);
    }
  }
  return {};
}

// ---- What was lost.

bool Recovery::adopt(const StoredGroup& told) {
  RecoveredGroup& recovered = group(told.group);
  GroupState& state = recovered.state;
  const BallotRuns before = state.runs;
  const Index last_before = state.last;
  if (!state.adopt(told)) return false;
  const Index first =
      std::max(told.identities ? told.since : state.last.next(), state.snapshot.index.next());
  for (Index index = first; index <= last_before; ++index) {
    const bool same = index <= state.last && before.find(index) == state.runs.find(index);
    if (!same) recovered.positions.forget(index);
  }
  recovered.positions.truncate_from(state.last.next());
  recovered.positions.drop_through(state.snapshot.index);
  std::erase_if(recovered.members, [&](const auto& known) {
    return !state.members.contains(known.first) ||
           state.runs.find(known.first) != known.second.ballot;
  });
  return true;
}

void Recovery::use_salvage() {
  for (Salvaged& found : salvage_) {
    RecoveredGroup& recovered = group(found.group);
    const GroupState& state = recovered.state;
    const Index index = found.entry.index;
    const bool in_log = index > state.snapshot.index && index <= state.last &&
                        state.runs.find(index) == found.entry.ballot;
    if (!in_log) continue;
    recovered.positions.put(index, found.position);
    if (state.members.contains(index)) {
      recovered.members.insert_or_assign(index, std::move(found.entry));
    }
  }
  salvage_.clear();
}

// An entry that stands in the log and lies nowhere is damaged.
Recovery::Step Recovery::find_damaged() {
  if (lost_since_ && !QRT_MUTANT(D03_DOUBT)) {
    return refuse_log(log_.damage.empty() ? "records of the log in " + directory_ + " are lost"
                                          : log_.damage.back());
  }
  for (auto& [id, recovered] : log_.groups) {
    GroupState& state = recovered.state;
    for (Index index = state.snapshot.index.next(); index <= state.last; ++index) {
      if (recovered.positions.find(index) != nullptr) continue;
      const auto ballot = state.runs.find(index);
      if (!ballot) {
        return refuse_log("entry " + std::to_string(index.value) + " of group " +
                          std::to_string(id.value) + " in the log in " + directory_ +
                          " is lost, and nothing says which one it was");
      }
      if (*ballot != consensus::Ballot{}) state.damaged.add({index, index});
    }
    if (state.hard_state.committed > std::max(state.last, state.snapshot.index)) {
      return refuse_log("the log in " + directory_ + " ends at entry " +
                        std::to_string(state.last.value) + " but says that entry " +
                        std::to_string(state.hard_state.committed.value) + " is committed");
    }
  }
  return {};
}

// The log itself cannot tell that its last pages or its newest file are gone.
Recovery::Step Recovery::check_end() {
  log_.next_number = std::max<uint64_t>(expected_, 1);
  const auto mark = read_end_mark(disk_, directory_);
  if (!mark) return {};
  log_.mark_sequence = mark->sequence;
  log_.next_generation = std::max(log_.next_generation, mark->generation + 1);
  if (mark->number < log_.next_number || QRT_MUTANT(D05)) return {};
  return refuse_log("the log in " + directory_ + " ends with record " +
                    std::to_string(log_.next_number - 1) + " but once reached record " +
                    std::to_string(mark->number) + ": its end is lost");
}

}  // namespace

Result<RecoveredLog> recover_log(world::Disk& disk, const std::string& directory) {
  return Recovery(disk, directory).run();
}

}  // namespace quorate::storage::wal
