#include "base/index_ranges.h"

#include <gtest/gtest.h>

#include <set>

#include "base/rng.h"

namespace quorate {
namespace {

// Against the plainest set there is.
TEST(IndexRanges, BehavesLikeASetOfNumbers) {
  Rng rng(5);
  for (int round = 0; round < 200; ++round) {
    IndexRanges ranges;
    std::set<uint64_t> plain;
    for (int step = 0; step < 30; ++step) {
      const uint64_t first = 1 + rng.below(30);
      const uint64_t last = first + rng.below(6);
      switch (rng.below(5)) {
        case 0:
          ranges.remove({Index{first}, Index{last}});
          plain.erase(plain.lower_bound(first), plain.upper_bound(last));
          break;
        case 1:
          if (rng.below(4) == 0) {
            ranges.truncate_from(Index{first});
            plain.erase(plain.lower_bound(first), plain.end());
          }
          break;
        case 2:
          if (rng.below(4) == 0) {
            ranges.drop_through(Index{first});
            plain.erase(plain.begin(), plain.upper_bound(first));
          }
          break;
        default:
          ranges.add({Index{first}, Index{last}});
          for (uint64_t number = first; number <= last; ++number) plain.insert(number);
      }
      ASSERT_EQ(ranges.count(), plain.size());
      ASSERT_EQ(ranges.empty(), plain.empty());
      for (uint64_t number = 1; number <= 40; ++number) {
        ASSERT_EQ(ranges.contains(Index{number}), plain.contains(number));
        const auto behind = plain.upper_bound(number);
        ASSERT_EQ(ranges.first_behind(Index{number}).value, behind == plain.end() ? 0 : *behind);
      }
      for (size_t place = 1; place < ranges.list().size(); ++place) {
        ASSERT_GT(ranges.list()[place].first, ranges.list()[place - 1].last.next());
      }
    }
  }
}

}  // namespace
}  // namespace quorate
