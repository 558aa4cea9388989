#include "storage/mvcc/store.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/crc32c.h"
#include "base/rng.h"
#include "storage/kv/test_disk.h"
#include "storage/mvcc/naive_store.h"

namespace quorate::storage::mvcc {
namespace {

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { open(); }
  void open() {
    store_.reset();
    rows_.reset();
    rows_ = std::move(*open_memory_store(disk_, "/store"));
    auto opened = Store::open(*rows_, inline_bytes_max_);
    ASSERT_TRUE(opened) << opened.error().text;
    store_ = std::move(*opened);
    store_->check_invariants();
  }
  void commit() {
    ASSERT_TRUE(rows_->write(store_->batch()));
    store_->batch_written();
  }
  void reopen() {  // everything written survives
    commit();
    rows_->start_flush();
    open();
  }
  int64_t put(std::string_view key, std::string_view value) {
    store_->put(key, value, 0);
    store_->finish_transaction();
    return store_->current();
  }
  int64_t remove(std::string_view key, std::string_view end = {}) {
    store_->remove(make_range(key, end));
    store_->finish_transaction();
    return store_->current();
  }
  std::string list(int64_t revision = 0) const {
    std::string text;
    Store::Query query;
    query.revision = revision;
    store_->range(make_range(std::string_view("\0", 1), std::string_view("\0", 1)), query,
                  [&](std::string_view record) {
                    const NaiveRecord pair = to_naive(record);
                    text += pair.key + "=" + pair.value + " ";
                  });
    return text;
  }
  size_t row_count() const {
    size_t count = 0;
    EXPECT_TRUE(rows_->scan("k", "l", [&](std::string_view, std::string_view) {
      ++count;
      return true;
    }));
    return count;
  }
  uint64_t bytes_in_rows() const {
    uint64_t bytes = 0;
    EXPECT_TRUE(rows_->scan("k", "l", [&](std::string_view key, std::string_view value) {
      bytes += key.size() + value.size();
      return true;
    }));
    return bytes;
  }
  void finish_compaction() {
    while (store_->compacting()) {
      store_->compact_step(3);
      commit();
    }
  }

  TestDisk disk_;
  uint64_t inline_bytes_max_ = kInlineBytesMax;
  std::unique_ptr<KvStore> rows_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, RevisionsBeginAsEtcdsDo) {
  EXPECT_EQ(store_->current(), 1);
  EXPECT_EQ(put("a", "1"), 2);
  EXPECT_EQ(remove("nothing"), 2);
  EXPECT_EQ(remove("a"), 3);
  EXPECT_EQ(put("a", "2"), 4);
  std::string scratch;
  const auto record = decode_record(*store_->get("a", scratch));
  EXPECT_EQ(record->version, 1);  // a new life
  EXPECT_EQ(record->create_revision, 4);
  EXPECT_EQ(list(2), "a=1 ");
  EXPECT_EQ(list(3), "");
}

TEST_F(StoreTest, OneTransactionHasOneRevisionAndReadsItself) {
  store_->put("a", "1", 0);
  EXPECT_EQ(store_->current(), 1);
  EXPECT_EQ(store_->view(), 2);
  store_->put("b", "2", 0);
  EXPECT_EQ(list(), "a=1 b=2 ");
  EXPECT_EQ(store_->remove(make_range("a", "z")), 2);
  EXPECT_EQ(list(), "");
  store_->put("a", "3", 0);
  store_->finish_transaction();
  EXPECT_EQ(store_->current(), 2);
  reopen();
  EXPECT_EQ(store_->current(), 2);
  EXPECT_EQ(list(), "a=3 ");
}

TEST_F(StoreTest, RowsAreEtcdsBytes) {
  put("foo", "bar");
  remove("foo");
  commit();
  std::vector<std::pair<std::string, std::string>> rows;
  EXPECT_TRUE(rows_->scan("k", "l", [&](std::string_view key, std::string_view value) {
    rows.emplace_back(key, value);
    return true;
  }));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].first, std::string("k\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", 18));
  EXPECT_EQ(rows[0].second, std::string("\x0a\x03"
                                        "foo\x10\x02\x18\x02\x20\x01\x2a\x03"
                                        "bar"));
  EXPECT_EQ(rows[1].first, std::string("k\0\0\0\0\0\0\0\x03_\0\0\0\0\0\0\0\0t", 19));
  EXPECT_EQ(rows[1].second, std::string("\x0a\x03"
                                        "foo"));
  uint32_t crc = crc32c("key");
  for (const auto& [key, value] : rows) crc = crc32c(value, crc32c(key.substr(1), crc));
  EXPECT_EQ(store_->hash(), crc);
}

