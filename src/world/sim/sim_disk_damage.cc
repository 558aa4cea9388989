// Damage to what is stored: what disks do that nobody is told of.
#include <algorithm>
#include <utility>

#include "world/sim/sim_disk.h"

namespace quorate::world {

SimDisk::Inode* SimDisk::file_at(const std::string& path) {
  const std::optional<Place> place = find(path);
  if (!place.has_value() || place->inode == 0) return nullptr;
  Inode& inode = inodes_.at(place->inode);
  return inode.directory ? nullptr : &inode;
}

bool SimDisk::is_dirty(const Inode& inode, uint64_t sector) {
  const uint64_t begin = sector * kSectorBytes;
  return std::ranges::any_of(inode.unsynced, [&](const Change& change) {
    if (change.truncation) return true;
    return change.offset < begin + kSectorBytes && begin < change.offset + change.data.size();
  });
}

// Both what is durable and what the cache shows: it was dropped from the cache meanwhile.
void SimDisk::put_sector(Inode& inode, uint64_t sector, const std::string& data) {
  const uint64_t begin = sector * kSectorBytes;
  for (std::string* image : {&inode.content, &inode.durable}) {
    if (begin >= image->size()) continue;
    const uint64_t size = std::min<uint64_t>(kSectorBytes, image->size() - begin);
    std::string fitted = data.substr(0, size);
    fitted.resize(size, '\0');
    image->replace(begin, size, fitted);
  }
}

bool SimDisk::corrupt(const std::string& path, uint64_t offset, uint8_t flip) {
  Inode* inode = file_at(path);
  if (inode == nullptr || offset >= inode->durable.size()) return false;
  if (is_dirty(*inode, offset / kSectorBytes)) return false;
  for (std::string* image : {&inode->content, &inode->durable}) {
    if (offset < image->size()) {
      (*image)[offset] = static_cast<char>(static_cast<uint8_t>((*image)[offset]) ^ flip);
    }
  }
  return true;
}

bool SimDisk::lose_write(const std::string& path, uint64_t sector) {
  Inode* inode = file_at(path);
  if (inode == nullptr || is_dirty(*inode, sector)) return false;
  if (sector * kSectorBytes >= inode->durable.size()) return false;
  const auto older = inode->replaced.find(sector);
  put_sector(*inode, sector, older == inode->replaced.end() ? std::string() : older->second);
  return true;
}

bool SimDisk::misdirect(const std::string& path, uint64_t sector, uint64_t other, bool moved) {
  Inode* inode = file_at(path);
  if (inode == nullptr || sector == other) return false;
  const uint64_t size = inode->durable.size();
  if (sector * kSectorBytes >= size || other * kSectorBytes >= size) return false;
  if (is_dirty(*inode, sector) || is_dirty(*inode, other)) return false;
  const std::string data = inode->durable.substr(sector * kSectorBytes, kSectorBytes);
  put_sector(*inode, other, data);
  return !moved || lose_write(path, sector);
}

bool SimDisk::stale_reads(const std::string& path, uint64_t sector, uint32_t reads) {
  Inode* inode = file_at(path);
  if (inode == nullptr || is_dirty(*inode, sector) || !inode->replaced.contains(sector)) {
    return false;
  }
  inode->stale[sector] = reads;
  return reads > 0;
}

bool SimDisk::has_stale() const {
  return std::ranges::any_of(inodes_,
                             [](const auto& entry) { return !entry.second.stale.empty(); });
}

bool SimDisk::make_unreadable(const std::string& path, uint64_t sector) {
  Inode* inode = file_at(path);
  if (inode == nullptr || is_dirty(*inode, sector)) return false;
  if (sector * kSectorBytes >= inode->durable.size()) return false;
  inode->unreadable.insert(sector);
  return true;
}

void SimDisk::heal_unreadable() {
  for (auto& [id, inode] : inodes_) inode.unreadable.clear();
}

bool SimDisk::has_unreadable() const {
  return std::ranges::any_of(inodes_,
                             [](const auto& entry) { return !entry.second.unreadable.empty(); });
}

void SimDisk::list_stored(const std::string& path, InodeId directory,
                          std::vector<Stored>& list) const {
  for (const auto& [name, id] : inodes_.at(directory).entries) {
    const Inode& inode = inodes_.at(id);
    const std::string full = path + "/" + name;
    if (inode.directory) {
      list_stored(full, id, list);
    } else {
      list.push_back({full, inode.durable.size(), inode.last_sync_begin, inode.last_sync_end});
    }
  }
}

std::vector<SimDisk::Stored> SimDisk::stored() const {
  std::vector<Stored> list;
  list_stored("", 1, list);
  return list;
}

std::optional<std::string> SimDisk::peek(const std::string& path) const {
  const std::optional<Place> place = find(path);
  if (!place.has_value() || place->inode == 0) return std::nullopt;
  const Inode& inode = inodes_.at(place->inode);
  if (inode.directory) return std::nullopt;
  return inode.content;
}

void SimDisk::disarm() {
  crash_at_.reset();
  fail_next_sync_ = false;
  for (auto& [id, inode] : inodes_) inode.stale.clear();
}

void SimDisk::copy_from(const SimDisk& other) {
  inodes_ = other.inodes_;
  unsynced_links_.clear();
  next_inode_ = other.next_inode_;
  for (auto& [id, inode] : inodes_) inode.unsynced.clear();
  restart_from_durable();
}

}  // namespace quorate::world
