// Files written and read back, and files that nobody wrote.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/rng.h"
#include "base/sha256.h"
#include "storage/bolt/reader.h"
#include "storage/bolt/snapshot_digest.h"
#include "storage/bolt/writer.h"
#include "storage/kv/test_disk.h"

namespace quorate::storage::bolt {
namespace {

using Rows = std::map<std::string, std::string>;
using Content = std::map<std::string, Rows>;

std::string write(const Content& content) {
  Writer writer;
  for (const auto& [name, rows] : content) {
    writer.begin_bucket(name);
    for (const auto& [key, value] : rows) writer.put(key, value);
    writer.end_bucket();
  }
  std::string file = writer.finish();
  file += writer.output();
  EXPECT_EQ(file.size(), writer.page_count() * kPageBytes);
  return file;
}

class OneFile {
 public:
  explicit OneFile(const std::string& bytes) {
    auto file = disk_.open("/file", world::OpenMode::create);
    file_ = std::move(*file);
    disk_.content("/file") = bytes;
  }
  world::File& operator*() { return *file_; }

 private:
  TestDisk disk_;
  std::unique_ptr<world::File> file_;
};

Result<Content> read(const std::string& bytes) {
  OneFile file(bytes);
  auto reader = Reader::open(*file, "file", bytes.size());
  if (!reader) return std::unexpected(reader.error());
  Content content;
  for (const std::string& name : reader->buckets()) {
    Rows& rows = content[name];
    auto scanned = reader->scan(name, [&](std::string_view key, std::string_view value) {
      rows.emplace(key, value);
      return true;
    });
    if (!scanned) return std::unexpected(scanned.error());
  }
  return content;
}

std::string number_key(uint64_t number) {
  std::string key(17, '_');
  for (size_t i = 0; i < 8; ++i) key[i] = static_cast<char>(number >> (56 - 8 * i) & 0xffU);
  return key;
}

Rows numbered(uint64_t count, size_t value_bytes) {
  Rows rows;
  for (uint64_t i = 0; i < count; ++i) {
    rows[number_key(i)] = std::string(value_bytes, static_cast<char>('a' + i % 26));
  }
  return rows;
}

// What etcd's library relies on, looked up page by page.
void check_pages(const std::string& file) {
  std::set<uint64_t> roots;
  for (size_t at = 2 * kPageBytes; at < file.size();) {
    const PageHeader header = decode_page_header(std::string_view(file).substr(at));
    ASSERT_EQ(header.id, at / kPageBytes);
    if (header.flags == kBranch) {
      EXPECT_GE(header.count, 2) << "a branch with one child, page " << header.id;
    }
    at += (header.overflow + size_t{1}) * kPageBytes;
  }
  for (const size_t page : {size_t{0}, size_t{1}}) {
    const auto meta = decode_meta(std::string_view(file).substr(page * kPageBytes + kHeaderBytes));
    ASSERT_TRUE(meta);
    EXPECT_EQ(meta->transaction % 2, page);  // where the library would have written it
    EXPECT_EQ(meta->page_count, file.size() / kPageBytes);
  }
}

TEST(BoltTest, WhatIsWrittenIsReadBack) {
  const Content content = {{"alarm", {}},
                           {"key", numbered(3, 10)},
                           {"meta", {{"a", ""}, {"b", std::string("\0\xff", 2)}}}};
  const std::string file = write(content);
  check_pages(file);
  EXPECT_EQ(*read(file), content);
}

TEST(BoltTest, TreesOfEveryDepth) {
  // About 90 rows fill a leaf and 120 leaves a branch: the last ones have three levels.
  for (const uint64_t count :
       {0U, 1U, 2U, 88U, 89U, 90U, 91U, 200U, 8000U, 11000U, 11100U, 25000U}) {
    const Content content = {{"key", numbered(count, 12)}};
    const std::string file = write(content);
    check_pages(file);
    const auto back = read(file);
    ASSERT_TRUE(back) << back.error().text;
    EXPECT_EQ(*back, content) << count;
  }
}

TEST(BoltTest, NumbersOfChildrenAroundAFullBranch) {
  // One row a leaf, so each row more is one child more.
  for (uint64_t count = 118; count <= 130; ++count) {
    const Content content = {{"key", numbered(count, 3000)}};
    const std::string file = write(content);
    check_pages(file);
    EXPECT_EQ(*read(file), content) << count;
  }
}

TEST(BoltTest, LargeRowsTakePagesInARow) {
  for (const size_t size : {4031U, 4046U, 4047U, 4048U, 4049U, 70000U, 1500000U}) {
    Rows rows = numbered(5, 100);
    rows[number_key(2)] = std::string(size, 'x');
    const Content content = {{"key", rows}, {"lease", numbered(1, size)}};
    const std::string file = write(content);
    check_pages(file);
    EXPECT_EQ(*read(file), content) << size;
  }
}

TEST(BoltTest, LongKeys) {
  Rows rows;
  for (char c = 'a'; c < 'a' + 20; ++c) rows[std::string(kKeyBytesMax, c)] = "v";
  const Content content = {{"authUsers", rows}};
  const std::string file = write(content);
  check_pages(file);
  EXPECT_EQ(*read(file), content);
}

TEST(BoltTest, RandomContents) {
  Rng rng(7);
  for (int round = 0; round < 60; ++round) {
    Content content;
    const uint64_t buckets = rng.below(5);
    for (uint64_t bucket = 0; bucket < buckets; ++bucket) {
      Rows& rows = content["bucket" + std::to_string(bucket)];
      const uint64_t count = rng.below(400);
      for (uint64_t i = 0; i < count; ++i) {
        std::string key(1 + static_cast<size_t>(rng.below(60)), '\0');
        for (char& byte : key) byte = static_cast<char>(rng.below(256));
        const uint64_t most = rng.below(20) == 0 ? 9000 : 200;
        rows[key] = std::string(static_cast<size_t>(rng.below(most)), 'v');
      }
    }
    const std::string file = write(content);
    check_pages(file);
    const auto back = read(file);
    ASSERT_TRUE(back) << back.error().text;
    ASSERT_EQ(*back, content) << round;
  }
}

TEST(BoltTest, TheSameCallsGiveTheSameBytes) {
  const Content content = {{"key", numbered(1000, 30)}};
  EXPECT_EQ(write(content), write(content));
}

TEST(BoltTest, AVisitorMayStop) {
  const std::string file = write({{"key", numbered(1000, 30)}});
  OneFile disk(file);
  auto reader = Reader::open(*disk, "file", file.size());
  ASSERT_TRUE(reader);
  int seen = 0;
  EXPECT_TRUE(reader->scan("key", [&](std::string_view, std::string_view) { return ++seen < 7; }));
  EXPECT_EQ(seen, 7);
  EXPECT_TRUE(reader->scan("absent", [&](std::string_view, std::string_view) {
    ++seen;
    return true;
  }));
  EXPECT_EQ(seen, 7);
}

// ---- Files that nobody wrote.

TEST(BoltTest, TheOlderMetaHelpsWhenTheNewerIsDamaged) {
  const Content content = {{"key", numbered(100, 30)}};
  for (const size_t broken : {size_t{0}, kPageBytes}) {
    std::string file = write(content);
    file[broken + kHeaderBytes + 20] ^= 1;
    EXPECT_EQ(*read(file), content) << broken;
  }
  std::string file = write(content);
  file[kHeaderBytes + 20] ^= 1;
  file[kPageBytes + kHeaderBytes + 20] ^= 1;
  EXPECT_EQ(read(file).error().kind, ErrorKind::corrupt);
}

TEST(BoltTest, AFileThatIsCutShortIsRefused) {
  const std::string file = write({{"key", numbered(300, 30)}});
  for (size_t size = 0; size < file.size(); size += 64) {
    const auto back = read(file.substr(0, size));
    ASSERT_FALSE(back) << size;
    EXPECT_EQ(back.error().kind, ErrorKind::corrupt);
  }
}

// Every bit of the metas, headers and elements: the file is refused, or it reads the same rows
// except for what that very bit says.
TEST(BoltTest, AChangedBitNeverMakesTheReaderStumble) {
  const Content content = {{"alarm", {}}, {"key", numbered(400, 8)}, {"meta", {{"term", "1"}}}};
  const std::string whole = write(content);
  size_t refused = 0;
  for (size_t at = 2 * kPageBytes; at < whole.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      std::string file = whole;
      file[at] = static_cast<char>(file[at] ^ 1 << bit);
      const auto back = read(file);
      if (!back) {
        ++refused;
        EXPECT_NE(back.error().text.find("page"), std::string::npos) << back.error().text;
      }
    }
  }
  EXPECT_GT(refused, 1000U);
}

TEST(BoltTest, PagesThatBelongToTwoPlacesOrToThemselvesAreRefused) {
  const std::string whole = write({{"key", numbered(300, 30)}});
  // Find the branch, and let each child in turn be any other page.
  size_t branch = 0;
  for (size_t at = 2 * kPageBytes; at < whole.size(); at += kPageBytes) {
    if (decode_page_header(std::string_view(whole).substr(at)).flags == kBranch) branch = at;
  }
  ASSERT_NE(branch, 0U);
  const PageHeader header = decode_page_header(std::string_view(whole).substr(branch));
  for (size_t child = 0; child < header.count; ++child) {
    const size_t at = branch + kHeaderBytes + child * kElementBytes + 8;
    for (uint64_t page = 0; page < whole.size() / kPageBytes + 2; ++page) {
      if (static_cast<unsigned char>(whole[at]) == page) continue;
      std::string file = whole;
      file[at] = static_cast<char>(page);
      EXPECT_FALSE(read(file)) << "child " << child << " is page " << page;
    }
  }
}

TEST(BoltTest, TheDigestOfASnapshot) {
  std::string bytes = write({{"key", numbered(10, 30)}});
  Sha256 hash;
  hash.add(bytes);
  const std::string digest = hash.finish();
  {
    OneFile file(bytes);
    const auto measured = measure_snapshot(*file);
    EXPECT_EQ(measured->bytes, bytes.size());
    EXPECT_FALSE(measured->digest);
  }
  OneFile file(bytes + digest);
  const auto measured = measure_snapshot(*file);
  EXPECT_EQ(measured->bytes, bytes.size());
  EXPECT_EQ(measured->digest, digest);
  EXPECT_EQ(*compute_digest(*file, measured->bytes), digest);
}

}  // namespace
}  // namespace quorate::storage::bolt
