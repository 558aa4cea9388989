// One suite for both stores: whoever stands above must not be able to tell them apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <thread>

#include "base/rng.h"
#include "storage/kv/kv_store.h"
#include "storage/kv/test_disk.h"

namespace quorate::storage {
namespace {

using Rows = std::map<std::string, std::string>;

class StoreKind {
 public:
  virtual ~StoreKind() = default;
  virtual Result<std::unique_ptr<KvStore>> open(const std::string& name) = 0;
  virtual std::string path(const std::string& name) = 0;
};

class MemoryKind final : public StoreKind {
 public:
  Result<std::unique_ptr<KvStore>> open(const std::string& name) override {
    return open_memory_store(disk_, path(name));
  }
  std::string path(const std::string& name) override { return "/" + name; }

 private:
  TestDisk disk_;
};

class RocksdbKind final : public StoreKind {
 public:
  RocksdbKind() {
    std::string pattern = ::testing::TempDir() + "quorate_kv_XXXXXX";
    root_ = mkdtemp(pattern.data());
  }
  ~RocksdbKind() override { std::filesystem::remove_all(root_); }
  Result<std::unique_ptr<KvStore>> open(const std::string& name) override {
    return open_rocksdb_store(path(name));
  }
  std::string path(const std::string& name) override { return root_ + "/" + name; }

