// Three members by four entries (D15): every way in which twelve copies can be whole or lost. Where
// each entry is whole on somebody's disk, 7^4 = 2401 ways, the cluster serves everything again;
// otherwise it serves nothing behind the entry that nobody has, and says so.
#include <gtest/gtest.h>

#include <algorithm>

#include "consensus/test_cluster.h"

namespace quorate::consensus::raft {
namespace {

using testing::TestCluster;
using testing::TestDisk;
using testing::TestNode;
using testing::TestOptions;

using Texts = std::vector<std::string>;

constexpr uint64_t kMembers = 3;
constexpr uint64_t kEntries = 4;
constexpr uint64_t kPatterns = 1U << (kMembers * kEntries);
constexpr uint64_t kRecoverable = 2401;
const Texts kAll{"a", "b", "c", "d"};

bool is_lost(uint64_t pattern, uint64_t id, uint64_t entry) {
  return (pattern >> ((id - 1) * kEntries + entry) & 1U) != 0;
}

// How many of the entries, from the first on, somebody still has.
uint64_t served(uint64_t pattern) {
  for (uint64_t entry = 0; entry < kEntries; ++entry) {
    bool whole = false;
    for (uint64_t id = 1; id <= kMembers; ++id) whole = whole || !is_lost(pattern, id, entry);
    if (!whole) return entry;
  }
  return kEntries;
}

// The disks after four commands, and where those stand.
struct Disks {
  std::vector<TestDisk> disks;
  Index first;
};

// `third`: whether the last member took part, or has none of the entries.
Disks filled(bool third) {
  TestCluster cluster;
  const uint64_t leader = cluster.elect();
  const uint64_t other = leader == kMembers ? 1 : kMembers;
  if (!third) cluster.isolate(other);
  for (const std::string& text : kAll) {
    cluster.propose(leader, text);
    cluster.settle();
  }
  Disks result;
  result.first = Index{cluster.status(leader).last.value - kEntries + 1};
  for (uint64_t id = 1; id <= kMembers; ++id) result.disks.push_back(cluster.node(id).disk);
  return result;
}

// All start with nothing but their damaged logs.
void restart_damaged(TestCluster& cluster, const Disks& disks, uint64_t pattern) {
  for (uint64_t id = 1; id <= kMembers; ++id) {
    cluster.crash(id);
    TestNode& node = cluster.node(id);
    node.disk = disks.disks[id - 1];
    node.applied.clear();
    for (uint64_t entry = 0; entry < kEntries; ++entry) {
      if (is_lost(pattern, id, entry)) cluster.rot(id, disks.first.value + entry);
    }
  }
  for (uint64_t id = 1; id <= kMembers; ++id) cluster.restart(id);
}

void expect_service(TestCluster& cluster) {
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "e");
  cluster.advance(2 * cluster.election_timeout());
  Texts all = kAll;
  all.push_back("e");
  for (uint64_t id = 1; id <= kMembers; ++id) {
    EXPECT_EQ(cluster.texts(id), all) << id;
    EXPECT_TRUE(cluster.node(id).disk.damaged.empty()) << id;
  }
}

void expect_refusal(TestCluster& cluster, uint64_t pattern) {
  cluster.advance(6 * cluster.election_timeout());
  const Texts left(kAll.begin(), kAll.begin() + static_cast<std::ptrdiff_t>(served(pattern)));
  for (uint64_t id = 1; id <= kMembers; ++id) {
    EXPECT_FALSE(cluster.status(id).established) << id;
    EXPECT_NE(cluster.status(id).damaged, 0U) << id;
    const Texts texts = cluster.texts(id);
    EXPECT_TRUE(texts.size() <= left.size() && std::equal(texts.begin(), texts.end(), left.begin()))
        << id << " serves what is not there";
  }
  const uint64_t leader = cluster.leader();
  if (leader == 0) return;
  cluster.propose(leader, "e");
  cluster.read(leader);
  cluster.advance(cluster.election_timeout());
  EXPECT_EQ(cluster.node(leader).refused.size(), 1U) << "surely not applied";
  EXPECT_TRUE(cluster.node(leader).reads.empty());
}

TEST(RaftLattice, EveryPatternRecoversOrRefusesAndNoneLies) {
  const Disks disks = filled(true);
  uint64_t recovered = 0;
  for (uint64_t pattern = 0; pattern < kPatterns; ++pattern) {
    SCOPED_TRACE("pattern " + std::to_string(pattern));
    TestOptions options;
    options.seed = pattern + 1;
    TestCluster cluster(options);
    restart_damaged(cluster, disks, pattern);
    if (served(pattern) == kEntries) {
      expect_service(cluster);
      ++recovered;
    } else {
      expect_refusal(cluster, pattern);
    }
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(recovered, kRecoverable);
}

// The same with a member that never had the entries: two by four, and 3^4 = 81 ways to recover.
// What both have lost is committed, so the third one's word that it does not hold it drops nothing.
TEST(RaftLattice, WithAMemberThatNeverHadThem) {
  const Disks disks = filled(false);
  std::vector<uint64_t> holders;
  for (uint64_t id = 1; id <= kMembers; ++id) {
    if (disks.disks[id - 1].entries.contains(disks.first)) holders.push_back(id);
  }
  ASSERT_EQ(holders.size(), 2U);
  uint64_t recovered = 0;
  for (uint64_t part = 0; part < 1U << (2 * kEntries); ++part) {
    SCOPED_TRACE("pattern " + std::to_string(part));
    constexpr uint64_t kRow = (1U << kEntries) - 1;
    const uint64_t first = part & kRow;
    const uint64_t second = part >> kEntries;
    TestOptions options;
    options.seed = part + 1;
    TestCluster cluster(options);
    restart_damaged(
        cluster, disks,
        first << ((holders[0] - 1) * kEntries) | second << ((holders[1] - 1) * kEntries));
    if ((first & second) == 0) {
      expect_service(cluster);
      ++recovered;
    } else {
      cluster.advance(6 * cluster.election_timeout());
      for (uint64_t id = 1; id <= kMembers; ++id) EXPECT_FALSE(cluster.status(id).established);
    }
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(recovered, 81U);
}

}  // namespace
}  // namespace quorate::consensus::raft