TEST_F(StoreTest, CompactionRefusesWhatEtcdRefuses) {
  put("a", "1");
  put("a", "2");
  EXPECT_EQ(store_->compact(4), Readable::future);
  EXPECT_EQ(store_->compact(-1), Readable::compacted);
  EXPECT_EQ(store_->compact(2), Readable::yes);
  EXPECT_EQ(store_->compact(2), Readable::compacted);
  EXPECT_EQ(store_->readable(1), Readable::compacted);
  EXPECT_EQ(store_->readable(2), Readable::yes);
  EXPECT_EQ(store_->readable(0), Readable::yes);
  EXPECT_EQ(store_->readable(4), Readable::future);
  EXPECT_EQ(store_->compact(3), Readable::yes);  // the current one may be compacted
  EXPECT_EQ(list(3), "a=2 ");
}

TEST_F(StoreTest, CompactionKeepsTheNewestVersionAndADeletionAtItsRevision) {
  put("a", "1");  // 2
  put("a", "2");  // 3
  put("b", "1");  // 4
  remove("b");    // 5
  put("c", "1");  // 6
  remove("c");    // 7
  put("a", "3");  // 8
  commit();
  EXPECT_EQ(row_count(), 7U);
  const std::string at7 = list(7);
  ASSERT_EQ(store_->compact(7), Readable::yes);
  finish_compaction();
  EXPECT_EQ(list(7), at7);
  EXPECT_EQ(list(), "a=3 ");
  EXPECT_EQ(row_count(), 3U);  // a at 3 and 8, and the deletion of c
  reopen();
  EXPECT_EQ(list(7), at7);
  ASSERT_EQ(store_->compact(8), Readable::yes);
  finish_compaction();
  EXPECT_EQ(row_count(), 1U);
  EXPECT_EQ(list(8), "a=3 ");
  store_->check_invariants();
}

TEST_F(StoreTest, TheRevisionSurvivesACompactionOfTheNewestRows) {  // etcd #17780
  put("a", "1");
  const int64_t last = remove("a");
  put("b", "1");
  remove("b");
  ASSERT_EQ(store_->compact(last + 2), Readable::yes);
  finish_compaction();
  ASSERT_EQ(put("c", "1"), last + 3);
  remove("c");
  ASSERT_EQ(store_->compact(last + 4), Readable::yes);
  finish_compaction();
  const int64_t now = store_->current();
  rows_->start_flush();
  open();
  EXPECT_EQ(store_->current(), now);
  EXPECT_EQ(store_->compacted(), now);
  EXPECT_EQ(put("d", "1"), now + 1);
}

TEST_F(StoreTest, ACompactionCutShortByACrashGoesOn) {
  for (int i = 0; i < 50; ++i) {
    put("k" + std::to_string(i), "1");
    put("k" + std::to_string(i), "2");
  }
  commit();
  const uint32_t before = store_->hash();
  ASSERT_EQ(store_->compact(store_->current()), Readable::yes);
  const uint32_t hash = store_->hash();
  EXPECT_NE(hash, before);
  for (int steps = 0; steps < 4; ++steps) {
    store_->compact_step(10);
    EXPECT_EQ(store_->hash(), hash);
    reopen();
    EXPECT_TRUE(store_->compacting());
    EXPECT_EQ(store_->hash(), hash);
    EXPECT_EQ(store_->readable(50), Readable::compacted);
  }
  finish_compaction();
  EXPECT_EQ(store_->hash(), hash);
  EXPECT_EQ(row_count(), 50U);
  reopen();
  EXPECT_FALSE(store_->compacting());
}

TEST_F(StoreTest, LargeValuesAndThoseOverTheBudgetComeFromTheRows) {
  inline_bytes_max_ = 200;
  open();
  const std::string big(kInlineValueMax + 1, 'b');
  put("big", big);
  for (int i = 0; i < 10; ++i) put("k" + std::to_string(i), std::string(50, 'x'));
  EXPECT_LT(store_->inline_bytes(), 1000U);
  std::string scratch;
  EXPECT_EQ(decode_record(*store_->get("big", scratch))->value, big);  // from the batch
  const std::string all = list();
  commit();
  EXPECT_EQ(list(), all);
  EXPECT_EQ(decode_record(*store_->get("big", scratch))->value, big);  // from the rows
  EXPECT_EQ(decode_record(*store_->get("big", scratch))->version, 1);
  put("big", "small");
  EXPECT_EQ(decode_record(*store_->get("big", scratch))->version, 2);
  reopen();
  EXPECT_EQ(decode_record(*store_->get("big", scratch))->value, "small");
}

