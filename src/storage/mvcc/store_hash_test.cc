// The hash of a revision against one made from a list of everything ever written.
#include <gtest/gtest.h>

#include <set>

#include "base/crc32c.h"
#include "base/rng.h"
#include "storage/kv/test_disk.h"
#include "storage/mvcc/naive_store.h"
#include "storage/mvcc/store.h"

namespace quorate::storage::mvcc {
namespace {

const KeyRange kEverything = make_range(std::string_view("\0", 1), std::string_view("\0", 1));

std::set<std::pair<std::string, int64_t>> seen_at(const NaiveStore& naive, int64_t revision) {
  std::set<std::pair<std::string, int64_t>> result;
  if (revision < 1) return result;
  for (const NaiveRecord& record : naive.range(kEverything, revision)) {
    result.emplace(record.key, record.mod_revision);
  }
  return result;
}

uint32_t naive_hash(const NaiveStore& naive, int64_t revision) {
  auto kept = seen_at(naive, revision);
  if (kept.empty()) kept = seen_at(naive, naive.compacted);
  uint32_t crc = crc32c("key");
  RowKey row;
  for (const NaiveRecord& version : naive.versions) {
    const bool same = version.mod_revision == row.revision.main;
    row = {{version.mod_revision, same ? row.revision.sub + 1 : 0}, version.tombstone};
    if (version.mod_revision > revision) break;
    const bool old = version.mod_revision <= naive.compacted;
    if (old && (version.tombstone || !kept.contains({version.key, version.mod_revision}))) continue;
    std::string bytes;
    append_row_key(row, bytes);
    encode_record(
        {version.key, version.create_revision, version.tombstone ? 0 : version.mod_revision,
         version.version, version.value, version.lease},
        bytes);
    crc = crc32c(bytes, crc);
  }
  return crc;
}

Readable finish(const Store& store, HashWalk& walk, uint64_t work_max) {
  Readable readable = Readable::yes;
  while (readable == Readable::yes && !walk.finished) readable = store.hash_step(walk, work_max);
  return readable;
}

class HashDifferential {
 public:
  explicit HashDifferential(uint64_t seed) : rng_(seed) {
    rows_ = std::move(*open_memory_store(disk_, "/store"));
    store_ = std::move(*Store::open(*rows_, 200));
  }
  void run() {
    for (int step = 0; step < 600; ++step) {
      change();
      if (::testing::Test::HasFatalFailure()) return;
      compare();
    }
  }

 private:
  std::string random_key() { return {static_cast<char>('a' + rng_.below(6))}; }

  void change() {
    std::set<std::string> touched;
    for (uint64_t n = 1 + rng_.below(3); n > 0; --n) {
      const std::string key = random_key();
      if (!touched.insert(key).second) continue;
      if (rng_.below(2) == 0) {
        ASSERT_EQ(store_->remove(make_range(key, {})), naive_.remove(make_range(key, {})));
      } else {
        const std::string value(rng_.below(60), 'v');
        store_->put(key, value, 0);
        naive_.put(key, value, 0);
      }
    }
    store_->finish_transaction();
    naive_.finish_transaction();
    if (rng_.below(12) == 0) {
      const auto revision = static_cast<int64_t>(
          rng_.between(static_cast<uint64_t>(std::max<int64_t>(naive_.current - 6, 1)),
                       static_cast<uint64_t>(naive_.current)));
      ASSERT_EQ(store_->compact(revision), naive_.compact(revision));
    }
    if (rng_.below(3) == 0) store_->compact_step(rng_.below(5));
    if (rng_.below(3) == 0) {
      ASSERT_TRUE(rows_->write(store_->batch()));
      store_->batch_written();
    }
    if (rng_.below(10) == 0) began_before_ = HashWalk();  // else it goes on over later changes
  }

  void compare() {
    HashWalk walk;
    walk.wanted = rng_.below(3) == 0 ? 0 : static_cast<int64_t>(rng_.between(1, 2 + store_now()));
    const Readable readable = finish(*store_, walk, 1 + rng_.below(2000));
    if (walk.wanted > naive_.current) {
      ASSERT_EQ(readable, Readable::future);
    } else if (walk.wanted > 0 && walk.wanted < naive_.compacted) {
      ASSERT_EQ(readable, Readable::compacted);
    } else {
      ASSERT_EQ(readable, Readable::yes);
      ASSERT_EQ(walk.revision, walk.wanted == 0 ? naive_.current : walk.wanted);
      ASSERT_EQ(walk.compacted, naive_.compacted);
      ASSERT_EQ(walk.crc, naive_hash(naive_, walk.revision)) << walk.revision;
    }
    // One step for each change of the store.
    ASSERT_EQ(store_->hash_step(began_before_, 300), Readable::yes);
    if (!began_before_.finished) return;
    ASSERT_EQ(began_before_.crc, naive_hash(naive_, began_before_.revision));
    began_before_ = HashWalk();
  }
  uint64_t store_now() const { return static_cast<uint64_t>(naive_.current); }

  Rng rng_;
  TestDisk disk_;
  std::unique_ptr<KvStore> rows_;
  std::unique_ptr<Store> store_;
  NaiveStore naive_;
  HashWalk began_before_;
};

TEST(StoreHash, AgreesWithTheListOfAllVersions) {
  for (uint64_t seed = 1; seed <= 8; ++seed) HashDifferential(seed).run();
}

TEST(StoreHash, AnEmptyStoreHashesItsTableName) {
  TestDisk disk;
  const auto rows = std::move(*open_memory_store(disk, "/store"));
  const auto store = std::move(*Store::open(*rows));
  HashWalk walk;
  EXPECT_EQ(finish(*store, walk, 1), Readable::yes);
  EXPECT_EQ(walk.crc, crc32c("key"));
  EXPECT_EQ(walk.revision, 1);
  EXPECT_EQ(walk.compacted, -1);
}

}  // namespace
}  // namespace quorate::storage::mvcc
