#include "raw/durable_log.h"

#include <utility>

#include "storage/wal/wal.h"
#include "world/real/lane_thread.h"

namespace quorate::raw {
namespace {

constexpr GroupId kGroup{1};
// A fetch answers a replica that lags; an append message is never larger (consensus/limits.h).
constexpr size_t kReadBytesMax = size_t{1} << 20U;

// The one thread of the process, but log writes on a lane that no other replica shares.
class OwnLane final : public world::Executor {
 public:
  explicit OwnLane(world::Executor& shared) : shared_(shared) {}
  Time now() const override { return shared_.now(); }
  int64_t wall_nanoseconds() const override { return shared_.wall_nanoseconds(); }
  void post(world::Task task) override { shared_.post(std::move(task)); }
  world::TimerId at(Time when, world::Task task) override {
    return shared_.at(when, std::move(task));
  }
  void cancel(world::TimerId timer) override { shared_.cancel(timer); }
  void run_blocking(world::DiskLane lane, world::Task work, world::Task done) override {
    if (lane == world::DiskLane::log) return log_lane_.add(std::move(work), std::move(done));
    shared_.run_blocking(lane, std::move(work), std::move(done));
  }
  void at_turn_end(std::function<void()> hook) override { shared_.at_turn_end(std::move(hook)); }

 private:
  world::Executor& shared_;
  world::LaneThread log_lane_{shared_};
};

class DurableLog final : public EntryLog {
 public:
  DurableLog(std::unique_ptr<OwnLane> lane, std::unique_ptr<storage::Wal> wal,
             std::function<void(const Error&)> failed)
      : lane_(std::move(lane)), wal_(std::move(wal)) {
    wal_->set_callbacks([this](GroupId, WriteId write, Duration) { durable_ = write; },
                        std::move(failed));
  }
  void append(consensus::Write write) override { wal_->append(kGroup, std::move(write)); }
  void flush() override { wal_->flush(); }
  WriteId durable() const override { return durable_; }
  void read(consensus::IndexRange range, Read done) override {
    wal_->read(kGroup, range, kReadBytesMax, std::move(done));
  }
  LogTotals totals() const override {
    const storage::WalMetrics metrics = wal_->metrics();
    return {metrics.syncs, metrics.bytes_written};
  }

 private:
  std::unique_ptr<OwnLane> lane_;  // ends after the log
  std::unique_ptr<storage::Wal> wal_;
  WriteId durable_;
};

}  // namespace

Result<std::unique_ptr<EntryLog>> open_durable_log(world::Executor& executor, world::Disk& disk,
                                                   const std::string& directory,
                                                   std::function<void(const Error&)> failed) {
  auto lane = std::make_unique<OwnLane>(executor);
  storage::WalOptions options;
  options.directory = directory;
  auto wal = storage::open_wal(disk, *lane, options);
  if (!wal) return std::unexpected(wal.error());
  if (!(*wal)->groups().empty()) {
    return fail(ErrorKind::conflict, directory +
                                         " holds a log already; name a directory that is empty, "
                                         "or that does not exist");
  }
  return std::make_unique<DurableLog>(std::move(lane), std::move(*wal), std::move(failed));
}

}  // namespace quorate::raw
