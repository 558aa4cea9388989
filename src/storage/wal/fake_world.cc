#include "storage/wal/fake_world.h"

#include <algorithm>
#include <cstring>

#include "base/rng.h"

namespace quorate::storage::wal {
namespace {

class OpenFakeFile : public world::File {
 public:
  OpenFakeFile(FakeDisk& disk, std::shared_ptr<FakeFile> file)
      : disk_(disk), file_(std::move(file)) {}
  Result<size_t> read_at(uint64_t offset, std::span<uint8_t> target) override {
    if (offset >= file_->content.size()) return size_t{0};
    const auto bad = disk_.unreadable.equal_range(file_->path);
    for (auto place = bad.first; place != bad.second; ++place) {
      if (place->second >= offset && place->second < offset + target.size()) {
        return fail(ErrorKind::io, file_->path + ": input/output error");
      }
    }
    const size_t count = std::min<size_t>(target.size(), file_->content.size() - offset);
    std::memcpy(target.data(), file_->content.data() + offset, count);
    return count;
  }
  Result<void> write_at(uint64_t offset, std::span<const uint8_t> data) override {
    return disk_.write(*file_, offset, data);
  }
  Result<void> sync_data() override { return disk_.sync(*file_); }
  Result<uint64_t> size() override { return uint64_t{file_->content.size()}; }
  Result<void> truncate(uint64_t) override { return fail(ErrorKind::io, "not used by the log"); }

 private:
  FakeDisk& disk_;
  std::shared_ptr<FakeFile> file_;
};

void put(std::string& content, size_t offset, std::string_view data) {
  if (content.size() < offset + data.size()) content.resize(offset + data.size(), '\0');
  content.replace(offset, data.size(), data);
}

struct Sector {
  size_t offset = 0;
  std::string data;
};

// The sectors of a file that the next sync would change.
std::vector<Sector> changed_sectors(const FakeFile& file) {
  std::vector<Sector> sectors;
  std::string next = file.durable;
  for (const FakeFile::Pending& write : file.pending) put(next, write.offset, write.data);
  std::string old = file.durable;
  old.resize(next.size(), '\0');
  for (size_t offset = 0; offset < next.size(); offset += kSectorBytes) {
    const std::string_view now = std::string_view(next).substr(offset, kSectorBytes);
    if (now != std::string_view(old).substr(offset, now.size())) {
      sectors.push_back({offset, std::string(now)});
    }
  }
  return sectors;
}

// All subsets when there are few; otherwise those that a real disk is likely to leave (a prefix,
// a suffix, one missing, one alone) and some at random.
std::vector<std::vector<bool>> subsets(size_t count) {
  std::vector<std::vector<bool>> chosen;
  constexpr size_t kAllUpTo = 6;
  if (count <= kAllUpTo) {
    for (size_t bits = 0; bits < (size_t{1} << count); ++bits) {
      std::vector<bool> subset(count);
      for (size_t sector = 0; sector < count; ++sector) subset[sector] = (bits >> sector & 1) != 0;
      chosen.push_back(std::move(subset));
    }
    return chosen;
  }
  chosen.emplace_back(count, false);
  chosen.emplace_back(count, true);
  for (size_t cut = 0; cut < count; ++cut) {
    std::vector<bool> prefix(count, false);
    std::fill_n(prefix.begin(), cut + 1, true);
    std::vector<bool> suffix = prefix;
    suffix.flip();
    std::vector<bool> alone(count, false);
    alone[cut] = true;
    std::vector<bool> missing = alone;
    missing.flip();
    for (auto* subset : {&prefix, &suffix, &alone, &missing}) chosen.push_back(*subset);
  }
  Rng rng(count);
  for (int draw = 0; draw < 16; ++draw) {
    std::vector<bool> random(count);
    for (size_t sector = 0; sector < count; ++sector) random[sector] = rng.below(2) == 1;
    chosen.push_back(std::move(random));
  }
  return chosen;
}

std::vector<std::string> file_variants(const FakeFile& file) {
  const std::vector<Sector> sectors = changed_sectors(file);
  std::vector<std::string> variants;
  for (const std::vector<bool>& subset : subsets(sectors.size())) {
    std::string content = file.durable;
    for (size_t sector = 0; sector < sectors.size(); ++sector) {
      if (subset[sector]) put(content, sectors[sector].offset, sectors[sector].data);
    }
    variants.push_back(std::move(content));
  }
  // The last sector torn in itself, and the size that grew without its content.
  if (!sectors.empty()) {
    std::string content = file.durable;
    for (size_t sector = 0; sector < sectors.size(); ++sector) {
      const bool last = sector + 1 == sectors.size();
      const std::string_view data = sectors[sector].data;
      put(content, sectors[sector].offset, data.substr(0, last ? data.size() / 3 : data.size()));
    }
    variants.push_back(std::move(content));
  }
  if (file.content.size() > file.durable.size()) {
    std::string content = file.durable;
    content.resize(file.content.size(), '\0');
    variants.push_back(std::move(content));
  }
  return variants;
}

}  // namespace

Result<void> FakeDisk::count_step(const char* what) {
  if (steps >= dies_at) return fail(ErrorKind::io, std::string("no power at ") + what);
  ++steps;
  return {};
}

Result<std::unique_ptr<world::File>> FakeDisk::open(const std::string& path, world::OpenMode mode) {
  const bool present = files.contains(path);
  if (mode == world::OpenMode::create) {
    if (auto step = count_step("create"); !step) return std::unexpected(step.error());
    if (present) return fail(ErrorKind::conflict, path + " is present");
    if (space == 0) return fail(ErrorKind::no_space, path + ": no space left on device");
    files[path] = std::make_shared<FakeFile>();
    files[path]->path = path;
  } else if (!present) {
    return fail(ErrorKind::not_found, path + " is absent");
  }
  return std::unique_ptr<world::File>(std::make_unique<OpenFakeFile>(*this, files[path]));
}

Result<void> FakeDisk::make_directory(const std::string& path) {
  directories.insert(path);
  return {};
}

Result<void> FakeDisk::rename(const std::string& from, const std::string& to) {
  return fail(ErrorKind::io, "the log does not rename " + from + " to " + to);
}

Result<void> FakeDisk::remove(const std::string& path) {
  if (auto step = count_step("remove"); !step) return step;
  files.erase(path);
  return {};
}

Result<void> FakeDisk::remove_tree(const std::string& path) {
  return fail(ErrorKind::io, "the log does not remove the tree " + path);
}

Result<void> FakeDisk::sync_directory(const std::string&) {
  if (auto step = count_step("sync of the directory"); !step) return step;
  durable_names.clear();
  for (const auto& [path, file] : files) durable_names.insert(path);
  return {};
}

Result<std::vector<std::string>> FakeDisk::list(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& [name, file] : files) names.push_back(name.substr(path.size() + 1));
  return names;
}

