#include "node/sequence_table.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

namespace quorate::node {
namespace {

using Table = SequenceTable<std::unique_ptr<int>>;

std::vector<uint64_t> sequences(Table& table) {
  std::vector<uint64_t> found;
  table.for_each(
      [&](uint64_t sequence, const std::unique_ptr<int>&) { found.push_back(sequence); });
  return found;
}

TEST(SequenceTable, WhatStaysLongIsFoundAmongManyThatGo) {
  Table table;
  for (uint64_t sequence = 1; sequence < 100'000; ++sequence) {
    table.add(sequence, std::make_unique<int>(static_cast<int>(sequence)));
    if (sequence % 10'000 != 0) table.erase(sequence);
  }
  EXPECT_EQ(sequences(table), (std::vector<uint64_t>{10'000, 20'000, 30'000, 40'000, 50'000, 60'000,
                                                     70'000, 80'000, 90'000}));
  EXPECT_EQ(**table.find(30'000), 30'000);
  EXPECT_EQ(table.find(30'001), nullptr);
  EXPECT_EQ(table.find(100'000), nullptr);
}

TEST(SequenceTable, AllMayBeErasedWhileTheyAreVisited) {
  Table table;
  for (uint64_t sequence = 5; sequence < 500; sequence += 3) table.add(sequence, nullptr);
  table.for_each([&](uint64_t sequence, const std::unique_ptr<int>&) { table.erase(sequence); });
  EXPECT_TRUE(table.empty());
  table.add(1'000'000, nullptr);
  EXPECT_EQ(sequences(table), std::vector<uint64_t>{1'000'000});
}

TEST(SequenceTable, IsAMapByItsNumbers) {
  std::mt19937 random(3);  // NOLINT: the same in every run
  for (int round = 0; round < 20; ++round) {
    Table table;
    std::map<uint64_t, int> expected;
    uint64_t next = random() % 3;
    for (int step = 0; step < 3000; ++step) {
      // At times many come, at times most go; few are old.
      const bool comes = random() % 100 < (step / 500 % 2 == 0 ? 60U : 35U);
      if (comes || expected.empty()) {
        next += random() % 16 == 0 ? random() % 200 : 0;
        const auto value = static_cast<int>(random() % 1000);
        table.add(next, std::make_unique<int>(value));
        expected.emplace(next++, value);
      } else {
        auto goes = expected.begin();
        if (random() % 4 == 0) goes = expected.lower_bound(goes->first + random() % 500);
        if (goes == expected.end()) goes = std::prev(goes);
        table.erase(goes->first);
        expected.erase(goes);
      }
      const uint64_t asked = next - std::min<uint64_t>(next, random() % 700);
      const auto place = expected.find(asked);
      ASSERT_EQ(table.contains(asked), place != expected.end()) << asked;
      if (place != expected.end()) {
        ASSERT_EQ(**table.find(asked), place->second);
      }
      ASSERT_EQ(table.size(), expected.size());
    }
    std::map<uint64_t, int> all;
    uint64_t before = 0;
    table.for_each([&](uint64_t sequence, const std::unique_ptr<int>& value) {
      EXPECT_TRUE(all.empty() || before < sequence);
      all.emplace(before = sequence, *value);
    });
    EXPECT_EQ(all, expected);
  }
}

}  // namespace
}  // namespace quorate::node