TEST_F(StoreTest, DamagedRowsAreRefusedWhenOpened) {
  put("a", "1");
  commit();
  const auto refused = [&](std::string_view key, std::string_view value) {
    TestDisk disk;
    auto copy = std::move(*open_memory_store(disk, "/copy"));
    WriteBatch batch;
    EXPECT_TRUE(rows_->scan("", "", [&](std::string_view k, std::string_view v) {
      batch.put(k, v);
      return true;
    }));
    batch.put(key, value);
    EXPECT_TRUE(copy->write(batch));
    const auto opened = Store::open(*copy);
    return !opened && !opened.error().text.empty();
  };
  EXPECT_FALSE(refused("x", "of another table"));
  EXPECT_TRUE(refused("kshort", ""));
  EXPECT_TRUE(refused(std::string("k\0\0\0\0\0\0\0\x02_\0\0\0\0\0\0\0\0", 18), "\x0a\x09z"));
  EXPECT_TRUE(refused(std::string("k\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0", 18), "\x0a\x01z"));
  EXPECT_TRUE(refused("mrevisions", "?"));
  EXPECT_TRUE(refused("mrevisions", std::string("\x02", 1)));
}

// Random histories against the naive store, with crashes and small memory budgets.
void differential(uint64_t seed, uint64_t inline_bytes_max) {
  Rng rng(seed);
  TestDisk disk;
  std::unique_ptr<KvStore> rows = std::move(*open_memory_store(disk, "/store"));
  std::unique_ptr<Store> store = std::move(*Store::open(*rows, inline_bytes_max));
  NaiveStore naive;
  const auto random_key = [&] { return "k" + std::to_string(rng.below(30)); };
  const auto random_range = [&](std::string& first, std::string& end) {
    first = random_key();
    end = rng.below(3) == 0 ? "" : (rng.below(3) == 0 ? std::string("\0", 1) : random_key());
    return make_range(first, end);
  };
  for (int step = 0; step < 1500; ++step) {
    std::string first;
    std::string end;
    for (uint64_t n = 1 + rng.below(4); n > 0; --n) {
      if (rng.below(4) == 0) {
        const KeyRange range = random_range(first, end);
        if (rng.below(3) != 0 && !range.single) continue;  // wide deletions are rare
        ASSERT_EQ(store->remove(range), naive.remove(range));
      } else {
        const std::string key = random_key();
        const std::string value(rng.below(40), 'v');
        const auto lease = static_cast<int64_t>(rng.below(3));
        store->put(key, value, lease);
        naive.put(key, value, lease);
      }
      ASSERT_EQ(store->view(), naive.view());
    }
    store->finish_transaction();
    naive.finish_transaction();
    if (rng.below(20) == 0) {
      const auto revision =
          static_cast<int64_t>(rng.below(static_cast<uint64_t>(naive.current) + 2));
      ASSERT_EQ(store->compact(revision), naive.compact(revision));
    }
    if (rng.below(3) == 0) store->compact_step(rng.below(20));
    if (rng.below(4) == 0) {
      ASSERT_TRUE(rows->write(store->batch()));
      store->batch_written();
      if (rng.below(8) == 0) {
        const uint32_t hash = store->hash();
        rows->start_flush();
        store.reset();
        rows = std::move(*open_memory_store(disk, "/store"));
        store = std::move(*Store::open(*rows, inline_bytes_max));
        ASSERT_EQ(store->hash(), hash);
      }
    }
    const KeyRange range = random_range(first, end);
    const auto oldest = static_cast<uint64_t>(std::max<int64_t>(naive.compacted, 1));
    Store::Query query;
    query.revision =
        rng.below(2) == 0
            ? 0
            : static_cast<int64_t>(rng.between(oldest, static_cast<uint64_t>(naive.current)));
    const std::vector<NaiveRecord> expected = naive.range(range, query.revision);
    query.visits_max = rng.below(2) == 0 ? UINT64_MAX : rng.below(5);
    std::vector<NaiveRecord> got;
    const int64_t count = store->range(
        range, query, [&](std::string_view record) { got.push_back(to_naive(record)); });
    ASSERT_EQ(count, static_cast<int64_t>(expected.size()));
    ASSERT_EQ(got.size(), std::min<uint64_t>(query.visits_max, expected.size()));
    for (size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], expected[i]);
    ASSERT_EQ(store->current(), naive.current);
    if (step % 50 == 0) store->check_invariants();
  }
}

