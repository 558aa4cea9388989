#include "storage/mvcc/key_index.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "base/rng.h"
#include "storage/mvcc/record.h"
#include "storage/mvcc/revision.h"

namespace quorate::storage::mvcc {
namespace {

class KeyIndexTest : public ::testing::Test {
 protected:
  void add(const std::string& key, const std::string& value, bool tombstone = false) {
    Record record;
    record.key = key;
    record.value = value;
    std::string encoded;
    encode_record(record, encoded);
    const Version version{{++revision_, 0}, tombstone};
    auto place = index_.locate(key);
    const size_t offset = key.size() < 128 ? 2 : 3;  // behind the tag and the size
    const std::string_view inside = std::string_view(encoded).substr(offset, key.size());
    index_.add(place, {version, inside, encoded, true});
    model_[key] = {value, version};
  }
  void compare() {
    index_.check_invariants();
    auto expected = model_.begin();
    for (auto cursor = index_.lower_bound({}); cursor.valid(); cursor.next(), ++expected) {
      ASSERT_NE(expected, model_.end());
      ASSERT_EQ(cursor.item().key(), expected->first);
      ASSERT_EQ(decode_record(cursor.item().record())->value, expected->second.first);
      ASSERT_EQ(cursor.item().newest().revision, expected->second.second.revision);
    }
    ASSERT_EQ(expected, model_.end());
    ASSERT_EQ(index_.size(), model_.size());
  }

  KeyIndex index_;
  int64_t revision_ = 1;
  std::map<std::string, std::pair<std::string, Version>> model_;
};

TEST_F(KeyIndexTest, EmptyFindsNothing) {
  EXPECT_EQ(index_.find("a"), nullptr);
  EXPECT_FALSE(index_.lower_bound("").valid());
  index_.check_invariants();
}

TEST_F(KeyIndexTest, GrowsInOrderAndShrinksToNothing) {
  for (int i = 100'000; i < 120'000; ++i) add("k" + std::to_string(i), "v");
  compare();
  for (int i = 100'000; i < 120'000; ++i) index_.erase("k" + std::to_string(i));
  model_.clear();
  compare();
  add("again", "v");
  compare();
}

TEST_F(KeyIndexTest, GrowsInReverse) {
  for (int i = 20'000; i > 0; --i) add("k" + std::to_string(100'000 + i), "v");
  compare();
}

TEST_F(KeyIndexTest, AgreesWithAMap) {
  Rng rng(3);
  for (int round = 0; round < 30; ++round) {
    const bool shrink = round % 5 == 4;
    for (int i = 0; i < 3000; ++i) {
      const std::string key = "key" + std::to_string(rng.below(8000));
      const auto found = model_.find(key);
      if (found != model_.end() && rng.below(10) < (shrink ? 9U : 2U)) {
        index_.erase(key);
        model_.erase(found);
      } else if (!shrink || found != model_.end()) {
        add(key, std::string(rng.below(60), 'v'), rng.below(9) == 0);
      }
    }
    compare();
    for (int i = 0; i < 200; ++i) {
      const std::string key = "key" + std::to_string(rng.below(9000));
      const auto expected = model_.lower_bound(key);
      const auto cursor = index_.lower_bound(key);
      ASSERT_EQ(cursor.valid(), expected != model_.end());
      if (cursor.valid()) {
        ASSERT_EQ(cursor.item().key(), expected->first);
      }
      ASSERT_EQ(index_.find(key) != nullptr, model_.contains(key));
    }
  }
}

// Whatever is expected, in time or not, and however much keys have in common.
TEST_F(KeyIndexTest, ExpectingChangesNothing) {
  Rng rng(5);
  const std::string beginnings[] = {"", std::string(20, 'b'), std::string(60, 'b')};
  const auto random_key = [&] {
    return beginnings[rng.below(3)] + std::to_string(rng.below(3000));
  };
  index_.expect("nothing is there yet");
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 1500; ++i) {
      const std::string key = random_key();
      index_.expect(rng.below(2) == 0 ? key : random_key());
      if (model_.contains(key) && rng.below(10) < (round % 4 == 3 ? 9U : 3U)) {
        index_.erase(key);
        model_.erase(key);
      } else {
        add(key, std::string(rng.below(60), 'v'), rng.below(9) == 0);
      }
    }
    compare();
  }
}

