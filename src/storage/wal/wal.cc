#include "storage/wal/wal.h"

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "base/log.h"
#include "base/mutant.h"
#include "storage/wal/end_mark.h"
#include "storage/wal/entry_reader.h"
#include "storage/wal/recent_changes.h"
#include "storage/wal/recovery.h"
#include "storage/wal/scrub.h"
#include "storage/wal/stored_write.h"

namespace quorate::storage {
namespace {

using wal::Batch;
using wal::BatchWriter;
using wal::EntryPlace;
using wal::kPageBytes;
using wal::kRecordAlignment;
using wal::kRecordHeaderBytes;
using wal::LiveEntries;
using wal::Position;
using wal::Segment;

// One batch: what waits longer than this takes to write goes into the next one. A single write
// may be larger.
constexpr uint64_t kBatchBytesMax = uint64_t{4} << 20U;
// One write is one record, and so is atomic. Far above what a replica queues at once.
constexpr uint64_t kWriteBytesMax = wal::kSegmentBytesMax / 4;
// Free segments kept for reuse. One serves the next rotation, one covers a burst; more only
// occupies the disk.
constexpr size_t kFreeSegmentsMax = 2;
// The last batch has nothing behind it that would tell damage from a torn write. When the log
// has been quiet for this long, a seal is written behind it.
constexpr Duration kSealDelay = std::chrono::milliseconds(100);

struct Group {
  explicit Group(LiveEntries& live) : positions(live) {}
  wal::GroupState queued;         // after every append(): what the guards judge by
  wal::GroupState durable;        // after every durable write: what a checkpoint repeats
  wal::EntryPositions positions;  // of durable entries
  consensus::Recovered recovered;
  bool taken = false;
};

// Where one entry of a read comes from: a write not yet durable, or a segment.
using Source = std::variant<consensus::Entry, EntryPlace>;

class SegmentedWal : public Wal {
 public:
  SegmentedWal(world::Disk& disk, world::Executor& executor, WalOptions options)
      : disk_(disk),
        executor_(executor),
        options_(std::move(options)),
        writer_(std::make_shared<BatchWriter>(disk, options_.directory)),
        mark_writer_(std::make_shared<wal::EndMarkWriter>(disk, options_.directory)) {}
  ~SegmentedWal() override {
    if (seal_timer_ != 0) executor_.cancel(seal_timer_);
    if (scrub_timer_ != 0) executor_.cancel(scrub_timer_);
  }

  Result<void> open();

  std::vector<GroupId> groups() const override;
  consensus::Recovered take_recovered(GroupId group) override;
  void set_callbacks(DurableCallback durable, FailureCallback failed) override;
  void set_damage_callback(DamageCallback damaged) override { damaged_ = std::move(damaged); }
  void append(GroupId group, consensus::Write write) override;
  void flush() override;
  void read(GroupId group, consensus::IndexRange range, size_t bytes_max,
            ReadCallback done) override;
  WalMetrics metrics() const override { return metrics_; }

 private:
  Result<void> adopt_group(GroupId id, wal::RecoveredGroup& found);
  Group& group(GroupId id);

  void start_batch();
  void fill_batch(Batch& batch);
  uint64_t checkpoint_bytes_max() const;
  void place_batch(Batch& batch, uint64_t bytes_max);
  std::string tell_all() const;
  std::string tell_recent() const;
  std::string tell(uint64_t covers, std::vector<wal::StoredGroup> groups) const;
  void submit();
  void on_written(Duration took);
  void on_segment_begun(const Batch& batch);
  void fail(const Error& error);

  void remove_surplus();
  void prepare_segment();
  void fill_prepared(std::shared_ptr<Segment> segment, bool create);
  std::shared_ptr<Segment> new_segment();
  void arm_seal();
  void on_seal_timer();
  void write_mark();  // everything that is durable counts as the log's end