 private:
  std::string root_;
};

class KvTest : public ::testing::TestWithParam<const char*> {
 protected:
  KvTest() {
    if (std::string_view(GetParam()) == "memory") {
      kind_ = std::make_unique<MemoryKind>();
    } else {
      kind_ = std::make_unique<RocksdbKind>();
    }
    reopen();
  }
  void reopen() {
    store_.reset();
    auto opened = kind_->open("store");
    ASSERT_TRUE(opened) << opened.error().text;
    store_ = std::move(*opened);
  }
  void put(std::string_view key, std::string_view value) {
    WriteBatch batch;
    batch.put(key, value);
    ASSERT_TRUE(store_->write(batch));
  }
  void flush() {
    put("flush", std::to_string(++flushes_));
    store_->start_flush();
    for (int i = 0; i < 1000; ++i) {
      if (*store_->durable_value("flush") == std::to_string(flushes_)) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    FAIL() << "a flush never became durable";
  }
  static Rows all(const KvStore& store) {
    Rows rows;
    EXPECT_TRUE(store.scan("", "", [&](std::string_view key, std::string_view value) {
      rows.emplace(key, value);
      return true;
    }));
    rows.erase("flush");
    return rows;
  }

  std::unique_ptr<StoreKind> kind_;
  std::unique_ptr<KvStore> store_;
  int flushes_ = 0;
};

TEST_P(KvTest, BatchesApplyInOrder) {
  WriteBatch batch;
  batch.put("a", "1");
  batch.put("b", "2");
  batch.remove("a");
  batch.put("b", "3");
  ASSERT_TRUE(store_->write(batch));
  EXPECT_EQ(*store_->get("a"), std::nullopt);
  EXPECT_EQ(*store_->get("b"), "3");
}

TEST_P(KvTest, ScansAscendWithinBoundsAndStopWhenTold) {
  for (const char* key : {"d", "a", "c", "b"}) put(key, key);
  std::string seen;
  const auto collect = [&](std::string_view key, std::string_view) {
    seen += key;
    return seen.size() < 3;
  };
  ASSERT_TRUE(store_->scan("b", "d", collect));
  EXPECT_EQ(seen, "bc");
  seen.clear();
  ASSERT_TRUE(store_->scan("", "", collect));
  EXPECT_EQ(seen, "abc");
  seen.clear();
  ASSERT_TRUE(store_->scan("bb", "", collect));
  EXPECT_EQ(seen, "cd");
}

// Long enough that a second thread reads ahead (read_ahead.h), with rows of many sizes.
TEST_P(KvTest, LongScansSeeEachRowOnceInOrder) {
  constexpr int kRows = 30'000;
  const auto key_of = [](int number) { return std::to_string(100'000 + number); };
  const auto value_of = [](int number) {
    return std::string(static_cast<size_t>(number % 97), static_cast<char>('a' + number % 26));
  };
  WriteBatch batch;
  for (int i = 0; i < kRows; ++i) batch.put(key_of(i), value_of(i));
  batch.put("2large", std::string(size_t{1} << 20U, 'x'));  // more than a block
  ASSERT_TRUE(store_->write(batch));
  for (const int stop_at : {kRows + 1, 4096, 4097, 20'000, 0}) {
    int next = 0;
    size_t large = 0;
    ASSERT_TRUE(store_->scan("1", "3", [&](std::string_view key, std::string_view value) {
      if (next == kRows) {
        large = value.size();
        return true;
      }
      EXPECT_EQ(key, key_of(next));
      EXPECT_EQ(value, value_of(next));
      return next++ < stop_at;
    }));
    EXPECT_EQ(next, std::min(kRows, stop_at + 1));
    EXPECT_EQ(large, next == kRows ? size_t{1} << 20U : 0U);
  }
}

TEST_P(KvTest, BytesOfEveryKindSurvive) {
  const std::string odd("\0\xff\0k", 4);
  put(odd, std::string("\0\0", 2));
  put("empty", "");
  EXPECT_EQ(*store_->get(odd), std::string("\0\0", 2));
  EXPECT_EQ(*store_->get("empty"), "");
  flush();
  reopen();
  EXPECT_EQ(*store_->get(odd), std::string("\0\0", 2));
  EXPECT_EQ(*store_->get("empty"), "");
}

TEST_P(KvTest, AViewStaysWhatItWas) {
  put("a", "1");
  put("m", "1");  // of those kept apart
  put("z", "1");
  std::unique_ptr<const KvView> view = store_->view();
  WriteBatch batch;
  batch.remove("a");
  batch.put("m", "2");
  batch.put("n", "2");
  ASSERT_TRUE(store_->write(batch));
  flush();
  EXPECT_EQ(*view->get("a"), "1");
  EXPECT_EQ(*view->get("m"), "1");
  EXPECT_EQ(*view->get("n"), std::nullopt);
  const auto seen = [&] {
    std::string text;
    EXPECT_TRUE(view->scan("", "", [&](std::string_view key, std::string_view value) {
      text += std::string(key) + std::string(value) + " ";
      return true;
    }));
    return text;
  };
  EXPECT_EQ(seen(), "a1 m1 z1 ");
  store_.reset();  // and longer than the store
  EXPECT_EQ(seen(), "a1 m1 z1 ");
  view.reset();
  reopen();
  EXPECT_EQ(*store_->get("m"), "2");
}

TEST_P(KvTest, OnlyFlushedRowsAreDurableAndTheyAreAPrefix) {
  put("position", "1");
  put("row1", "x");
  flush();
  EXPECT_EQ(*store_->durable_value("position"), "1");
  put("position", "2");
  put("row2", "x");
  EXPECT_EQ(*store_->get("position"), "2");
  EXPECT_EQ(*store_->durable_value("position"), "1");
  EXPECT_EQ(*store_->durable_value("row2"), std::nullopt);
  reopen();  // a stop without a flush is a crash
  EXPECT_EQ(all(*store_), (Rows{{"position", "1"}, {"row1", "x"}}));
  EXPECT_EQ(*store_->durable_value("position"), "1");
}

TEST_P(KvTest, ACheckpointIsAConsistentCopyThatOpensAsAStore) {
  put("a", "1");
  put("b", "1");
  const std::string path = kind_->path("checkpoint");
  ASSERT_TRUE(store_->checkpoint(path));
  put("a", "2");
  EXPECT_EQ(*store_->value_in_checkpoint(path, "a"), "1");
  EXPECT_EQ(*store_->value_in_checkpoint(path, "nothing"), std::nullopt);
  const auto again = store_->checkpoint(path);
  ASSERT_FALSE(again);
  EXPECT_FALSE(again.error().text.empty());
  auto copy = kind_->open("checkpoint");
  ASSERT_TRUE(copy) << copy.error().text;
  EXPECT_EQ(all(**copy), (Rows{{"a", "1"}, {"b", "1"}}));
  EXPECT_EQ(*store_->get("a"), "2");
}

TEST_P(KvTest, AgreesWithAMapThroughFlushesAndCrashes) {
  Rng rng(7);
  Rows model;
  Rows durable;
  for (int round = 0; round < 60; ++round) {
    WriteBatch batch;
    for (int i = 0; i < 20; ++i) {
      const std::string key = "k" + std::to_string(rng.below(50));
      if (rng.below(4) == 0) {
        batch.remove(key);
        model.erase(key);
      } else {
        const std::string value = std::to_string(rng.next());
        batch.put(key, value);
        model[key] = value;
      }
    }
    ASSERT_TRUE(store_->write(batch));
    if (rng.below(8) == 0) {
      flush();
      durable = model;
    }
    if (rng.below(10) == 0) {
      reopen();
      model = durable;
    }
    ASSERT_EQ(all(*store_), model);
  }
}

TEST_P(KvTest, SizeFollowsContent) {
  const uint64_t before = store_->approximate_bytes();
  put("big", std::string(100'000, 'x'));
  EXPECT_GE(store_->approximate_bytes(), before + 100'000);
}

INSTANTIATE_TEST_SUITE_P(Stores, KvTest, ::testing::Values("memory", "rocksdb"),
                         [](const auto& name) { return std::string(name.param); });

TEST(MemoryStore, ADamagedImageIsRefused) {
  TestDisk disk;
  auto store = open_memory_store(disk, "/d");
  ASSERT_TRUE(store);
  WriteBatch batch;
  batch.put("key", "value");
  ASSERT_TRUE((*store)->write(batch));
  (*store)->start_flush();
  const std::string image = disk.content("/d/image");
  for (size_t i = 0; i < image.size(); ++i) {
    disk.content("/d/image") = image;
    disk.content("/d/image")[i] ^= 1;
    const auto opened = open_memory_store(disk, "/d");
    ASSERT_FALSE(opened) << i;
    EXPECT_EQ(opened.error().kind, ErrorKind::corrupt);
  }
  disk.content("/d/image") = image.substr(0, image.size() / 2);
  EXPECT_FALSE(open_memory_store(disk, "/d"));
}

std::map<std::string, std::string> everything(const KvStore& store) {
  std::map<std::string, std::string> rows;
  EXPECT_TRUE(store.scan("", "", [&](std::string_view key, std::string_view value) {
    rows.emplace(key, value);
    return true;
  }));
  return rows;
}

// Flush after flush, with damage anywhere in the changes: what is read back is the state after
// one of the flushes, and an undamaged file gives the last.
TEST(MemoryStore, ChangesAreReadBackFlushByFlush) {
  TestDisk disk;
  auto store = open_memory_store(disk, "/d");
  ASSERT_TRUE(store);
  std::vector<std::map<std::string, std::string>> states(1);
  for (int flush = 1; flush <= 12; ++flush) {
    WriteBatch batch;
    batch.put("k" + std::to_string(flush % 5), std::string(static_cast<size_t>(flush), 'v'));
    batch.remove("k" + std::to_string((flush + 2) % 5));
    batch.put("flush", std::to_string(flush));
    ASSERT_TRUE((*store)->write(batch));
    (*store)->start_flush();
    states.push_back(everything(**store));
  }
  const std::string changes = disk.content("/d/changes-1");
  for (size_t place = 0; place <= changes.size(); ++place) {
    disk.content("/d/changes-1") = changes.substr(0, place);
    if (place == changes.size()) {
      disk.content("/d/changes-1") = changes;
    } else if (place % 2 == 0) {
      disk.content("/d/changes-1") = changes;
      disk.content("/d/changes-1")[place] ^= 4;
    }
    const auto opened = open_memory_store(disk, "/d");
    ASSERT_TRUE(opened);
    const auto found = std::ranges::find(states, everything(**opened));
    ASSERT_NE(found, states.end()) << place;
    if (place == changes.size()) {
      EXPECT_EQ(*found, states.back());
    }
    // It goes on from there.
    WriteBatch batch;
    batch.put("more", "x");
    ASSERT_TRUE((*opened)->write(batch));
    (*opened)->start_flush();
    auto expected = *found;
    expected["more"] = "x";
    const auto again = open_memory_store(disk, "/d");
    ASSERT_TRUE(again);
    EXPECT_EQ(everything(**again), expected);
  }
}

TEST(MemoryStore, TheImageIsWrittenAnewWhenTheChangesOutweighIt) {
  TestDisk disk;
  for (int life = 0; life < 4; ++life) {
    auto store = open_memory_store(disk, "/d");
    ASSERT_TRUE(store);
    for (int flush = 0; flush < 40; ++flush) {
      WriteBatch batch;
      batch.put("key", std::string(1000, static_cast<char>('a' + flush % 26)));
      ASSERT_TRUE((*store)->write(batch));
      (*store)->start_flush();
      EXPECT_EQ(*(*store)->durable_value("key"), *(*store)->get("key"));
    }
    EXPECT_LE(disk.list("/d")->size(), 2U) << "an image and its changes, nothing older";
  }
}

TEST(MemoryStore, AFailedFlushFailsTheNextWrite) {
  TestDisk disk;
  auto store = open_memory_store(disk, "/d");
  ASSERT_TRUE(store);
  WriteBatch batch;
  batch.put("key", "value");
  ASSERT_TRUE((*store)->write(batch));
  disk.sync_fails = true;
  (*store)->start_flush();
  EXPECT_EQ(*(*store)->durable_value("key"), std::nullopt);
  disk.sync_fails = false;
  (*store)->start_flush();  // never tried again
  EXPECT_EQ(*(*store)->durable_value("key"), std::nullopt);
  EXPECT_FALSE((*store)->write(batch));
}

TEST(RocksdbStore, ADamagedDirectoryIsRefused) {
  RocksdbKind kind;
  ASSERT_TRUE(kind.open("store"));
  std::ofstream(kind.path("store") + "/CURRENT") << "nonsense";
  const auto opened = kind.open("store");
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().text.find("could not open"), std::string::npos);
}

// D04 for the store: a bit of every byte of a table, and the scrub says so or it changes nothing.
TEST(RocksdbStore, TheScrubNoticesAFlippedBitOfATable) {
  RocksdbKind kind;
  auto store = *kind.open("store");
  Rng rng(4);
  WriteBatch batch;
  for (int row = 0; row < 600; ++row) {
    std::string value(100, '\0');
    for (char& byte : value) byte = static_cast<char>(rng.below(256));
    batch.put("key" + std::to_string(row), value);
  }
  batch.put("last", "one");
  ASSERT_TRUE(store->write(batch));
  store->start_flush();
  while (*store->durable_value("last") != "one") {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const auto noticed = [&] {
    std::string place;
    do {
      if (!store->verify_next(place)) return true;
    } while (!place.empty());
    return false;
  };
  ASSERT_FALSE(noticed());
  std::filesystem::path table;
  for (const auto& file : std::filesystem::directory_iterator(kind.path("store"))) {
    if (file.path().extension() == ".sst") table = file.path();
  }
  std::fstream bytes(table, std::ios::binary | std::ios::in | std::ios::out);
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(table));
  ASSERT_GT(size, 60'000);
  const auto flip = [&](std::streamoff place) {
    bytes.seekg(place);
    const auto byte = static_cast<char>(bytes.get() ^ (1 << place % 8));
    bytes.seekp(place);
    bytes.put(byte).flush();
  };
  // The footer is padded to a fixed size; of its padding nothing depends.
  constexpr std::streamoff kFooterBytes = 53;
  bool missed = false;
  for (std::streamoff place = 0; place < size; ++place) {
    flip(place);
    if (!noticed() && place < size - kFooterBytes) missed = true;
    flip(place);
  }
  ASSERT_FALSE(noticed());
  EXPECT_FALSE(missed);
}

}  // namespace
}  // namespace quorate::storage
