#include "storage/wal/wal.h"

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "base/log.h"
#include "base/mutant.h"
#include "storage/wal/entry_reader.h"
#include "storage/wal/recovery.h"

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
        writer_(std::make_shared<BatchWriter>(disk, options_.directory)) {}
  ~SegmentedWal() override {
    if (seal_timer_ != 0) executor_.cancel(seal_timer_);
  }

  Result<void> open();

  std::vector<GroupId> groups() const override;
  consensus::Recovered take_recovered(GroupId group) override;
  void set_callbacks(DurableCallback durable, FailureCallback failed) override;
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
  wal::Checkpoint make_checkpoint(uint64_t generation) const;
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

  std::vector<Source> locate(GroupId id, consensus::IndexRange range, size_t bytes_max);
  std::optional<Source> locate_entry(const std::vector<const Batch::Item*>& pending,
                                     const Group& group, Index index) const;

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
  DurableCallback durable_;
  FailureCallback failed_;
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
  std::map<uint64_t, std::shared_ptr<Segment>> segments_;  // still needed
  std::vector<std::shared_ptr<Segment>> free_;
  bool preparing_ = false;

  world::TimerId seal_timer_ = 0;
  bool sealed_ = true;
  Time last_written_{};
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
    if (auto synced = disk_.sync_directory(parent_of(options_.directory)); !synced) return synced;
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
  for (auto& [id, recovered] : found->groups) {
    if (auto adopted = adopt_group(id, recovered); !adopted) return adopted;
  }
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

  std::vector<EntryPlace> places;
  size_t bytes = 0;
  for (Index index = state.last; index > state.snapshot.index; index = index.previous()) {
    const Position* position = adopted.positions.find(index);
    if (position == nullptr) break;
    bytes += position->size;
    if (bytes > options_.recovered_tail_bytes && !places.empty()) break;
    places.push_back({index, *position, segments_.at(position->generation)});
  }
  std::ranges::reverse(places);
  auto tail = wal::read_entries(places);
  if (!tail) return std::unexpected(tail.error());
  recovered.tail = std::move(*tail);
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
  CHECK(write.repairs.empty(), "only a log that reports damage is asked to repair it");
  CHECK(wal::encoded_write_size_max(write) <= kWriteBytesMax, "a write fits into a segment");
  Group& target = group(id);
  const bool keep_rest = target.queued.keeps_rest(write);
  const char* broken = target.queued.broken_rule(write, keep_rest);
  CHECK(broken == nullptr, broken);
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
  const uint64_t overhead = kPageBytes + checkpoint_bytes_max();
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
  place_batch(batch, bytes);
}

uint64_t SegmentedWal::checkpoint_bytes_max() const {
  constexpr uint64_t kGroupBytesMax = 160;  // without the members
  uint64_t bytes = kRecordHeaderBytes + kRecordAlignment + 64;
  for (const auto& [id, group] : groups_) {
    bytes += kGroupBytesMax + group.durable.snapshot.members.size();
  }
  return bytes;
}

void SegmentedWal::place_batch(Batch& batch, uint64_t bytes_max) {
  batch.first_number = next_number_;
  const uint64_t pages = wal::align_up(bytes_max, kPageBytes);
  if (active_ != nullptr && position_ + pages <= capacity_) {
    batch.segment = active_;
    batch.begin = position_;
    batch.segment_bytes = capacity_;
    return;
  }
  const uint64_t needed =
      kPageBytes + wal::align_up(bytes_max + checkpoint_bytes_max(), kPageBytes);
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
  batch.rotation.emplace(make_checkpoint(batch.segment->generation), create);
}

std::shared_ptr<Segment> SegmentedWal::new_segment() {
  auto segment = std::make_shared<Segment>();
  segment->path = options_.directory + "/" + std::to_string(next_file_++) + ".wal";
  return segment;
}