  std::vector<Source> locate(GroupId id, consensus::IndexRange range, size_t bytes_max);
  std::optional<Source> locate_entry(const std::vector<const Batch::Item*>& pending,
                                     const Group& group, Index index) const;
  void note_damage(GroupId id, const std::vector<EntryPlace>& places, const std::string& why);

  void arm_scrub(Duration delay);
  void on_scrub_timer();
  void on_scrubbed(const wal::ScrubPart& part);

  // Wraps what must not run once this object is gone.
  template <class Callable>
  world::Task while_alive(Callable callable) {
    return [alive = std::weak_ptr<bool>(alive_), callable = std::move(callable)]() mutable {
      if (!alive.expired()) callable();
    };
  }

  world::Disk& disk_;
  world::Executor& executor_;
  const WalOptions options_;
  std::shared_ptr<BatchWriter> writer_;
  std::shared_ptr<wal::EndMarkWriter> mark_writer_;
  DurableCallback durable_;
  FailureCallback failed_;
  DamageCallback damaged_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  std::unique_ptr<LiveEntries> live_;
  std::map<GroupId, Group> groups_;
  std::deque<Batch::Item> queue_;
  std::shared_ptr<Batch> in_flight_;
  bool flush_wanted_ = false;
  std::optional<Error> failure_;

  std::shared_ptr<Segment> active_;  // null until the first batch after open()
  uint64_t position_ = 0;            // where the next batch goes
  uint64_t capacity_ = 0;            // of the active segment
  uint64_t next_number_ = 1;
  uint64_t next_generation_ = 1;
  uint64_t next_file_ = 1;
  uint64_t last_generation_ = 0;  // of the segment the log ends in
  uint64_t last_end_ = 0;
  Batch::Rotation link_;  // as the active segment's first record names it
  wal::RecentChanges recent_;
  wal::EndMark mark_;  // written last, or being written
  bool marking_ = false;
  bool checkpoint_is_new_ = false;                         // no batch is behind it yet
  std::map<uint64_t, std::shared_ptr<Segment>> segments_;  // still needed
  std::vector<std::shared_ptr<Segment>> free_;
  bool preparing_ = false;

  world::TimerId seal_timer_ = 0;
  bool sealed_ = true;
  Time last_written_{};

