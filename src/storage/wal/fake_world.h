// storage/wal/fake_world.h: a disk in memory that can lose power, and an executor stepped by
// hand, for this room's tests.
//
// The disk remembers what is durable and which writes came after the last sync, so that a test
// can ask for every state a power loss could leave behind.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>

#include "world/disk.h"
#include "world/executor.h"

namespace quorate::storage::wal {

inline constexpr size_t kSectorBytes = 512;

struct FakeFile {
  struct Pending {
    size_t offset = 0;
    std::string data;
  };
  std::string path;
  std::string content;           // as the page cache shows it
  std::string durable;           // as of the last sync
  std::vector<Pending> pending;  // writes since
};

class FakeDisk : public world::Disk {
 public:
  using Image = std::map<std::string, std::string>;

  Result<std::unique_ptr<world::File>> open(const std::string& path, world::OpenMode mode) override;
  Result<void> make_directory(const std::string& path) override;
  Result<void> rename(const std::string& from, const std::string& to) override;
  Result<void> remove(const std::string& path) override;
  Result<void> remove_tree(const std::string& path) override;
  Result<void> sync_directory(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::unique_ptr<world::DirectoryLock>> lock(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;

  // One step towards the next planned failure; an error when it has come.
  Result<void> count_step(const char* what);
  Result<void> sync(FakeFile& file);
  Result<void> write(FakeFile& file, uint64_t offset, std::span<const uint8_t> data);

  // Every state of the files that a power loss at this moment may leave.
  std::vector<Image> power_loss_images() const;
  Image image() const;  // as a killed process leaves it: all that was written
  void load(const Image& image);

  std::map<std::string, std::shared_ptr<FakeFile>> files;
  std::set<std::string> durable_names;
  std::set<std::string> directories;
  uint64_t steps = 0;
  uint64_t dies_at = UINT64_MAX;        // from this step on nothing works and nothing changes
  uint64_t fails_sync_at = UINT64_MAX;  // this sync fails, later ones succeed and lie
  uint64_t space = UINT64_MAX;          // bytes that files may still grow by
  uint64_t syncs = 0;
  uint64_t calls_after_failure = 0;
  std::multimap<std::string, uint64_t> unreadable;  // offsets that no read may touch
};

class FakeExecutor : public world::Executor {
 public:
  Time now() const override { return now_; }
  int64_t wall_nanoseconds() const override { return now_.time_since_epoch().count(); }
  void post(world::Task task) override { posted_.push_back(std::move(task)); }
  world::TimerId at(Time when, world::Task task) override;
  void cancel(world::TimerId timer) override;
  void run_blocking(world::DiskLane lane, world::Task work, world::Task done) override;
  void at_turn_end(std::function<void()> hook) override { hooks_.push_back(std::move(hook)); }

  size_t waiting(world::DiskLane lane) { return jobs(lane).size(); }
  void run_one(world::DiskLane lane);  // the next job of the lane, its `done` is posted
  void run_posted();
  void settle();  // everything but timers
  void advance(Duration duration);

 private:
  struct Job {
    world::Task work;
    world::Task done;
  };
  std::deque<Job>& jobs(world::DiskLane lane) {
    return lane == world::DiskLane::log ? log_lane_ : background_lane_;
  }
  Time now_{};
  std::deque<world::Task> posted_;
  std::deque<Job> log_lane_;
  std::deque<Job> background_lane_;
  std::map<world::TimerId, std::pair<Time, world::Task>> timers_;
  world::TimerId next_timer_ = 1;
  std::vector<std::function<void()>> hooks_;
};

}  // namespace quorate::storage::wal
