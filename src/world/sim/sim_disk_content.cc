// The contents of files, and what a crash leaves of them and of the names.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/crc32c.h"
#include "world/sim/sim_disk.h"

namespace quorate::world {

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
  const uint64_t used = used_bytes();
  const uint64_t growth = size - content.size();
  if (used <= space_ && growth <= space_ - used) return {};
  return fail(ErrorKind::no_space, "cannot write " + path + ": No space left on device " +
                                       "(simulated); free space on this device or raise the quota");
}

Result<void> SimDisk::write_file(InodeId file, const std::string& path, uint64_t offset,
                                 std::span<const uint8_t> data) {
  Inode& inode = inodes_.at(file);
  const Result<void> reserved = reserve(path, inode.content, offset + data.size());
  if (!reserved.has_value()) return reserved;
  Result<void> operated = operate("write", path, offset);
  trace_.mix(crc32c(data));
  // A write that the power cut hits was under way: it may survive, in part or whole.
  Change change{.offset = offset,
                .data = std::string(reinterpret_cast<const char*>(data.data()), data.size())};
  apply(change, inode.content);
  inode.unsynced.push_back(std::move(change));
  return operated;
}

Result<void> SimDisk::truncate_file(InodeId file, const std::string& path, uint64_t size) {
  Inode& inode = inodes_.at(file);
  const Result<void> reserved = reserve(path, inode.content, size);
  if (!reserved.has_value()) return reserved;
  Result<void> operated = operate("truncate", path, size);
  Change change{.truncation = true, .offset = size, .data = {}};
  apply(change, inode.content);
  inode.unsynced.push_back(std::move(change));
  return operated;
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
  for (const Change& change : inode.unsynced) apply(change, inode.durable);
  inode.unsynced.clear();
  return {};
}

Result<size_t> SimDisk::read_file(InodeId file, const std::string& path, uint64_t offset,
                                  std::span<uint8_t> target) {
  const Result<void> operated = operate("read", path, offset);
  if (!operated.has_value()) return std::unexpected<Error>(operated.error());
  const std::string& content = inodes_.at(file).content;
  if (offset >= content.size()) return size_t{0};
  const size_t size = std::min<uint64_t>(target.size(), content.size() - offset);
  std::memcpy(target.data(), content.data() + offset, size);
  return size;
}

bool SimDisk::corrupt(const std::string& path, uint64_t offset, uint8_t flip) {
  const std::optional<Place> place = find(path);
  if (!place.has_value() || place->inode == 0) return false;
  Inode& inode = inodes_.at(place->inode);
  if (offset >= inode.content.size()) return false;
  for (std::string* image : {&inode.content, &inode.durable}) {
    if (offset < image->size()) {
      (*image)[offset] = static_cast<char>(static_cast<uint8_t>((*image)[offset]) ^ flip);
    }
  }
  return true;
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

void SimDisk::settle_file(Inode& inode, Survival survival) {
  for (const Change& change : inode.unsynced) {
    const Fate fate = draw_fate(survival);
    if (fate == Fate::whole) apply(change, inode.durable);
    // A truncation is one change of the inode: it happens or it does not.
    if (fate == Fate::torn && !change.truncation) apply_torn(change, inode.durable);
  }
  inode.unsynced.clear();
}

void SimDisk::settle_names(Survival survival) {
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
  }
  collect_garbage();
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
