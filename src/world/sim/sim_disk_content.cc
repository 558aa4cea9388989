// The contents of files, and what a crash leaves of them and of the names.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "world/sim/sim_disk.h"

namespace quorate::world {
namespace {

std::unexpected<Error> io_failure(std::string_view action, std::string_view path) {
  return fail(ErrorKind::io, "cannot " + std::string(action) + " " + std::string(path) +
                                 ": Input/output error (simulated)");
}

}  // namespace

void SimDisk::apply(const Change& change, std::string& content) {
  if (change.truncation) {
    content.resize(change.offset);
    return;
  }
  const size_t end = change.offset + change.data.size();
  if (content.size() < end) content.resize(end);
  content.replace(change.offset, change.data.size(), change.data);
}

// Each sector of the disk is written whole or not at all, in any order.
void SimDisk::apply_torn(const Change& change, std::string& content) {
  uint64_t position = 0;
  while (position < change.data.size()) {
    const uint64_t offset = change.offset + position;
    const uint64_t left_in_sector = kSectorBytes - offset % kSectorBytes;
    const uint64_t size = std::min<uint64_t>(left_in_sector, change.data.size() - position);
    if (rng_.below(2) == 0) {
      apply({.offset = offset, .data = change.data.substr(position, size)}, content);
    }
    position += size;
  }
}

Result<void> SimDisk::reserve(const std::string& path, const std::string& content, uint64_t size) {
  if (size <= content.size()) return {};
  const uint64_t growth = size - content.size();
  if (used_ <= space_ && growth <= space_ - used_) return {};
  return fail(ErrorKind::no_space, "cannot write " + path + ": No space left on device " +
                                       "(simulated); free space on this device or raise the quota");
}

void SimDisk::change_content(Inode& inode, Change change) {
  const uint64_t before = inode.content.size();
  apply(change, inode.content);
  if (!inode.removed) used_ += inode.content.size() - before;
  inode.unsynced.push_back(std::move(change));
}

Result<void> SimDisk::write_file(InodeId file, const std::string& path, uint64_t offset,
                                 std::span<const uint8_t> data) {
  Inode& inode = inodes_.at(file);
  const Result<void> reserved = reserve(path, inode.content, offset + data.size());
  if (!reserved.has_value()) return reserved;
  Result<void> operated = operate("write", path, offset);
  trace_.mix(crc32c(data));
  // A write that the power cut hits was under way: it may survive, in part or whole.
  change_content(inode,
                 {.offset = offset,
                  .data = std::string(reinterpret_cast<const char*>(data.data()), data.size())});
  return operated;
}

Result<void> SimDisk::truncate_file(InodeId file, const std::string& path, uint64_t size) {
  Inode& inode = inodes_.at(file);
  const Result<void> reserved = reserve(path, inode.content, size);
  if (!reserved.has_value()) return reserved;
  Result<void> operated = operate("truncate", path, size);
  change_content(inode, {.truncation = true, .offset = size, .data = {}});
  return operated;
}

// Everything written since the last sync reaches the platter.
void SimDisk::make_durable(Inode& inode) {
  if (inode.unsynced.empty()) return;
  inode.last_sync_begin = UINT64_MAX;
  inode.last_sync_end = 0;
  for (const Change& change : inode.unsynced) {
    if (!change.truncation) {
      const uint64_t end = change.offset + change.data.size();
      inode.last_sync_begin = std::min(inode.last_sync_begin, change.offset);
      inode.last_sync_end = std::max(inode.last_sync_end, end);
      for (uint64_t sector = change.offset / kSectorBytes; sector * kSectorBytes < end; ++sector) {
        const uint64_t begin = sector * kSectorBytes;
        if (!inode.unreadable.empty()) inode.unreadable.erase(sector);
        if (begin >= inode.durable.size()) {
          inode.replaced.erase(sector);  // nothing was there: zeros
        } else if (begin < inode.content.size() &&
                   inode.durable.compare(begin, kSectorBytes, inode.content, begin, kSectorBytes) !=
                       0) {
          inode.replaced[sector].assign(inode.durable, begin, kSectorBytes);
        }
      }
    }
    apply(change, inode.durable);
  }
  inode.unsynced.clear();
}

Result<void> SimDisk::sync_file(InodeId file, const std::string& path) {
  Result<void> operated = operate("sync", path);
  if (!operated.has_value()) return operated;
  Inode& inode = inodes_.at(file);
  if (std::exchange(fail_next_sync_, false)) {
    // The kernel reports the failure once and marks the pages clean: what did not reach the
    // platter now never will, although it is still read back until the machine goes down.
    settle_file(inode, Survival::some);
    return fail(ErrorKind::io, "cannot sync " + path + ": Input/output error (simulated)");
  }
  const bool grew = inode.content.size() != inode.durable.size();
  make_durable(inode);
  if (grew && keeps_journal()) {
    settle_links([](const Link&) { return true; });
  }
  return {};
}

Result<size_t> SimDisk::read_file(InodeId file, const std::string& path, uint64_t offset,
                                  std::span<uint8_t> target) {
  const Result<void> operated = operate("read", path, offset);
  if (!operated.has_value()) return std::unexpected<Error>(operated.error());
  Inode& inode = inodes_.at(file);
  const std::string& content = inode.content;
  if (offset >= content.size()) return size_t{0};
  const size_t size = std::min<uint64_t>(target.size(), content.size() - offset);
  const uint64_t end = offset + size;
  const auto bad = inode.unreadable.lower_bound(offset / kSectorBytes);
  if (bad != inode.unreadable.end() && *bad * kSectorBytes < end) {
    return io_failure("read", path);
  }
  std::memcpy(target.data(), content.data() + offset, size);
  for (auto stale = inode.stale.lower_bound(offset / kSectorBytes);
       stale != inode.stale.end() && stale->first * kSectorBytes < end;) {
    const std::string& older = inode.replaced[stale->first];
    const uint64_t begin = stale->first * kSectorBytes;
    for (uint64_t place = std::max(begin, offset);
         place < std::min<uint64_t>(begin + kSectorBytes, end); ++place) {
      const uint64_t within = place - begin;
      target[place - offset] = static_cast<uint8_t>(within < older.size() ? older[within] : '\0');
    }
    stale = --stale->second == 0 ? inode.stale.erase(stale) : std::next(stale);
  }
  return size;
}

SimDisk::Fate SimDisk::draw_fate(Survival survival) {
  switch (survival) {
    case Survival::everything:
      return Fate::whole;
    case Survival::nothing:
      return Fate::lost;
    case Survival::some:
      return static_cast<Fate>(rng_.below(3));
  }
  return Fate::lost;
}

void SimDisk::settle_each_write(Inode& inode, Survival survival) {
  for (const Change& change : inode.unsynced) {
    const Fate fate = draw_fate(survival);
    if (fate == Fate::whole) apply(change, inode.durable);
    // A truncation is one change of the inode: it happens or it does not.
    if (fate == Fate::torn && !change.truncation) apply_torn(change, inode.durable);
  }
}

// The file after some of its changes gives its size; each page is what it was after some number
// of changes, as the system wrote it back at a moment of its own.
void SimDisk::settle_by_pages(Inode& inode) {
  std::vector<std::string> states{inode.durable};
  for (const Change& change : inode.unsynced) {
    states.push_back(states.back());
    apply(change, states.back());
  }
  const uint64_t last = states.size() - 1;
  const uint64_t sized = rng_.below(states.size());
  const uint64_t old_size = inode.durable.size();
  std::string image(states[sized].size(), '\0');
  uint64_t written_end = std::min<uint64_t>(old_size, image.size());
  for (uint64_t begin = 0; begin < image.size(); begin += kPageBytes) {
    const uint64_t size = std::min<uint64_t>(kPageBytes, image.size() - begin);
    const bool grown = begin + size > old_size;
    uint64_t from = rng_.below(last + 1);
    if (grown && file_system_ == FileSystem::ext4_ordered) from = rng_.between(sized, last);
    for (uint64_t sector = begin; sector < begin + size; sector += kSectorBytes) {
      // Now and then the power goes in the middle of a page.
      const bool torn = from > 0 && !grown && rng_.below(64) == 0;
      const std::string& state = states[torn ? from - 1 : from];
      if (sector >= state.size()) continue;
      const uint64_t bytes =
          std::min<uint64_t>({kSectorBytes, begin + size - sector, state.size() - sector});
      image.replace(sector, bytes, state, sector, bytes);
      if (grown && from > 0) written_end = std::max(written_end, sector + bytes);
    }
  }
  // The size follows the pages that were written, not the other way round.
  if (file_system_ == FileSystem::xfs) image.resize(written_end);
  inode.durable = std::move(image);
}

void SimDisk::settle_file(Inode& inode, Survival survival) {
  if (!inode.unsynced.empty()) {
    if (survival == Survival::everything) {
      make_durable(inode);
    } else if (survival == Survival::some && keeps_journal()) {
      settle_by_pages(inode);
    } else {
      settle_each_write(inode, survival);
    }
  }
  inode.unsynced.clear();
}

void SimDisk::settle_names(Survival survival) {
  if (keeps_journal() && survival == Survival::some) {
    const uint64_t kept = rng_.below(unsynced_links_.size() + 1);
    for (uint64_t position = 0; position < kept; ++position) apply_names(unsynced_links_[position]);
    unsynced_links_.clear();
    return;
  }
  for (const Link& link : unsynced_links_) {
    if (draw_fate(survival) != Fate::lost) apply_names(link);
  }
  unsynced_links_.clear();
}

void SimDisk::kill() {
  ++life_;
  crashed_ = false;
  crash_at_.reset();
  fail_next_sync_ = false;
  for (auto& [id, inode] : inodes_) {
    inode.handles = 0;
    inode.locked = false;
  }
}

void SimDisk::restart_from_durable() {
  kill();
  for (auto& [id, inode] : inodes_) {
    inode.entries = inode.durable_entries;
    inode.content = inode.durable;
    inode.removed = false;
  }
  collect_garbage();  // counts what is used, too
}

void SimDisk::power_off() {
  const auto survival = static_cast<Survival>(std::min<uint64_t>(rng_.below(4), 2));
  settle_names(survival);
  for (auto& [id, inode] : inodes_) settle_file(inode, survival);
  restart_from_durable();
}

void SimDisk::wipe() {
  inodes_.clear();
  unsynced_links_.clear();
  inodes_[1].directory = true;
  restart_from_durable();
}

}  // namespace quorate::world
