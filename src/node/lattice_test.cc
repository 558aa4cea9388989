// Three members by four entries (D15), as bytes on disks: every way in which twelve copies can be
// whole or lost, each with three whole nodes started on the damaged logs. Where each entry is
// whole on somebody's disk, 7^4 = 2401 ways, everything is served again; otherwise nothing is
// served and nothing false is ever shown.
#include <gtest/gtest.h>

#include <algorithm>

#include "node/test_cluster.h"
#include "storage/kv/test_disk.h"

namespace quorate::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using storage::TestDisk;
using testing::TestCluster;
using Answer = TestCluster::Answer;

constexpr uint64_t kMembers = 3;
constexpr uint64_t kEntries = 4;
constexpr uint64_t kPatterns = 1U << (kMembers * kEntries);
constexpr uint64_t kRecoverable = 2401;
constexpr uint64_t kSegmentBytes = uint64_t{64} << 10U;

bool is_lost(uint64_t pattern, uint64_t id, uint64_t entry) {
  return (pattern >> ((id - 1) * kEntries + entry) & 1U) != 0;
}

bool recoverable(uint64_t pattern) {
  for (uint64_t entry = 0; entry < kEntries; ++entry) {
    bool whole = false;
    for (uint64_t id = 1; id <= kMembers; ++id) whole = whole || !is_lost(pattern, id, entry);
    if (!whole) return false;
  }
  return true;
}

std::string key(uint64_t entry) { return "key" + std::to_string(entry); }
std::string value(uint64_t entry) { return "value-of-" + std::to_string(entry); }
std::string command(uint64_t entry) { return key(entry) + "=" + value(entry); }

void start_all(TestCluster& cluster) {
  for (uint64_t id = 1; id <= kMembers; ++id) {
    NodeConfig config = cluster.config(id);
    config.wal_segment_bytes = kSegmentBytes;
    ASSERT_TRUE(cluster.open(id, config));
  }
}

bool put(TestCluster& cluster, uint64_t entry) {
  const auto call = cluster.propose(cluster.leader(), command(entry), seconds(5));
  cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6));
  return call->answer == Answer::applied;
}

// The logs of three members that have written four entries; no state but the logs.
class Lattice {
 public:
  Lattice() {
    TestCluster cluster(kMembers);
    cluster.disk = std::make_unique<TestDisk>();
    start_all(cluster);
    cluster.run_until([&] { return cluster.all_ready(); }, seconds(20));
    for (uint64_t entry = 0; entry < kEntries; ++entry) EXPECT_TRUE(put(cluster, entry));
    EXPECT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(5)));
    cluster.run_for(seconds(1));  // the logs are sealed
    for (uint64_t id = 1; id <= kMembers; ++id) cluster.kill(id);
    auto& disk = static_cast<TestDisk&>(*cluster.disk);
    for (uint64_t id = 1; id <= kMembers; ++id) {
      EXPECT_TRUE(disk.remove_tree(cluster.directory(id) + "/store"));
    }
    root_ = cluster.root.path();
    disk_ = disk.copy();
  }

  void damage(TestCluster& cluster, uint64_t pattern) const {
    auto copied = std::make_unique<TestDisk>(disk_.copy());
    ASSERT_TRUE(copied->rename(root_, cluster.root.path()));
    for (uint64_t id = 1; id <= kMembers; ++id) {
      for (uint64_t entry = 0; entry < kEntries; ++entry) {
        if (is_lost(pattern, id, entry)) ruin(*copied, cluster.directory(id) + "/wal", entry);
      }
    }
    cluster.disk = std::move(copied);
  }

 private:
  static void ruin(TestDisk& disk, const std::string& directory, uint64_t entry) {
    size_t found = 0;
    const auto names = disk.list(directory);
    ASSERT_TRUE(names.has_value());
    for (const std::string& name : *names) {
      std::string& content = disk.content(directory + "/" + name);
      const std::string text = command(entry);
      for (size_t at = content.find(text); at != std::string::npos; at = content.find(text, at)) {
        content[at] = '#';
        ++found;
      }
    }
    ASSERT_NE(found, 0U);
  }

  std::string root_;
  TestDisk disk_;
};

// Whatever anybody shows, asked without any guarantee, is what was written, from the first on.
void expect_no_lie(TestCluster& cluster) {
  for (uint64_t id = 1; id <= kMembers; ++id) {
    bool ended = false;
    for (uint64_t entry = 0; entry < kEntries; ++entry) {
      machine::Reply reply;
      cluster.members.at(id).node->query(Bytes(key(entry)), reply);
      const std::string shown = reply.body.str();
      EXPECT_TRUE(shown.empty() || (shown == value(entry) && !ended)) << id << " shows " << shown;
      ended = ended || shown.empty();
    }
  }
}

void expect_service(TestCluster& cluster) {
  const auto whole = [&] {
    if (!cluster.settled()) return false;
    return std::ranges::all_of(cluster.members, [](const auto& member) {
      return member.second.ready && member.second.node->status().consensus.damaged == 0;
    });
  };
  ASSERT_TRUE(cluster.run_until(whole, seconds(20)));
  EXPECT_TRUE(put(cluster, kEntries));
  EXPECT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(5)));
  EXPECT_TRUE(cluster.same_state());
  for (uint64_t entry = 0; entry <= kEntries; ++entry) {
    const uint64_t id = 1 + entry % kMembers;
    const auto call = cluster.read(id, key(entry), seconds(5));
    cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6));
    EXPECT_EQ(call->answer, Answer::applied) << id;
    EXPECT_EQ(call->body, value(entry)) << id;
  }
}

void expect_refusal(TestCluster& cluster) {
  cluster.run_for(seconds(2));
  const auto write = cluster.propose(1, command(kEntries), seconds(1));
  const auto read = cluster.read(2, key(0), seconds(1));
  cluster.run_for(seconds(2));
  EXPECT_EQ(write->answer, Answer::refused) << "surely not applied";
  EXPECT_EQ(read->answer, Answer::refused);
  for (uint64_t id = 1; id <= kMembers; ++id) {
    EXPECT_FALSE(cluster.members.at(id).ready) << id;
    EXPECT_FALSE(cluster.members.at(id).failure.has_value()) << id;
    EXPECT_NE(cluster.members.at(id).node->status().consensus.damaged, 0U) << id;
  }
}

TEST(NodeLattice, EveryPatternRecoversOrRefusesAndNoneLies) {
  const Lattice lattice;
  uint64_t recovered = 0;
  for (uint64_t pattern = 0; pattern < kPatterns; ++pattern) {
    SCOPED_TRACE("pattern " + std::to_string(pattern));
    TestCluster cluster(kMembers, pattern + 1);
    lattice.damage(cluster, pattern);
    start_all(cluster);
    if (recoverable(pattern)) {
      expect_service(cluster);
      ++recovered;
    } else {
      expect_refusal(cluster);
    }
    expect_no_lie(cluster);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_EQ(recovered, kRecoverable);
}

}  // namespace
}  // namespace quorate::node
