#include "world/real/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/mutant.h"
#include "world/real/direct_writer.h"

namespace quorate::world {
namespace {

// Data of a cluster is nobody else's business: only the owner reads it.
constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;
constexpr const char* kLockName = "/LOCK";

std::unexpected<Error> failure(const std::string& action, const std::string& path, int code) {
  const std::string text = "cannot " + action + " " + path + ": " + std::strerror(code);
  if (code == ENOSPC || code == EDQUOT) {
    return fail(ErrorKind::no_space, text + "; free space on this device or raise the quota");
  }
  return fail(code == ENOENT ? ErrorKind::not_found : ErrorKind::io, text);
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.find_last_of('/', path.size() - 2);
  if (path.size() < 2 || slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// An open descriptor, closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int value() const { return value_; }

 private:
  int value_;
};

template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR && !QRT_MUTANT(D10_SIGNAL)) result = call();
  return result;
}

Descriptor open_descriptor(const std::string& path, int flags) {
  return Descriptor(
      uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileMode); }));
}

class PosixFile final : public File {
 public:
  PosixFile(std::string path, Descriptor descriptor)
      : path_(std::move(path)), descriptor_(std::move(descriptor)) {}

  Result<size_t> read_at(uint64_t offset, std::span<uint8_t> target) override {
    size_t done = 0;
    while (done < target.size()) {
      const ssize_t count = uninterrupted([&] {
        return ::pread(descriptor_.value(), target.data() + done, target.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (count < 0) return failure("read", path_, errno);
      if (count == 0) break;
      done += static_cast<size_t>(count);
      if (QRT_MUTANT(D10_READ)) break;
    }
    return done;
  }

  Result<void> write_at(uint64_t offset, std::span<const uint8_t> data) override {
    size_t done = 0;
    while (done < data.size()) {
      const ssize_t count = uninterrupted([&] {
        return ::pwrite(descriptor_.value(), data.data() + done, data.size() - done,
                        static_cast<off_t>(offset + done));
      });
      if (count < 0) return failure("write", path_, errno);
      // A device that takes nothing and reports nothing would keep this loop for ever.
      if (count == 0) return failure("write", path_, EIO);
      done += static_cast<size_t>(count);
      if (QRT_MUTANT(D10)) break;
    }
    return {};
  }

  // Never repeated after EIO: the kernel marks the pages clean, and a second call would say yes.
  Result<void> sync_data() override {
    if (uninterrupted([&] { return ::fdatasync(descriptor_.value()); }) != 0) {
      return failure("sync", path_, errno);
    }
    return {};
  }

  Result<void> write_durably_at(uint64_t offset, std::span<const uint8_t> data) override {
    switch (direct_.write(descriptor_.value(), offset, data)) {
      case DirectWriter::Outcome::durable:
        return {};
      case DirectWriter::Outcome::failed:
        return failure("write to and sync", path_, errno);
      case DirectWriter::Outcome::not_possible:
        break;
    }
    return File::write_durably_at(offset, data);
  }

  Result<uint64_t> size() override {
    struct stat status{};
    if (::fstat(descriptor_.value(), &status) != 0) return failure("examine", path_, errno);
    return static_cast<uint64_t>(status.st_size);
  }

  Result<void> truncate(uint64_t size) override {
    const auto target = static_cast<off_t>(size);
    if (uninterrupted([&] { return ::ftruncate(descriptor_.value(), target); }) != 0) {
      return failure("truncate", path_, errno);
    }
    return {};
  }

 private:
  std::string path_;
  Descriptor descriptor_;
  DirectWriter direct_;
};

class PosixLock final : public DirectoryLock {
 public:
  explicit PosixLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  Descriptor descriptor_;  // the lock ends with it, also when the process is killed
};

int open_flags(OpenMode mode) {
  switch (mode) {
    case OpenMode::read:
      return O_RDONLY;
    case OpenMode::read_write:
      return O_RDWR;
    case OpenMode::create:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

class FileDisk final : public Disk {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    Descriptor descriptor = open_descriptor(path, open_flags(mode));
    if (descriptor.value() < 0) {
      return failure(mode == OpenMode::create ? "create" : "open", path, errno);
    }
    return std::make_unique<PosixFile>(path, std::move(descriptor));
  }

  Result<void> make_directory(const std::string& path) override {
    for (size_t end = 1; end <= path.size(); ++end) {
      if (end != path.size() && path[end] != '/') continue;
      const std::string prefix = path.substr(0, end);
      if (::mkdir(prefix.c_str(), kDirectoryMode) == 0) {
        // Else a power cut may take the directory away with everything that was synced in it.
        if (auto synced = sync_directory(parent_of(prefix)); !synced) return synced;
        continue;
      }
      const int code = errno;
      // A parent may exist and be closed to us for writing, which matters only if it is absent.
      if (!is_directory(prefix)) {
        return failure("create directory", prefix, code == EEXIST ? ENOTDIR : code);
      }
    }
    return {};
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      const int code = errno;
      return failure("rename " + from + " to", to, code);
    }
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return failure("remove", path, errno);
    return {};
  }

  Result<void> remove_tree(const std::string& path) override {
    std::error_code code;
    std::filesystem::remove_all(path, code);
    if (code) return failure("remove everything under", path, code.value());
    return {};
  }

  Result<void> sync_directory(const std::string& path) override {
    const Descriptor descriptor = open_descriptor(path, O_RDONLY | O_DIRECTORY);
    if (descriptor.value() < 0) return failure("open directory", path, errno);
    if (uninterrupted([&] { return ::fsync(descriptor.value()); }) != 0) {
      return failure("sync directory", path, errno);
    }
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& path) override {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) return failure("list", path, errno);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(directory)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
      errno = 0;
    }
    const int code = errno;
    ::closedir(directory);
    if (code != 0) return failure("list", path, code);
    std::ranges::sort(names);
    return names;
  }

  bool exists(const std::string& path) override {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0;
  }

  Result<std::unique_ptr<DirectoryLock>> lock(const std::string& path) override {
    const std::string name = path + kLockName;
    Descriptor descriptor = open_descriptor(name, O_RDWR | O_CREAT);
    if (descriptor.value() < 0) return failure("open", name, errno);
    if (uninterrupted([&] { return ::flock(descriptor.value(), LOCK_EX | LOCK_NB); }) != 0) {
      if (errno != EWOULDBLOCK) return failure("lock", name, errno);
      return fail(ErrorKind::conflict,
                  "data directory " + path +
                      " is in use by another process; stop it first, or give this one a "
                      "directory of its own");
    }
    return std::make_unique<PosixLock>(std::move(descriptor));
  }

  Result<uint64_t> free_bytes(const std::string& path) override {
    struct statvfs status{};
    if (::statvfs(path.c_str(), &status) != 0) return failure("examine", path, errno);
    return uint64_t{status.f_bavail} * uint64_t{status.f_frsize};
  }

 private:
  static bool is_directory(const std::string& path) {
    struct stat status{};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
  }
};

}  // namespace

std::unique_ptr<Disk> make_file_disk() { return std::make_unique<FileDisk>(); }

}  // namespace quorate::world
