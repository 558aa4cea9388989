// The buffer inside a database, beside a map: it must not be noticed.
#include "storage/kv/row_buffer.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "base/rng.h"

namespace quorate::storage {
namespace {

using Rows = std::map<std::string, std::string>;

class RowBufferTest : public ::testing::Test {
 protected:
  RowBufferTest() {
    std::string pattern = ::testing::TempDir() + "quorate_rows_XXXXXX";
    root_ = mkdtemp(pattern.data());
    rocksdb::Options options;
    options.create_if_missing = true;
    options.allow_concurrent_memtable_write = false;
    options.memtable_factory = make_row_buffers();
    rocksdb::DB* raw = nullptr;
    const rocksdb::Status opened = rocksdb::DB::Open(options, root_, &raw);
    database_.reset(raw);
    EXPECT_TRUE(opened.ok()) << opened.ToString();
  }
  ~RowBufferTest() override {
    database_.reset();
    std::filesystem::remove_all(root_);
  }
  static std::string key_of(uint64_t number) { return std::to_string(1'000'000 + number); }
  std::unique_ptr<rocksdb::Iterator> iterator(const rocksdb::Snapshot* snapshot = nullptr) {
    rocksdb::ReadOptions options;
    options.snapshot = snapshot;
    return std::unique_ptr<rocksdb::Iterator>(database_->NewIterator(options));
  }
  Rows forwards(const rocksdb::Snapshot* snapshot = nullptr) {
    Rows rows;
    const auto row = iterator(snapshot);
    for (row->SeekToFirst(); row->Valid(); row->Next()) {
      EXPECT_TRUE(rows.empty() || rows.rbegin()->first < row->key().ToString());
      rows.emplace(row->key().ToString(), row->value().ToString());
    }
    return rows;
  }
  Rows backwards() {
    Rows rows;
    const auto row = iterator();
    for (row->SeekToLast(); row->Valid(); row->Prev()) {
      EXPECT_TRUE(rows.empty() || row->key().ToString() < rows.begin()->first);
      rows.emplace(row->key().ToString(), row->value().ToString());
    }
    return rows;
  }
  void write_in_order(uint64_t number) {
    const std::string value(number % 300, 'v');
    ASSERT_TRUE(database_->Put({}, key_of(number), value).ok());
    model_[key_of(number)] = value;
  }
  // Somewhere in what was written before: its removal, or another value.
  void write_late(uint64_t number, bool removal) {
    const std::string key = key_of(number);
    ASSERT_TRUE((removal ? database_->Delete({}, key) : database_->Put({}, key, "late")).ok());
    if (removal) {
      model_.erase(key);
    } else {
      model_[key] = "late";
    }
  }
  void turn_around(uint64_t number) {
    const auto row = iterator();
    const auto after = model_.lower_bound(key_of(number));
    row->Seek(key_of(number));
    ASSERT_EQ(row->Valid(), after != model_.end());
    if (row->Valid()) {
      EXPECT_EQ(row->key().ToString(), after->first);
      row->Prev();
      ASSERT_EQ(row->Valid(), after != model_.begin());
    }
    row->SeekForPrev(key_of(number));
    const auto behind = model_.upper_bound(key_of(number));
    ASSERT_EQ(row->Valid(), behind != model_.begin());
    if (!row->Valid()) return;
    EXPECT_EQ(row->key().ToString(), std::prev(behind)->first);
    row->Next();
    ASSERT_EQ(row->Valid(), behind != model_.end());
    if (row->Valid()) {
      EXPECT_EQ(row->key().ToString(), behind->first);
    }
  }

  std::string root_;
  std::unique_ptr<rocksdb::DB> database_;
  Rows model_;
};

TEST_F(RowBufferTest, RowsInAndOutOfOrderAreOneSequence) {
  Rng rng(11);
  uint64_t next = 1;
  for (int round = 0; round < 40; ++round) {
    for (int row = 0; row < 100; ++row) write_in_order(next++);
    for (uint64_t late = rng.below(20); late > 0; --late) {
      write_late(rng.below(next + 5), rng.below(2) == 0);
    }
    for (int look = 0; look < 20; ++look) {
      turn_around(rng.below(next + 5));
      const std::string key = key_of(rng.below(next));
      std::string value;
      const bool found = database_->Get({}, key, &value).ok();
      ASSERT_EQ(found, model_.contains(key));
      if (found) {
        ASSERT_EQ(value, model_[key]);
      }
    }
    ASSERT_EQ(forwards(), model_);
    ASSERT_EQ(backwards(), model_);
    if (rng.below(8) == 0) {
      ASSERT_TRUE(database_->Flush({}).ok());
    }
  }
}

TEST_F(RowBufferTest, ASnapshotSeesNothingThatCameLater) {
  for (uint64_t row = 1; row < 2000; ++row) write_in_order(row);
  const Rows before = model_;
  const rocksdb::Snapshot* snapshot = database_->GetSnapshot();
  const auto row = iterator(snapshot);  // asks before anything came late
  for (uint64_t late = 3; late < 2000; late += 7) write_late(late, late % 2 == 0);
  for (uint64_t more = 2000; more < 3000; ++more) write_in_order(more);
  EXPECT_EQ(forwards(snapshot), before);
  Rows seen;
  for (row->SeekToFirst(); row->Valid(); row->Next()) {
    seen.emplace(row->key().ToString(), row->value().ToString());
  }
  EXPECT_EQ(seen, before);
  EXPECT_EQ(forwards(), model_);
  database_->ReleaseSnapshot(snapshot);
}

TEST_F(RowBufferTest, ManyReadWhileOneWrites) {
  constexpr uint64_t kRows = 5000;
  std::atomic<uint64_t> written{0};
  std::atomic<bool> over{false};
  const auto read = [&] {
    while (!over) {
      const uint64_t least = written;
      uint64_t seen = 0;
      const auto row = iterator();
      for (row->SeekToFirst(); row->Valid(); row->Next()) ++seen;
      EXPECT_GE(seen, least);
      std::string value;
      if (least > 0) {
        EXPECT_TRUE(database_->Get({}, key_of(least), &value).ok());
      }
    }
  };
  std::thread one(read);
  std::thread other(read);
  for (uint64_t row = 1; row <= kRows; ++row) {
    write_in_order(row);
    if (row % 50 == 0) write_late(row / 2, false);
    written = row;
  }
  over = true;
  one.join();
  other.join();
  EXPECT_EQ(forwards(), model_);
}

}  // namespace
}  // namespace quorate::storage
