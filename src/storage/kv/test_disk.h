// storage/kv/test_disk.h: a disk in memory for the tests of this room and those above it.
//
// Every write is durable at once: crashes of the disk itself are the simulator's business.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>

#include "world/disk.h"

namespace quorate::storage {

class TestDisk final : public world::Disk {
 public:
  Result<std::unique_ptr<world::File>> open(const std::string& path,
                                            world::OpenMode mode) override {
    const bool present = files_.contains(path);
    if (mode == world::OpenMode::create && present) return fail(ErrorKind::conflict, path);
    if (mode != world::OpenMode::create && !present) return fail(ErrorKind::not_found, path);
    std::shared_ptr<std::string>& content = files_[path];
    if (!content) content = std::make_shared<std::string>();
    return std::unique_ptr<world::File>(std::make_unique<OpenFile>(content, sync_fails));
  }
  Result<void> make_directory(const std::string& path) override {
    directories_[path] = true;
    return {};
  }
  Result<void> rename(const std::string& from, const std::string& to) override {
    const auto below = [&](const std::string& path) { return path.starts_with(from + "/"); };
    std::map<std::string, std::shared_ptr<std::string>> files;
    for (auto& [path, content] : files_) {
      const bool moves = path == from || below(path);
      files[moves ? to + path.substr(from.size()) : path] = content;
    }
    files_ = std::move(files);
    std::map<std::string, bool> directories;
    for (const auto& [path, known] : directories_) {
      const bool moves = path == from || below(path);
      directories[moves ? to + path.substr(from.size()) : path] = known;
    }
    directories_ = std::move(directories);
    return {};
  }
  Result<void> remove(const std::string& path) override {
    files_.erase(path);
    return {};
  }
  Result<void> remove_tree(const std::string& path) override {
    std::erase_if(files_, [&](const auto& file) { return file.first.starts_with(path + "/"); });
    std::erase_if(directories_, [&](const auto& known) {
      return known.first == path || known.first.starts_with(path + "/");
    });
    return {};
  }
  Result<void> sync_directory(const std::string& /*path*/) override { return {}; }
  Result<std::vector<std::string>> list(const std::string& path) override {
    std::set<std::string> names;  // of what lies in it directly
    const auto note = [&](const std::string& name) {
      if (!name.starts_with(path + "/")) return;
      const std::string rest = name.substr(path.size() + 1);
      names.insert(rest.substr(0, rest.find('/')));
    };
    for (const auto& [name, content] : files_) note(name);
    for (const auto& [name, known] : directories_) note(name);
    return std::vector<std::string>(names.begin(), names.end());
  }
  bool exists(const std::string& path) override {
    return files_.contains(path) || directories_.contains(path);
  }
  Result<std::unique_ptr<world::DirectoryLock>> lock(const std::string& /*path*/) override {
    return std::make_unique<world::DirectoryLock>();
  }
  Result<uint64_t> free_bytes(const std::string& /*path*/) override { return uint64_t{1} << 40U; }

  // A disk of its own with the same content.
  TestDisk copy() const {
    TestDisk made;
    made.directories_ = directories_;
    for (const auto& [path, content] : files_) {
      made.files_[path] = std::make_shared<std::string>(*content);
    }
    return made;
  }
  std::string& content(const std::string& path) { return *files_.at(path); }
  bool sync_fails = false;

 private:
  class OpenFile final : public world::File {
   public:
    OpenFile(std::shared_ptr<std::string> content, const bool& sync_fails)
        : content_(std::move(content)), sync_fails_(sync_fails) {}
    Result<size_t> read_at(uint64_t offset, std::span<uint8_t> target) override {
      if (offset >= content_->size()) return size_t{0};
      const size_t count = content_->copy(reinterpret_cast<char*>(target.data()), target.size(),
                                          static_cast<size_t>(offset));
      return count;
    }
    Result<void> write_at(uint64_t offset, std::span<const uint8_t> data) override {
      const auto end = static_cast<size_t>(offset) + data.size();
      if (content_->size() < end) content_->resize(end);
      content_->replace(static_cast<size_t>(offset), data.size(),
                        reinterpret_cast<const char*>(data.data()), data.size());
      return {};
    }
    Result<void> sync_data() override {
      if (sync_fails_) return fail(ErrorKind::io, "the disk failed to sync");
      return {};
    }
    Result<uint64_t> size() override { return uint64_t{content_->size()}; }
    Result<void> truncate(uint64_t size) override {
      content_->resize(static_cast<size_t>(size));
      return {};
    }

   private:
    std::shared_ptr<std::string> content_;
    const bool& sync_fails_;
  };

  std::map<std::string, std::shared_ptr<std::string>> files_;
  std::map<std::string, bool> directories_;
};

}  // namespace quorate::storage