TEST_F(StoreTest, CountsTheBytesOfItsRows) {
  inline_bytes_max_ = 100;  // most values are not held in memory
  open();
  const auto compare = [this] {
    commit();
    store_->check_invariants();
    EXPECT_EQ(store_->row_bytes(), bytes_in_rows());
  };
  for (int round = 0; round < 30; ++round) {
    put("k" + std::to_string(round % 7), std::string(static_cast<size_t>(round * 37), 'v'));
    if (round % 5 == 4) remove("k" + std::to_string(round % 7));
    compare();
  }
  const uint64_t before = store_->row_bytes();
  EXPECT_GT(before, 15'000U);
  const Totals totals = store_->totals();
  EXPECT_EQ(totals.puts, 30U);
  EXPECT_EQ(totals.removals, 6U);
  ASSERT_EQ(store_->compact(store_->current()), Readable::yes);
  finish_compaction();
  compare();
  EXPECT_LT(store_->row_bytes(), before / 2);
  EXPECT_EQ(store_->totals().rows_compacted, 36 - row_count());
  const uint64_t after = store_->row_bytes();
  reopen();
  EXPECT_EQ(store_->row_bytes(), after);
  remove("k", "l");
  ASSERT_EQ(store_->compact(store_->current()), Readable::yes);
  finish_compaction();
  put("k", "");
  ASSERT_EQ(store_->compact(store_->current()), Readable::yes);
  finish_compaction();
  compare();
}

TEST(StoreDifferential, AgreesWithTheNaiveStore) {
  for (uint64_t seed = 1; seed <= 6; ++seed) differential(seed, kInlineBytesMax);
}
TEST(StoreDifferential, AgreesWithoutRoomForValues) {
  for (uint64_t seed = 11; seed <= 14; ++seed) differential(seed, 300);
}

// Changes in memory, in rows and in the open batch are one sequence, whatever lies where.
TEST_F(StoreTest, ChangesSinceAnyRevisionAreThoseOfTheNaiveStore) {
  Rng rng(5);
  NaiveStore naive;
  const std::string filler(3000, 'x');
  for (int round = 0; round < 4000; ++round) {
    const std::string key(1, static_cast<char>('a' + rng.below(6)));
    if (rng.below(4) == 0) {
      const std::string end = key + "z";
      store_->remove(make_range(key, end));
      naive.remove(make_range(key, end));
    } else {
      const std::string value = filler + std::to_string(round);
      store_->put(key, value, 0);
      naive.put(key, value, 0);
    }
    if (rng.below(3) != 0) {
      store_->finish_transaction();
      naive.finish_transaction();
    } else {
      continue;
    }
    if (rng.below(20) == 0) commit();
    if (rng.below(500) == 0) reopen();
    if (rng.below(10) != 0) continue;
    const auto back = static_cast<int64_t>(rng.below(rng.below(4) == 0 ? 3000 : 30));
    const int64_t first = std::max<int64_t>(1, naive.current - back);
    ASSERT_LE(store_->changes_complete_from(), first);
    auto wanted = std::ranges::find_if(
        naive.versions, [&](const NaiveRecord& version) { return version.mod_revision >= first; });
    store_->changes(first, [&](const Change& change) {
      EXPECT_NE(wanted, naive.versions.end());
      EXPECT_EQ(change.key, wanted->key);
      EXPECT_EQ(change.revision.main, wanted->mod_revision);
      EXPECT_EQ(change.tombstone, wanted->tombstone);
      EXPECT_EQ(to_naive(change.record).value, wanted->value);
      ++wanted;
      return !HasFailure();
    });
    ASSERT_EQ(wanted, naive.versions.end());
    const std::vector<NaiveRecord> before = naive.range(make_range(key, {}), first);
    std::string scratch;
    const auto record = store_->record_at(key, first, scratch);
    ASSERT_EQ(record.has_value(), !before.empty());
    if (record) {
      ASSERT_EQ(to_naive(*record), before[0]);
    }
  }
}

TEST_F(StoreTest, ChangesAreCompleteFromWhatIsCompactedOrStillInMemory) {
  for (int i = 0; i < 10; ++i) put("a", "v");  // 2 to 11
  store_->compact(9);
  commit();
  finish_compaction();
  EXPECT_EQ(store_->changes_complete_from(), 2);
  int count = 0;
  store_->changes(2, [&](const Change&) { return ++count > 0; });
  EXPECT_EQ(count, 10);
  reopen();
  EXPECT_EQ(store_->changes_complete_from(), 9);
  count = 0;
  store_->changes(9, [&](const Change&) { return ++count < 2; });
  EXPECT_EQ(count, 2);  // the visitor had enough
}

}  // namespace
}  // namespace quorate::storage::mvcc