// No batch is under way here, so what is durable is exactly what the segments before hold.
wal::Checkpoint SegmentedWal::make_checkpoint(uint64_t generation) const {
  wal::Checkpoint checkpoint;
  checkpoint.oldest_needed = live_->oldest(generation);
  checkpoint.previous = last_generation_;
  checkpoint.previous_end = last_end_;
  for (const auto& [id, group] : groups_) {
    const wal::GroupState& state = group.durable;
    if (state.last_write.value == 0) continue;  // all that was queued is still to be written
    checkpoint.groups.push_back(
        {id, state.last_write, state.last, state.hard_state, state.snapshot});
  }
  return checkpoint;
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
  metrics_.sync_nanoseconds += static_cast<uint64_t>(took.count());
  next_number_ += batch->records;
  position_ = batch->end;
  last_generation_ = batch->segment->generation;
  last_end_ = batch->end;
  last_written_ = executor_.now();
  sealed_ = batch->items.empty();
  if (batch->rotation) on_segment_begun(*batch);
  for (Batch::Item& item : batch->items) {
    Group& target = group(item.group);
    target.durable.apply(item.write, item.keep_rest);
    target.positions.apply(item.write, item.keep_rest, item.positions);
  }
  start_batch();  // what waited need not wait for the callbacks too
  arm_seal();
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
  active_ = batch.segment;
  capacity_ = batch.segment_bytes;
  if (batch.rotation->create) {
    ++metrics_.segments_created;
  } else {
    ++metrics_.segments_recycled;
  }
  while (!segments_.empty() &&
         segments_.begin()->first < batch.rotation->checkpoint.oldest_needed) {
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
  // A seal is not worth a segment of its own: the next batch opens one soon enough.
  const bool fits = position_ + kPageBytes <= capacity_;
  if (quiet && !fits) return;
  if (!quiet) {
    // A batch under way arms it anew when it is written.
    if (!in_flight_) last_written_ = std::max(last_written_, executor_.now() - kSealDelay / 2);
    if (!in_flight_) arm_seal();
    return;
  }
  in_flight_ = std::make_shared<Batch>();
  place_batch(*in_flight_, kRecordHeaderBytes);
  submit();
}

// ---- Reading back.

// A write that is queued or under way changes what the log holds: the newest one decides.
std::optional<Source> SegmentedWal::locate_entry(const std::vector<const Batch::Item*>& pending,
                                                 const Group& group, Index index) const {
  for (auto item = pending.rbegin(); item != pending.rend(); ++item) {
    const consensus::Write& write = (*item)->write;
    const auto entry = std::ranges::lower_bound(write.entries, index, {}, &consensus::Entry::index);
    if (entry != write.entries.end() && entry->index == index) return Source(*entry);
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
    Result<std::vector<consensus::Entry>> entries;
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
  auto finish = while_alive([job] {
    job->places.clear();
    if (!job->entries) {
      job->done(std::move(job->entries));
      return;
    }
    std::vector<consensus::Entry> entries;
    size_t from_disk = 0;
    for (Source& source : job->sources) {
      auto* entry = std::get_if<consensus::Entry>(&source);
      entries.push_back(std::move(entry != nullptr ? *entry : (*job->entries)[from_disk++]));
    }
    job->sources.clear();
    job->done(std::move(entries));
  });
  if (job->places.empty()) {
    executor_.post(std::move(finish));
    return;
  }
  executor_.run_blocking(
      world::DiskLane::background, [job] { job->entries = wal::read_entries(job->places); },
      std::move(finish));
}

}  // namespace

Result<std::unique_ptr<Wal>> open_wal(world::Disk& disk, world::Executor& executor,
                                      WalOptions options) {
  auto wal = std::make_unique<SegmentedWal>(disk, executor, std::move(options));
  if (auto opened = wal->open(); !opened) return std::unexpected(opened.error());
  return std::unique_ptr<Wal>(std::move(wal));
}

}  // namespace quorate::storage