// As the applier and the front do it: each key is expected a few calls before its turn, while
// others come and go, so that places move, leaves split and leaves vanish in between.
TEST_F(KeyIndexTest, ExpectedKeysAreFoundWhereTheyAre) {
  Rng rng(7);
  const std::string beginnings[] = {"", "same-head-in-a-leaf-", std::string(140, 'b')};
  const auto random_key = [&] {
    return beginnings[rng.below(3)] + std::to_string(10'000 + rng.below(6000));
  };
  std::deque<std::string> coming;
  for (int i = 0; i < 3000; ++i) add(random_key(), "v");
  for (int i = 0; i < 60'000; ++i) {
    while (coming.size() < KeyIndex::kExpectedMax) {
      coming.push_back(rng.below(20) == 0 && !coming.empty() ? coming.back() : random_key());
      if (rng.below(50) == 0) continue;  // one that nobody told of
      index_.expect(coming.back());
      index_.expect_find(coming.back());
    }
    const std::string key = coming.front();
    coming.pop_front();
    if (rng.below(50) == 0) continue;  // one that does not come
    const Item* item = index_.find(key);
    const auto found = model_.find(key);
    ASSERT_EQ(item != nullptr, found != model_.end());
    if (item != nullptr) {
      ASSERT_EQ(item->key(), key);
      ASSERT_EQ(decode_record(item->record())->value, found->second.first);
    }
    if (found != model_.end() && rng.below(10) < (i / 10'000 % 2 == 0 ? 3U : 7U)) {
      index_.erase(key);
      model_.erase(found);
    } else {
      add(key, std::string(rng.below(60), 'v'), rng.below(9) == 0);
    }
    if (i % 5000 == 0) compare();
  }
  compare();
}

// The totals in the nodes against a look at every key.
TEST_F(KeyIndexTest, CountsAsALookAtEachKeyWould) {
  Rng rng(11);
  const auto random_key = [&rng] { return "key" + std::to_string(rng.below(30'000)); };
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 2000; ++i) {
      const std::string key = random_key();
      if (rng.below(6) == 0 && model_.contains(key)) {
        index_.erase(key);
        model_.erase(key);
      } else {
        add(key, "v", rng.below(5) == 0);
      }
    }
    compare();
    const std::string first = random_key();
    const std::string end = random_key();
    const std::string_view end_view = end;
    const bool unbounded = rng.below(4) == 0;
    for (const int64_t back : {int64_t{0}, int64_t{1}, int64_t{50}, int64_t{5000}, revision_}) {
      const int64_t revision = revision_ - back;
      int64_t expected = 0;
      for (auto cursor = index_.lower_bound(first); cursor.valid(); cursor.next()) {
        if (!unbounded && cursor.item().key() >= end_view) break;
        const auto version = version_at(cursor.item(), revision);
        if (version && !version->tombstone) ++expected;
      }
      ASSERT_EQ(index_.count(first, unbounded ? nullptr : &end_view, revision), expected);
    }
  }
}

TEST_F(KeyIndexTest, OlderVersionsAreListedOldestFirst) {
  for (int i = 0; i < 5; ++i) add("a", std::string(static_cast<size_t>(i) * 40, 'x'));
  Item* item = index_.find("a");
  ASSERT_NE(item->older(), nullptr);
  ASSERT_EQ(item->older()->size(), 4U);
  EXPECT_EQ(item->older()->front().revision.main, 2);
  EXPECT_EQ(item->newest().revision.main, 6);
  item->older()->clear();
  KeyIndex::forget_older(*item);
  compare();
}

TEST(RowKey, HasEtcdsForm) {
  std::string bytes;
  append_row_key({{0x0102, 3}, false}, bytes);
  EXPECT_EQ(bytes, std::string("\0\0\0\0\0\0\x01\x02_\0\0\0\0\0\0\0\x03", 17));
  append_row_key({{7, 0}, true}, bytes);
  EXPECT_EQ(bytes.size(), 35U);
  EXPECT_EQ(decode_row_key(std::string_view(bytes).substr(17)), (RowKey{{7, 0}, true}));
  EXPECT_EQ(decode_row_key(std::string_view(bytes).substr(0, 16)), std::nullopt);
  EXPECT_EQ(decode_row_key(std::string_view(bytes).substr(1, 17)), std::nullopt);
  EXPECT_EQ(decode_row_key(""), std::nullopt);
}

}  // namespace
}  // namespace quorate::storage::mvcc