  world::TimerId scrub_timer_ = 0;
  uint64_t scrub_generation_ = 0;  // the segment being read again, and how far
  uint64_t scrub_offset_ = 0;
  WalMetrics metrics_;
};

std::string parent_of(const std::string& directory) {
  const size_t slash = directory.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : directory.substr(0, slash);
}

Result<void> SegmentedWal::open() {
  if (!disk_.exists(options_.directory)) {
    if (auto made = disk_.make_directory(options_.directory); !made) return made;
  }
  // Who was killed before may have made this directory or files in it and not come to sync their
  // names: they are there, will be used, and would be gone after a loss of power.
  for (const std::string& directory : {parent_of(options_.directory), options_.directory}) {
    if (auto synced = disk_.sync_directory(directory); !synced) return synced;
  }
  auto found = wal::recover_log(disk_, options_.directory);
  if (!found) return std::unexpected(found.error());
  live_ = std::move(found->live);
  segments_ = std::move(found->segments);
  free_ = std::move(found->free);
  next_generation_ = found->next_generation;
  next_number_ = found->next_number;
  next_file_ = found->next_file;
  last_generation_ = found->last_generation;
  last_end_ = found->last_end;
  mark_.sequence = found->mark_sequence;
  for (const std::string& sentence : found->damage) log(LogLevel::warn, "wal: " + sentence);
  for (auto& [id, recovered] : found->groups) {
    if (auto adopted = adopt_group(id, recovered); !adopted) return adopted;
  }
  if (QRT_MUTANT(D11)) {
    auto spare = disk_.open(new_segment()->path, world::OpenMode::create);
    if (!spare) return std::unexpected(spare.error());
  }
  arm_scrub(options_.scrub_pause);
  return {};
}

Result<void> SegmentedWal::adopt_group(GroupId id, wal::RecoveredGroup& found) {
  Group& adopted = group(id);
  adopted.positions = std::move(found.positions);
  adopted.queued = found.state;
  adopted.durable = std::move(found.state);
  const wal::GroupState& state = adopted.queued;
  consensus::Recovered& recovered = adopted.recovered;
  recovered.hard_state = state.hard_state;
  recovered.snapshot = state.snapshot;
  recovered.runs = state.runs.list();
  recovered.last = state.last;
  recovered.last_write = state.last_write;
  for (auto& [index, entry] : found.members) recovered.members_entries.push_back(entry);
  recovered.damaged = state.damaged.list();
  for (const Index index : state.members) {
    if (!found.members.contains(index)) recovered.damaged_members.push_back(index);
  }
  metrics_.entries_damaged += state.damaged.count();

  std::vector<EntryPlace> places;
  size_t bytes = 0;
  for (Index index = state.last; index > state.snapshot.index; index = index.previous()) {
    const Position* position = adopted.positions.find(index);
    if (position == nullptr) {
      if (state.runs.find(index) == consensus::Ballot{}) continue;  // a hole
      break;
    }
    bytes += position->size;
    if (bytes > options_.recovered_tail_bytes && !places.empty()) break;
    places.push_back({index, *position, segments_.at(position->generation)});
  }
  std::ranges::reverse(places);
  auto tail = wal::read_entries(places);
  // Verified a moment ago: a disk that forgets this fast is not to be started on.
  if (tail.damaged) return quorate::fail(ErrorKind::io, tail.why + "; check the device");
  recovered.tail = std::move(tail.entries);
  return {};
}

std::vector<GroupId> SegmentedWal::groups() const {
  std::vector<GroupId> ids;
  for (const auto& [id, group] : groups_) ids.push_back(id);
  return ids;
}

consensus::Recovered SegmentedWal::take_recovered(GroupId id) {
  const auto found = groups_.find(id);
  CHECK(found != groups_.end() && !found->second.taken, "each recovered group is taken once");
  found->second.taken = true;
  return std::move(found->second.recovered);
}

void SegmentedWal::set_callbacks(DurableCallback durable, FailureCallback failed) {
  durable_ = std::move(durable);
  failed_ = std::move(failed);
}

Group& SegmentedWal::group(GroupId id) { return groups_.try_emplace(id, *live_).first->second; }

void SegmentedWal::append(GroupId id, consensus::Write write) {
  if (failure_) return;
  CHECK(static_cast<bool>(id), "no group is numbered zero");
  CHECK(wal::encoded_write_size_max(write) <= kWriteBytesMax, "a write fits into a segment");
  Group& target = group(id);
  const bool keep_rest = target.queued.keeps_rest(write);
  const char* broken = target.queued.broken_rule(write, keep_rest);
  CHECK(broken == nullptr, broken);
  const char* unasked = target.queued.broken_repair(write);
  CHECK(unasked == nullptr, unasked);
  metrics_.entries_repaired += write.repairs.size();
  target.queued.apply(write, keep_rest);
  queue_.push_back({id, std::move(write), keep_rest, {}});
}

void SegmentedWal::flush() {
  flush_wanted_ = true;
  start_batch();
}

void SegmentedWal::start_batch() {
  if (!flush_wanted_ || in_flight_ || failure_) return;
  if (queue_.empty()) {
    flush_wanted_ = false;
    return;
  }
  in_flight_ = std::make_shared<Batch>();
  fill_batch(*in_flight_);
  if (QRT_MUTANT(P16)) {
    for (const Batch::Item& item : in_flight_->items) {
      if (durable_) durable_(item.group, item.write.id, Duration::zero());
    }
  }
  submit();
}

void SegmentedWal::fill_batch(Batch& batch) {
  // A small segment is not blown up by a large batch, only by a single large write.
  const uint64_t overhead = 2 * kPageBytes + checkpoint_bytes_max();
  const uint64_t room = options_.segment_bytes > overhead ? options_.segment_bytes - overhead : 0;
  const uint64_t limit = std::min(kBatchBytesMax, room);
  uint64_t bytes = 0;
  while (!queue_.empty()) {
    const uint64_t size =
        wal::encoded_write_size_max(queue_.front().write) + kRecordHeaderBytes + kRecordAlignment;
    if (!batch.items.empty() && bytes + size > limit) break;
    bytes += size;
    batch.items.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  batch.told = tell_recent();
  place_batch(batch, bytes + batch.told.size() + kRecordHeaderBytes + kRecordAlignment);
}

uint64_t SegmentedWal::checkpoint_bytes_max() const {
  constexpr uint64_t kGroupBytesMax = 160;  // without what follows
  constexpr uint64_t kRunBytesMax = 28;
  constexpr uint64_t kIndexBytesMax = 10;
  uint64_t bytes = kRecordHeaderBytes + kRecordAlignment + 64;
  for (const auto& [id, group] : groups_) {
    const wal::GroupState& state = group.durable;
    bytes += kGroupBytesMax + state.snapshot.members.size() + state.runs.size() * kRunBytesMax +
             state.members.size() * kIndexBytesMax;
  }
  return bytes;
}

void SegmentedWal::place_batch(Batch& batch, uint64_t bytes_max) {
  batch.first_number = next_number_;
  // The last page of a segment is kept for a seal, which is the only batch without items.
  const uint64_t kept = batch.items.empty() ? 0 : kPageBytes;
  const uint64_t pages = wal::align_up(bytes_max, kPageBytes) + kept;
  if (active_ != nullptr && position_ + pages <= capacity_) {
    batch.segment = active_;
    batch.begin = position_;
    batch.segment_bytes = capacity_;
    return;
  }
  const uint64_t needed =
      kPageBytes + wal::align_up(bytes_max + checkpoint_bytes_max(), kPageBytes) + kPageBytes;
  batch.segment_bytes = std::max(options_.segment_bytes, needed);
  CHECK(batch.segment_bytes <= wal::kSegmentBytesMax, "offsets in a segment fit into 32 bits");
  batch.begin = kPageBytes;
  // A file that a read still uses must keep its bytes.
  const auto reusable = std::ranges::find_if(
      free_, [](const std::shared_ptr<Segment>& segment) { return segment.use_count() == 1; });
  const bool create = reusable == free_.end();
  if (create) {
    batch.segment = new_segment();
  } else {
    batch.segment = std::move(*reusable);
    free_.erase(reusable);
  }
  batch.segment->generation = next_generation_++;
  link_ = {live_->oldest(batch.segment->generation), last_generation_, last_end_, create};
  batch.rotation = link_;
  batch.told = tell_all();
}

std::shared_ptr<Segment> SegmentedWal::new_segment() {
  auto segment = std::make_shared<Segment>();
  segment->path = options_.directory + "/" + std::to_string(next_file_++) + ".wal";
  return segment;
}

// No batch is under way here, so what is durable is exactly what the batches before hold.
std::string SegmentedWal::tell_all() const {
  std::vector<wal::StoredGroup> groups;
  for (const auto& [id, group] : groups_) {
    if (group.durable.last_write.value == 0) continue;  // all that was queued is to be written yet
    groups.push_back(group.durable.told(id, {}, true));
  }
  return tell(0, std::move(groups));
}

// A segment's checkpoint is told once more by the batch behind it, on another page.
std::string SegmentedWal::tell_recent() const {
  if (checkpoint_is_new_) return tell_all();
  uint64_t covers = next_number_;
  std::vector<wal::StoredGroup> groups;
  for (const auto& [id, change] : recent_.list(covers)) {
    groups.push_back(groups_.at(id).durable.told(id, change.since, change.snapshot));
  }
  return tell(covers, std::move(groups));
}

std::string SegmentedWal::tell(uint64_t covers, std::vector<wal::StoredGroup> groups) const {
  wal::StoredState state{link_.oldest_needed, link_.previous, link_.previous_end, covers,
                         std::move(groups)};
  Encoder out;
  wal::encode_state(out, state);
  return std::move(out.text());
}

void SegmentedWal::submit() {
  const Time started = executor_.now();
  executor_.run_blocking(
      world::DiskLane::log, [writer = writer_, batch = in_flight_] { writer->write(*batch); },
      while_alive([this, started] { on_written(executor_.now() - started); }));
}

void SegmentedWal::on_written(Duration took) {
  const std::shared_ptr<Batch> batch = std::move(in_flight_);
  in_flight_ = nullptr;
  if (batch->error) {
    fail(*batch->error);
    return;
  }
  ++metrics_.syncs;
  metrics_.bytes_written += batch->bytes_written;
  metrics_.sync_times.add(took);
  next_number_ += batch->records;
  position_ = batch->end;
  last_generation_ = batch->segment->generation;
  last_end_ = batch->end;
  last_written_ = executor_.now();
  sealed_ = batch->items.empty();
  checkpoint_is_new_ = batch->rotation.has_value();
  if (batch->rotation) on_segment_begun(*batch);
  if (!batch->items.empty()) recent_.begin_batch(batch->first_number);
  for (Batch::Item& item : batch->items) {
    Group& target = group(item.group);
    recent_.add(item.group, item.write, target.durable.last);
    target.durable.apply(item.write, item.keep_rest);
    target.positions.apply(item.write, item.keep_rest, item.positions);
  }
  start_batch();  // what waited need not wait for the callbacks too
  arm_seal();
  if (sealed_ || batch->rotation) write_mark();
  if (2 * position_ > capacity_) prepare_segment();
  if (QRT_MUTANT(P16)) return;
  const std::weak_ptr<bool> alive = alive_;
  for (const Batch::Item& item : batch->items) {
    if (durable_) durable_(item.group, item.write.id, took);
    if (alive.expired()) return;  // the callback was the last thing its owner wanted
  }
}

// The checkpoint is durable: only now do the segments that it no longer needs fall free.
void SegmentedWal::on_segment_begun(const Batch& batch) {
  const auto before = segments_.find(batch.rotation->previous);
  if (before != segments_.end()) before->second->end = batch.rotation->previous_end;
  active_ = batch.segment;
  capacity_ = batch.segment_bytes;
  if (batch.rotation->create) {
    ++metrics_.segments_created;
  } else {
    ++metrics_.segments_recycled;
  }
  while (!segments_.empty() && segments_.begin()->first < batch.rotation->oldest_needed) {
    free_.push_back(std::move(segments_.begin()->second));
    segments_.erase(segments_.begin());
  }
  segments_.emplace(active_->generation, active_);
  remove_surplus();
}

void SegmentedWal::fail(const Error& error) {
  if (failure_) return;
  failure_ = error;
  queue_.clear();
  if (failed_) failed_(error);
}

void SegmentedWal::remove_surplus() {
  const auto oversized = [this](const std::shared_ptr<Segment>& segment) {
    return segment->filled > 2 * std::max(options_.segment_bytes, kPageBytes);
  };
  for (auto segment = free_.begin(); segment != free_.end();) {
    const bool surplus = free_.size() > kFreeSegmentsMax || oversized(*segment);
    if (!surplus || segment->use_count() > 1) {
      ++segment;
      continue;
    }
    const auto removed = std::make_shared<Result<void>>();
    executor_.run_blocking(
        world::DiskLane::background,
        [&disk = disk_, path = (*segment)->path, removed] { *removed = disk.remove(path); },
        [removed] {
          // It only occupies space, and the next start will find it free again.
          if (!*removed) log(LogLevel::warn, "wal: " + removed->error().text);
        });
    segment = free_.erase(segment);
  }
}

// When the active segment is half full and nothing is free to follow it, a file is made and
// filled with zeros meanwhile. It gets no header: until a batch opens it, it is a free file.
void SegmentedWal::prepare_segment() {
  if (preparing_ || failure_ || !free_.empty()) return;
  preparing_ = true;
  fill_prepared(new_segment(), true);
}

void SegmentedWal::fill_prepared(std::shared_ptr<Segment> segment, bool create) {
  struct Outcome {
    Result<bool> more = false;
  };
  const auto outcome = std::make_shared<Outcome>();
  executor_.run_blocking(
      world::DiskLane::background,
      [&disk = disk_, segment, create, outcome, directory = options_.directory,
       bytes = options_.segment_bytes] {
        if (create) {
          auto file = disk.open(segment->path, world::OpenMode::create);
          if (!file) {
            outcome->more = std::unexpected(file.error());
            return;
          }
          segment->file = std::move(*file);
          if (auto synced = disk.sync_directory(directory); !synced) {
            outcome->more = std::unexpected(synced.error());
            return;
          }
        }
        outcome->more = wal::fill_segment(*segment, bytes);
      },
      while_alive([this, segment, outcome]() mutable {
        if (outcome->more && *outcome->more) {
          fill_prepared(std::move(segment), false);
          return;
        }
        preparing_ = false;
        if (outcome->more) {
          ++metrics_.segments_created;
          free_.push_back(std::move(segment));
        } else {
          // Nothing depends on this file yet. If the disk is really full or broken, the batch
          // that needs a segment will say so.
          log(LogLevel::warn, "wal: no spare segment: " + outcome->more.error().text);
        }
      }));
}

void SegmentedWal::arm_seal() {
  if (sealed_ || seal_timer_ != 0 || failure_) return;
  seal_timer_ = executor_.at(last_written_ + kSealDelay, while_alive([this] { on_seal_timer(); }));
}

void SegmentedWal::on_seal_timer() {
  seal_timer_ = 0;
  if (sealed_ || failure_) return;
  const bool quiet = !in_flight_ && queue_.empty() && executor_.now() >= last_written_ + kSealDelay;
  std::string told = tell_recent();
  const uint64_t bytes = kRecordHeaderBytes + told.size();
  // Hardly ever too large for the page that is kept for it. Then the mark must do.
  const bool fits = position_ + wal::align_up(bytes, kPageBytes) <= capacity_;
  if (quiet && !fits) return write_mark();
  if (!quiet) {
    // A batch under way arms it anew when it is written.
    if (!in_flight_) last_written_ = std::max(last_written_, executor_.now() - kSealDelay / 2);
    if (!in_flight_) arm_seal();
    return;
  }
  in_flight_ = std::make_shared<Batch>();
  in_flight_->told = std::move(told);
  place_batch(*in_flight_, bytes);
  submit();
}

// Beside the log and after it: it never speaks of more than is durable. Nothing depends on it
// until the end of the log is lost, so an error is worth a line and no more.
void SegmentedWal::write_mark() {
  const uint64_t number = next_number_ - (sealed_ ? 2 : 1);
  if (marking_ || failure_ || number <= mark_.number) return;
  marking_ = true;
  mark_ = {mark_.sequence + 1, last_generation_, number};
  const auto outcome = std::make_shared<Result<void>>();
  executor_.run_blocking(
      world::DiskLane::background,
      [writer = mark_writer_, mark = mark_, outcome] { *outcome = writer->write(mark); },
      while_alive([this, outcome] {
        marking_ = false;
        if (!*outcome) log(LogLevel::warn, "wal: no end mark: " + outcome->error().text);
      }));
}

// ---- Reading back.

// A write that is queued or under way changes what the log holds: the newest one decides.
std::optional<Source> SegmentedWal::locate_entry(const std::vector<const Batch::Item*>& pending,
                                                 const Group& group, Index index) const {
  for (auto item = pending.rbegin(); item != pending.rend(); ++item) {
    const consensus::Write& write = (*item)->write;
    const auto entry = std::ranges::lower_bound(write.entries, index, {}, &consensus::Entry::index);
    if (entry != write.entries.end() && entry->index == index) return Source(*entry);
    const auto repair = std::ranges::find(write.repairs, index, &consensus::Entry::index);
    if (repair != write.repairs.end()) return Source(*repair);
    if (write.snapshot) {
      if (index <= write.snapshot->index) return std::nullopt;
      if (write.install && !(*item)->keep_rest) return std::nullopt;
    }
    if (write.truncate_from && index >= *write.truncate_from) return std::nullopt;
  }
  const Position* position = group.positions.find(index);
  if (position == nullptr) return std::nullopt;
  return Source(EntryPlace{index, *position, segments_.at(position->generation)});
}

std::vector<Source> SegmentedWal::locate(GroupId id, consensus::IndexRange range,
                                         size_t bytes_max) {
  std::vector<Source> sources;
  const auto found = groups_.find(id);
  if (found == groups_.end()) return sources;
  std::vector<const Batch::Item*> pending;
  if (in_flight_) {
    for (const Batch::Item& item : in_flight_->items) {
      if (item.group == id) pending.push_back(&item);
    }
  }
  for (const Batch::Item& item : queue_) {
    if (item.group == id) pending.push_back(&item);
  }
  size_t bytes = 0;
  const Index last = std::min(range.last, found->second.queued.last);
  for (Index index = range.first; index <= last; ++index) {
    auto source = locate_entry(pending, found->second, index);
    if (!source) break;
    const auto* entry = std::get_if<consensus::Entry>(&*source);
    bytes += entry != nullptr ? entry->data.size() : std::get<EntryPlace>(*source).position.size;
    if (bytes > bytes_max && !sources.empty()) break;
    sources.push_back(std::move(*source));
  }
  return sources;
}

void SegmentedWal::read(GroupId id, consensus::IndexRange range, size_t bytes_max,
                        ReadCallback done) {
  struct Job {
    std::vector<Source> sources;
    std::vector<EntryPlace> places;
    wal::EntriesRead read;
    ReadCallback done;
  };
  const auto job = std::make_shared<Job>();
  job->done = std::move(done);
  if (failure_) {
    executor_.post(while_alive([job, error = *failure_] { job->done(std::unexpected(error)); }));
    return;
  }
  job->sources = locate(id, range, bytes_max);
  for (const Source& source : job->sources) {
    if (const auto* place = std::get_if<EntryPlace>(&source)) job->places.push_back(*place);
  }
  auto finish = while_alive([this, id, job] {
    job->places.clear();
    if (job->read.damaged) note_damage(id, {*job->read.damaged}, job->read.why);
    std::vector<consensus::Entry> entries;
    size_t from_disk = 0;
    for (Source& source : job->sources) {
      auto* entry = std::get_if<consensus::Entry>(&source);
      if (entry == nullptr && from_disk == job->read.entries.size()) break;  // damaged
      entries.push_back(std::move(entry != nullptr ? *entry : job->read.entries[from_disk++]));
    }
    job->sources.clear();
    job->read.damaged.reset();
    job->done(std::move(entries));
  });
  if (job->places.empty()) {
    executor_.post(std::move(finish));
    return;
  }
  executor_.run_blocking(
      world::DiskLane::background, [job] { job->read = wal::read_entries(job->places); },
      std::move(finish));
}

// ---- Damage.

// What lies there is lost, unless the entry has moved meanwhile.
void SegmentedWal::note_damage(GroupId id, const std::vector<EntryPlace>& places,
                               const std::string& why) {
  Group& target = group(id);
  IndexRanges lost;
  for (const EntryPlace& place : places) {
    const Position* known = target.positions.find(place.index);
    const bool same = known != nullptr && known->generation == place.position.generation &&
                      known->offset == place.position.offset;
    if (!same) continue;
    target.positions.forget(place.index);
    target.durable.damaged.add({place.index, place.index});
    // A write on its way may have dropped or replaced it; then nobody needs it any more.
    const bool wanted =
        place.index > target.queued.snapshot.index && place.index <= target.queued.last &&
        target.queued.runs.find(place.index) == target.durable.runs.find(place.index);
    if (!wanted) continue;
    target.queued.damaged.add({place.index, place.index});
    lost.add({place.index, place.index});
  }
  if (lost.empty()) return;
  metrics_.entries_damaged += lost.count();
  log(LogLevel::warn, "wal: " + why);
  if (damaged_) damaged_(id, lost.list(), why);
}

void SegmentedWal::arm_scrub(Duration delay) {
  if (options_.scrub_bytes_per_second == 0 || scrub_timer_ != 0 || failure_) return;
  scrub_timer_ = executor_.at(executor_.now() + delay, while_alive([this] { on_scrub_timer(); }));
}

// One part at a time, segment after segment, as fast as allowed; then a pause.
void SegmentedWal::on_scrub_timer() {
  scrub_timer_ = 0;
  if (failure_) return;
  auto segment = segments_.lower_bound(scrub_generation_);
  const auto end_of = [this](const Segment& read) {
    return read.generation == last_generation_ ? last_end_ : read.end;
  };
  if (segment != segments_.end() && segment->first == scrub_generation_ &&
      scrub_offset_ >= end_of(*segment->second)) {
    ++segment;
    scrub_offset_ = 0;
  }
  if (segment == segments_.end()) {
    scrub_generation_ = 0;
    scrub_offset_ = 0;
    return arm_scrub(options_.scrub_pause);
  }
  if (segment->first != scrub_generation_) scrub_offset_ = 0;
  scrub_generation_ = segment->first;
  const auto part = std::make_shared<wal::ScrubPart>();
  part->segment = segment->second;
  part->generation = segment->first;
  part->begin = scrub_offset_;
  part->limit = end_of(*segment->second);
  executor_.run_blocking(
      world::DiskLane::background, [part] { wal::scrub(*part); },
      while_alive([this, part] { on_scrubbed(*part); }));
}

void SegmentedWal::on_scrubbed(const wal::ScrubPart& part) {
  metrics_.scrubbed_bytes += part.bytes;
  scrub_offset_ = part.next;
  for (const wal::ScrubFinding& finding : part.findings) {
    log(LogLevel::warn, "wal: scrub: " + finding.why);
    for (auto& [id, group] : groups_) {
      std::vector<EntryPlace> places;
      for (const Index index :
           group.positions.within(part.generation, finding.begin, finding.end)) {
        places.push_back({index, *group.positions.find(index), part.segment});
      }
      if (!places.empty()) note_damage(id, places, finding.why);
    }
  }
  const auto rate = static_cast<int64_t>(options_.scrub_bytes_per_second);
  const auto bytes = static_cast<int64_t>(std::max<uint64_t>(part.bytes, 1));
  arm_scrub(Duration{std::chrono::nanoseconds(std::chrono::seconds(1)) * bytes / rate});
}

}  // namespace

Result<std::unique_ptr<Wal>> open_wal(world::Disk& disk, world::Executor& executor,
                                      WalOptions options) {
  auto wal = std::make_unique<SegmentedWal>(disk, executor, std::move(options));
  if (auto opened = wal->open(); !opened) return std::unexpected(opened.error());
  return std::unique_ptr<Wal>(std::move(wal));
}

}  // namespace quorate::storage
