// The index of watchers, judged by a search from one end to the other.
#include "front/etcd/watch_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/rng.h"
#include "front/etcd/watcher.h"

namespace quorate::front::etcd {
namespace {

std::string random_key(Rng& rng) {
  std::string key;
  for (uint64_t length = rng.between(1, 3); length > 0; --length) {
    key.push_back(static_cast<char>('a' + rng.below(4)));
  }
  return key;
}

WatchedRange random_range(Rng& rng) {
  WatchedRange range;
  range.first = random_key(rng);
  range.single = rng.below(3) == 0;
  range.unbounded = !range.single && rng.below(6) == 0;
  if (!range.single && !range.unbounded) {
    range.end = std::max(random_key(rng), range.first + '\0');
  }
  return range;
}

bool contains(const WatchedRange& range, const std::string& key) {
  if (range.single) return key == range.first;
  return key >= range.first && (range.unbounded || key < range.end);
}

TEST(WatchIndex, finds_what_a_search_through_all_finds) {
  Rng rng(7);
  WatchIndex index;
  std::vector<std::pair<WatchedRange, std::unique_ptr<Watcher>>> all;
  size_t found_total = 0;
  for (int round = 0; round < 6000; ++round) {
    if (all.empty() || rng.below(100) < (round % 2000 < 1000 ? 60U : 40U)) {
      all.emplace_back(random_range(rng), std::make_unique<Watcher>());
      index.add(all.back().first, *all.back().second);
    } else {
      const size_t at = rng.below(all.size());
      index.remove(*all[at].second);
      all.erase(all.begin() + static_cast<ptrdiff_t>(at));
    }
    const std::string key = random_key(rng);
    std::multiset<const Watcher*> wanted;
    for (const auto& [range, watcher] : all) {
      if (contains(range, key)) wanted.insert(watcher.get());
    }
    std::multiset<const Watcher*> found;
    index.find(key, [&](WatchGroup& group) {
      found.insert(group.watchers.begin(), group.watchers.end());
    });
    ASSERT_EQ(found, wanted) << key;
    found_total += found.size();
    if (round % 50 == 0) index.check_invariants();
  }
  EXPECT_GT(found_total, 1000U);
  while (!all.empty()) {
    index.remove(*all.back().second);
    all.pop_back();
  }
  EXPECT_TRUE(index.empty());
}

}  // namespace
}  // namespace quorate::front::etcd
