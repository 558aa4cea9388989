#include "world/sim/sim_disk.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/check.h"

namespace quorate::world {
namespace {

constexpr uint64_t kRoot = 1;

std::unexpected<Error> io_failure(std::string_view action, std::string_view path) {
  return fail(ErrorKind::io, "cannot " + std::string(action) + " " + std::string(path) +
                                 ": Input/output error (simulated)");
}

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin < path.size()) {
    const size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

class SimDisk::OpenFile final : public File {
 public:
  OpenFile(std::shared_ptr<SimDisk*> disk, InodeId inode, std::string path, bool writable)
      : disk_(std::move(disk)),
        life_((*disk_)->life_),
        inode_(inode),
        path_(std::move(path)),
        writable_(writable) {
    ++(*disk_)->inodes_.at(inode_).handles;
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() override {
    if (*disk_ != nullptr && (*disk_)->life_ == life_) --(*disk_)->inodes_.at(inode_).handles;
  }

  Result<size_t> read_at(uint64_t offset, std::span<uint8_t> target) override {
    if (!alive()) return io_failure("read", path_);
    return (*disk_)->read_file(inode_, path_, offset, target);
  }
  Result<void> write_at(uint64_t offset, std::span<const uint8_t> data) override {
    if (!alive() || !writable_) return io_failure("write", path_);
    return (*disk_)->write_file(inode_, path_, offset, data);
  }
  Result<void> sync_data() override {
    if (!alive()) return io_failure("sync", path_);
    return (*disk_)->sync_file(inode_, path_);
  }
  Result<uint64_t> size() override {
    if (!alive()) return io_failure("examine", path_);
    return (*disk_)->inodes_.at(inode_).content.size();
  }
  Result<void> truncate(uint64_t size) override {
    if (!alive() || !writable_) return io_failure("truncate", path_);
    return (*disk_)->truncate_file(inode_, path_, size);
  }

 private:
  bool alive() const {
    return *disk_ != nullptr && (*disk_)->life_ == life_ && !(*disk_)->crashed_;
  }
  std::shared_ptr<SimDisk*> disk_;
  uint64_t life_;
  InodeId inode_;
  std::string path_;
  bool writable_;
};

class SimDisk::HeldLock final : public DirectoryLock {
 public:
  HeldLock(std::shared_ptr<SimDisk*> disk, InodeId inode)
      : disk_(std::move(disk)), life_((*disk_)->life_), inode_(inode) {}
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;
  ~HeldLock() override {
    if (*disk_ == nullptr || (*disk_)->life_ != life_) return;
    const auto found = (*disk_)->inodes_.find(inode_);
    if (found != (*disk_)->inodes_.end()) found->second.locked = false;
  }

 private:
  std::shared_ptr<SimDisk*> disk_;
  uint64_t life_;
  InodeId inode_;
};

SimDisk::SimDisk(Rng rng, TraceHash& trace)
    : rng_(rng), trace_(trace), self_(std::make_shared<SimDisk*>(this)) {
  inodes_[kRoot].directory = true;
}

SimDisk::~SimDisk() { *self_ = nullptr; }

void SimDisk::crash_after_operations(uint64_t count) {
  CHECK(count > 0, "the next operation is the first that can crash");
  crash_at_ = operations_ + count;
}

Result<void> SimDisk::operate(std::string_view what, std::string_view path, uint64_t detail) {
  ++operations_;
  trace_.mix(what);
  trace_.mix(path);
  trace_.mix(detail);
  if (crash_at_.has_value() && operations_ >= *crash_at_) crashed_ = true;
  if (crashed_) return io_failure(what, path);
  return {};
}

void SimDisk::count_used() {
  used_ = 0;
  for (const auto& [id, inode] : inodes_) {
    if (!inode.removed) used_ += inode.content.size();
  }
}

// ---- Names

std::optional<SimDisk::Place> SimDisk::find(const std::string& path) const {
  Place place{.directory = 0, .name = "", .inode = kRoot};
  for (std::string& part : parts_of(path)) {
    if (place.inode == 0) return std::nullopt;  // a parent is absent
    const Inode& inode = inodes_.at(place.inode);
    if (!inode.directory) return std::nullopt;
    const auto entry = inode.entries.find(part);
    place.directory = place.inode;
    place.inode = entry == inode.entries.end() ? 0 : entry->second;
    place.name = std::move(part);
  }
  return place;
}

Result<SimDisk::Place> SimDisk::find_existing(const std::string& path, const char* action) const {
  const std::optional<Place> place = find(path);
  if (!place.has_value() || place->inode == 0) {
    return fail(ErrorKind::not_found, std::string("cannot ") + action + " " + path +
                                          ": No such file or directory (simulated)");
  }
  return *place;
}

// Its bytes can be used again at once.
void SimDisk::forget(InodeId id) {
  Inode& inode = inodes_.at(id);
  if (!std::exchange(inode.removed, true)) used_ -= inode.content.size();
}

void SimDisk::change_names(Link link) {
  if (link.from_directory != 0) inodes_.at(link.from_directory).entries.erase(link.from_name);
  if (link.to_directory != 0) {
    InodeId& place = inodes_.at(link.to_directory).entries[link.to_name];
    if (place != 0) forget(place);
    place = link.inode;
  } else {
    forget(link.inode);
  }
  unsynced_links_.push_back(std::move(link));
}

void SimDisk::apply_names(const Link& link) {
  if (link.from_directory != 0) {
    Entries& entries = inodes_.at(link.from_directory).durable_entries;
    const auto entry = entries.find(link.from_name);
    // Another change may have put something else there, which this one never touched.
    if (entry != entries.end() && entry->second == link.inode) entries.erase(entry);
  }
  if (link.to_directory != 0) {
    inodes_.at(link.to_directory).durable_entries[link.to_name] = link.inode;
  }
}

Result<void> SimDisk::make_directory(const std::string& path) {
  std::string prefix;
  for (const std::string& part : parts_of(path)) {
    prefix += "/" + part;
    const std::optional<Place> place = find(prefix);
    if (!place.has_value()) return io_failure("create directory", prefix);
    if (place->inode != 0) {
      if (inodes_.at(place->inode).directory) continue;
      return io_failure("create directory", prefix);
    }
    const Result<void> operated = operate("create directory", prefix);
    const InodeId inode = next_inode_++;
    inodes_[inode].directory = true;
    change_names({.to_directory = place->directory, .to_name = part, .inode = inode});
    if (!operated.has_value()) return operated;
  }
  return {};
}

Result<std::unique_ptr<File>> SimDisk::open(const std::string& path, OpenMode mode) {
  const Result<void> operated = operate("open", path, static_cast<uint64_t>(mode));
  if (!operated.has_value()) return std::unexpected<Error>(operated.error());
  const std::optional<Place> place = find(path);
  const bool present = place.has_value() && place->inode != 0;
  if (mode != OpenMode::create || !place.has_value()) {
    const Result<Place> existing = find_existing(path, "open");
    if (!existing.has_value()) return std::unexpected<Error>(existing.error());
    if (inodes_.at(existing->inode).directory) return io_failure("open", path);
    return std::make_unique<OpenFile>(self_, existing->inode, path, mode != OpenMode::read);
  }
  if (present) return io_failure("create", path);
  const InodeId inode = next_inode_++;
  inodes_[inode];
  change_names({.to_directory = place->directory, .to_name = place->name, .inode = inode});
  return std::make_unique<OpenFile>(self_, inode, path, true);
}

Result<void> SimDisk::rename(const std::string& from, const std::string& to) {
  const Result<Place> source = find_existing(from, "rename");
  if (!source.has_value()) return std::unexpected<Error>(source.error());
  const std::optional<Place> target = find(to);
  if (!target.has_value() || source->directory == 0 || target->directory == 0) {
    return io_failure("rename to", to);
  }
  if (target->inode != 0) {
    const Inode& replaced = inodes_.at(target->inode);
    const bool same_kind = replaced.directory == inodes_.at(source->inode).directory;
    if (!same_kind || !replaced.entries.empty()) return io_failure("rename to", to);
  }
  const Result<void> operated = operate("rename", from + " to " + to);
  change_names({.from_directory = source->directory,
                .from_name = source->name,
                .to_directory = target->directory,
                .to_name = target->name,
                .inode = source->inode});
  return operated;
}

Result<void> SimDisk::remove(const std::string& path) {
  const Result<Place> place = find_existing(path, "remove");
  if (!place.has_value()) return std::unexpected<Error>(place.error());
  if (inodes_.at(place->inode).directory) return io_failure("remove", path);
  const Result<void> operated = operate("remove", path);
  change_names(
      {.from_directory = place->directory, .from_name = place->name, .inode = place->inode});
  return operated;
}

Result<void> SimDisk::remove_tree(const std::string& path) {
  const std::optional<Place> place = find(path);
  if (!place.has_value() || place->inode == 0) return {};
  CHECK(place->directory != 0, "the root is wiped, not removed");
  // File by file, so that a crash can land between any two.
  if (inodes_.at(place->inode).directory) {
    const Entries entries = inodes_.at(place->inode).entries;
    for (const auto& [name, inode] : entries) {
      Result<void> removed = remove_tree(path + "/" + name);
      if (!removed.has_value()) return removed;
    }
  }
  const Result<void> operated = operate("remove tree", path);
  change_names(
      {.from_directory = place->directory, .from_name = place->name, .inode = place->inode});
  return operated;
}

// Also settles what created the directory and its parents: syncing a new directory makes its own
// existence durable, as journaling file systems do, whose transaction holds the creation too.
Result<void> SimDisk::sync_directory(const std::string& path) {
  const Result<Place> place = find_existing(path, "sync directory");
  if (!place.has_value()) return std::unexpected<Error>(place.error());
  if (!inodes_.at(place->inode).directory) return io_failure("sync directory", path);
  Result<void> operated = operate("sync directory", path);
  if (!operated.has_value()) return operated;
  if (std::exchange(fail_next_sync_, false)) return io_failure("sync directory", path);
  std::set<InodeId> created;
  InodeId ancestor = kRoot;
  for (const std::string& part : parts_of(path)) {
    ancestor = inodes_.at(ancestor).entries.at(part);
    created.insert(ancestor);
  }
  settle_links([&](const Link& link) {
    return keeps_journal() || link.touches(place->inode) ||
           (link.to_directory != 0 && created.contains(link.inode));
  });
  // Looking at everything takes longer than all the rest, and memory is patient.
  if (unsynced_links_.empty() && inodes_.size() > 2 * inodes_kept_ + 64) collect_garbage();
  return {};
}

// Makes the wanted changes durable and with them every earlier one of the same names, so that
// what remains can be applied later without turning back time.
void SimDisk::settle_links(const std::function<bool(const Link&)>& wanted) {
  std::set<std::pair<InodeId, std::string>> names;
  std::vector<bool> chosen(unsynced_links_.size());
  for (size_t position = unsynced_links_.size(); position-- > 0;) {
    const Link& link = unsynced_links_[position];
    const std::pair from(link.from_directory, link.from_name);
    const std::pair to(link.to_directory, link.to_name);
    chosen[position] = wanted(link) || names.contains(from) || names.contains(to);
    if (!chosen[position]) continue;
    if (from.first != 0) names.insert(from);
    if (to.first != 0) names.insert(to);
  }
  std::vector<Link> left;
  for (size_t position = 0; position < unsynced_links_.size(); ++position) {
    Link& link = unsynced_links_[position];
    if (chosen[position]) {
      apply_names(link);
    } else {
      left.push_back(std::move(link));
    }
  }
  unsynced_links_ = std::move(left);
}

void SimDisk::collect_garbage() {
  std::set<InodeId> reached;
  std::vector<InodeId> open{kRoot};
  while (!open.empty()) {
    const InodeId id = open.back();
    open.pop_back();
    if (!reached.insert(id).second) continue;
    const Inode& inode = inodes_.at(id);
    for (const auto& [name, child] : inode.entries) open.push_back(child);
    for (const auto& [name, child] : inode.durable_entries) open.push_back(child);
  }
  std::erase_if(inodes_, [&](const auto& entry) {
    return entry.second.handles == 0 && !reached.contains(entry.first);
  });
  inodes_kept_ = inodes_.size();
  count_used();
}

Result<std::vector<std::string>> SimDisk::list(const std::string& path) {
  const Result<Place> place = find_existing(path, "list");
  if (!place.has_value()) return std::unexpected<Error>(place.error());
  if (!inodes_.at(place->inode).directory) return io_failure("list", path);
  const Result<void> operated = operate("list", path);
  if (!operated.has_value()) return std::unexpected<Error>(operated.error());
  std::vector<std::string> names;
  for (const auto& [name, inode] : inodes_.at(place->inode).entries) names.push_back(name);
  return names;
}

bool SimDisk::exists(const std::string& path) {
  const std::optional<Place> place = find(path);
  return !crashed_ && place.has_value() && place->inode != 0;
}

Result<std::unique_ptr<DirectoryLock>> SimDisk::lock(const std::string& path) {
  const Result<Place> place = find_existing(path, "lock");
  if (!place.has_value()) return std::unexpected<Error>(place.error());
  const Result<void> operated = operate("lock", path);
  if (!operated.has_value()) return std::unexpected<Error>(operated.error());
  Inode& inode = inodes_.at(place->inode);
  if (std::exchange(inode.locked, true)) {
    return fail(ErrorKind::conflict,
                "data directory " + path +
                    " is in use by another process; stop it first, or give this one a "
                    "directory of its own");
  }
  return std::make_unique<HeldLock>(self_, place->inode);
}

Result<uint64_t> SimDisk::free_bytes(const std::string& path) {
  const Result<void> operated = operate("examine", path);
  if (!operated.has_value()) return std::unexpected<Error>(operated.error());
  return space_ > used_ ? space_ - used_ : 0;
}

}  // namespace quorate::world
