#include "world/real/files.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

namespace quorate::world {
namespace {

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "quorate-files-XXXXXX");
    EXPECT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  ~Files() override { std::filesystem::remove_all(root_); }
  static mode_t mode_of(const std::string& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  }
  std::string root_;
  std::unique_ptr<Disk> disk_ = make_file_disk();
};

TEST_F(Files, ReadBackWhatWasWritten) {
  const std::string path = root_ + "/a";
  auto file = disk_->open(path, OpenMode::create);
  ASSERT_TRUE(file.has_value());
  ASSERT_TRUE((*file)->write_at(0, bytes_of("hello world")).has_value());
  ASSERT_TRUE((*file)->write_at(20, bytes_of("!")).has_value());
  ASSERT_TRUE((*file)->sync_data().has_value());
  EXPECT_EQ((*file)->size().value(), 21U);
  std::string read(64, 'x');
  const std::span<uint8_t> target(reinterpret_cast<uint8_t*>(read.data()), read.size());
  EXPECT_EQ((*file)->read_at(6, target).value(), 15U);
  EXPECT_EQ(read.substr(0, 15), std::string("world\0\0\0\0\0\0\0\0\0!", 15));
  EXPECT_EQ((*file)->read_at(100, target).value(), 0U);
  ASSERT_TRUE((*file)->truncate(5).has_value());
  EXPECT_EQ((*file)->read_at(0, target).value(), 5U);
  EXPECT_EQ(mode_of(path), 0600U);
}

// Aligned or not, long or short, across what was written before: read back by the same file.
TEST_F(Files, ADurableWriteIsThereForReaders) {
  constexpr size_t kPage = 4096;
  constexpr size_t kBytes = size_t{3} << 20U;
  auto file = disk_->open(root_ + "/a", OpenMode::create);
  ASSERT_TRUE(file.has_value());
  std::string expected(kBytes, '\0');
  ASSERT_TRUE((*file)->write_at(0, bytes_of(expected)).has_value());
  struct Piece {
    size_t offset;
    size_t size;
  };
  const std::vector<Piece> pieces = {{0, kPage},
                                     {kPage, 2 * kPage},
                                     {kPage + 1, kPage},
                                     {2 * kPage, kPage - 1},
                                     {0, kBytes / 2},
                                     {4 * kPage, 300 * kPage / 2},
                                     {kBytes - kPage, kPage},
                                     {kBytes, 4 * kPage}};
  char letter = 'a';
  for (const Piece& piece : pieces) {
    expected.resize(std::max(expected.size(), piece.offset + piece.size));
    const std::string text(piece.size, letter++);
    expected.replace(piece.offset, piece.size, text);
    // Reading first puts pages into the cache that must not be believed afterwards.
    std::string read(expected.size(), 'x');
    const std::span<uint8_t> target(reinterpret_cast<uint8_t*>(read.data()), read.size());
    ASSERT_TRUE((*file)->read_at(0, target).has_value());
    ASSERT_TRUE((*file)->write_durably_at(piece.offset, bytes_of(text)).has_value());
    ASSERT_EQ((*file)->read_at(0, target).value(), expected.size());
    EXPECT_EQ(read, expected) << "piece at " << piece.offset << " of " << piece.size;
  }
  const auto readable = disk_->open(root_ + "/a", OpenMode::read);
  ASSERT_TRUE(readable.has_value());
  const std::string page(kPage, 'z');
  EXPECT_FALSE((*readable)->write_durably_at(0, bytes_of(page)).has_value());
}

TEST_F(Files, OpenModesMeanWhatTheySay) {
  const std::string path = root_ + "/a";
  const auto absent = disk_->open(path, OpenMode::read_write);
  ASSERT_FALSE(absent.has_value());
  EXPECT_EQ(absent.error().kind, ErrorKind::not_found);
  EXPECT_NE(absent.error().text.find(path), std::string::npos);
  ASSERT_TRUE(disk_->open(path, OpenMode::create).has_value());
  EXPECT_FALSE(disk_->open(path, OpenMode::create).has_value());
  const auto readable = disk_->open(path, OpenMode::read);
  ASSERT_TRUE(readable.has_value());
  const auto refused = (*readable)->write_at(0, bytes_of("x"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::io);
}

TEST_F(Files, DirectoriesGrowAreListedAndGo) {
  const std::string deep = root_ + "/one/two//three/";
  ASSERT_TRUE(disk_->make_directory(deep).has_value());
  ASSERT_TRUE(disk_->make_directory(deep).has_value());
  EXPECT_EQ(mode_of(root_ + "/one/two"), 0700U);
  for (const char* name : {"b", "a", "c"}) {
    ASSERT_TRUE(disk_->open(root_ + "/one/" + name, OpenMode::create).has_value());
  }
  EXPECT_EQ(disk_->list(root_ + "/one").value(), (std::vector<std::string>{"a", "b", "c", "two"}));
  ASSERT_TRUE(disk_->rename(root_ + "/one/a", root_ + "/one/b").has_value());
  ASSERT_TRUE(disk_->remove(root_ + "/one/c").has_value());
  ASSERT_TRUE(disk_->sync_directory(root_ + "/one").has_value());
  EXPECT_EQ(disk_->list(root_ + "/one").value(), (std::vector<std::string>{"b", "two"}));
  EXPECT_FALSE(disk_->remove(root_ + "/one/c").has_value());
  ASSERT_TRUE(disk_->remove_tree(root_ + "/one").has_value());
  ASSERT_TRUE(disk_->remove_tree(root_ + "/one").has_value());
  EXPECT_FALSE(disk_->exists(root_ + "/one"));
  const auto gone = disk_->list(root_ + "/one");
  ASSERT_FALSE(gone.has_value());
  EXPECT_EQ(gone.error().kind, ErrorKind::not_found);
  EXPECT_GT(disk_->free_bytes(root_).value(), 0U);
}

TEST_F(Files, ADirectoryCannotStandWhereAFileIs) {
  ASSERT_TRUE(disk_->open(root_ + "/a", OpenMode::create).has_value());
  const auto refused = disk_->make_directory(root_ + "/a/b");
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().text.find("Not a directory"), std::string::npos);
}

TEST_F(Files, ASecondHolderOfALockIsRefused) {
  auto lock = disk_->lock(root_);
  ASSERT_TRUE(lock.has_value());
  const auto second = disk_->lock(root_);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::conflict);
  EXPECT_NE(second.error().text.find("in use by another process"), std::string::npos);
  // Another process sees it as well.
  const pid_t child = ::fork();
  if (child == 0) ::_exit(make_file_disk()->lock(root_).has_value() ? 1 : 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  lock->reset();
  EXPECT_TRUE(disk_->lock(root_).has_value());
}

TEST_F(Files, AFullDeviceIsToldApart) {
  const auto full = disk_->open("/dev/full", OpenMode::read_write);
  if (!full.has_value()) GTEST_SKIP() << "this machine has no /dev/full";
  const auto refused = (*full)->write_at(0, bytes_of("x"));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ErrorKind::no_space);
}

}  // namespace
}  // namespace quorate::world