bool FakeDisk::exists(const std::string& path) {
  return directories.contains(path) || files.contains(path);
}

Result<std::unique_ptr<world::DirectoryLock>> FakeDisk::lock(const std::string& path) {
  return fail(ErrorKind::io, "the log does not lock " + path);
}

Result<uint64_t> FakeDisk::free_bytes(const std::string&) { return space; }

Result<void> FakeDisk::sync(FakeFile& file) {
  if (auto step = count_step("sync"); !step) return step;
  if (steps > fails_sync_at) ++calls_after_failure;
  if (steps == fails_sync_at) {
    file.pending.clear();  // the kernel now believes that these pages are clean
    return fail(ErrorKind::io, "input/output error");
  }
  ++syncs;
  for (const FakeFile::Pending& write : file.pending) put(file.durable, write.offset, write.data);
  file.pending.clear();
  return {};
}

Result<void> FakeDisk::write(FakeFile& file, uint64_t offset, std::span<const uint8_t> data) {
  if (auto step = count_step("write"); !step) return step;
  if (steps > fails_sync_at) ++calls_after_failure;
  const uint64_t end = offset + data.size();
  const uint64_t growth = end > file.content.size() ? end - file.content.size() : 0;
  if (growth > space) return fail(ErrorKind::no_space, "no space left on device");
  space -= growth;
  const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
  put(file.content, offset, text);
  file.pending.push_back({static_cast<size_t>(offset), std::string(text)});
  return {};
}

FakeDisk::Image FakeDisk::image() const {
  Image image;
  for (const auto& [path, file] : files) image[path] = file->content;
  return image;
}

void FakeDisk::load(const Image& image) {
  files.clear();
  durable_names.clear();
  directories.insert("wal");
  for (const auto& [path, content] : image) {
    auto file = std::make_shared<FakeFile>();
    file->path = path;
    file->content = content;
    file->durable = content;
    files[path] = std::move(file);
    durable_names.insert(path);
  }
}

std::vector<FakeDisk::Image> FakeDisk::power_loss_images() const {
  // Only one file has unsynced writes at a time when nothing is prepared beside it; otherwise
  // the variants of each are combined with the newest and the oldest state of the others.
  std::vector<Image> images;
  for (const bool others_written : {false, true}) {
    Image base;
    for (const auto& [path, file] : files) {
      base[path] = others_written ? file->content : file->durable;
    }
    images.push_back(base);
    for (const auto& [path, file] : files) {
      if (file->pending.empty()) continue;
      for (std::string& variant : file_variants(*file)) {
        Image image = base;
        image[path] = std::move(variant);
        images.push_back(std::move(image));
      }
    }
    for (const auto& [path, file] : files) {
      if (durable_names.contains(path)) continue;
      Image image = base;
      image.erase(path);  // the name was never synced
      images.push_back(std::move(image));
    }
  }
  return images;
}

world::TimerId FakeExecutor::at(Time when, world::Task task) {
  timers_.emplace(next_timer_, std::pair(when, std::move(task)));
  return next_timer_++;
}

void FakeExecutor::cancel(world::TimerId timer) { timers_.erase(timer); }

void FakeExecutor::run_blocking(world::DiskLane lane, world::Task work, world::Task done) {
  jobs(lane).push_back({std::move(work), std::move(done)});
}

void FakeExecutor::run_one(world::DiskLane lane) {
  std::deque<Job>& waiting = jobs(lane);
  if (waiting.empty()) return;
  Job job = std::move(waiting.front());
  waiting.pop_front();
  job.work();
  post(std::move(job.done));
}

void FakeExecutor::run_posted() {
  while (!posted_.empty()) {
    world::Task task = std::move(posted_.front());
    posted_.pop_front();
    task();
  }
}

void FakeExecutor::settle() {
  run_posted();
  while (waiting(world::DiskLane::log) + waiting(world::DiskLane::background) > 0) {
    run_one(world::DiskLane::log);
    run_posted();
    run_one(world::DiskLane::background);
    run_posted();
  }
}

void FakeExecutor::advance(Duration duration) {
  const Time until = now_ + duration;
  while (true) {
    auto next =
        std::ranges::min_element(timers_, {}, [](const auto& timer) { return timer.second.first; });
    if (next == timers_.end() || next->second.first > until) break;
    now_ = std::max(now_, next->second.first);
    world::Task task = std::move(next->second.second);
    timers_.erase(next);
    task();
    settle();
  }
  now_ = until;
}

}  // namespace quorate::storage::wal
