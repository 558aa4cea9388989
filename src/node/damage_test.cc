// Whole nodes whose disks have lost something: the log, or what the state machine stored.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "node/identity.h"
#include "node/test_cluster.h"
#include "storage/wal/segment_format.h"

namespace quorate::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TestCluster;
using Answer = TestCluster::Answer;
using storage::wal::kPageBytes;

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void overwrite(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
}

class DamageTest : public ::testing::Test {
 protected:
  // A cluster at rest, with so many commands.
  void begin(TestCluster& cluster, int commands) {
    cluster.start_all();
    ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
    for (int number = 1; number <= commands; ++number) put(cluster, number);
    cluster.run_until([&] { return cluster.settled(); }, seconds(20));
    cluster.run_for(seconds(1));  // the log is sealed
  }
  static std::string command(int number) {
    return "k" + std::to_string(number) + "=value-of-" + std::to_string(number) + ";";
  }
  void put(TestCluster& cluster, int number) {
    const uint64_t id = cluster.members.begin()->first;
    const auto call = cluster.propose(id, command(number), seconds(10));
    ASSERT_TRUE(cluster.run_until([&] { return call->answer != Answer::none; }, seconds(11)));
    ASSERT_EQ(call->answer, Answer::applied) << number;
    written_ = std::max(written_, number);
  }
  std::string get(TestCluster& cluster, uint64_t id, int number) {
    const auto call = cluster.read(id, "k" + std::to_string(number), seconds(5));
    cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6));
    return call->answer == Answer::applied ? call->body : "(refused)";
  }
  void expect_whole(TestCluster& cluster) {
    EXPECT_TRUE(cluster.run_until(
        [&] {
          if (!cluster.settled()) return false;
          return std::ranges::all_of(cluster.members, [](const auto& member) {
            const NodeStatus status = member.second.node->status();
            return status.consensus.damaged == 0 && !status.consensus.store_lost;
          });
        },
        seconds(40)));
    EXPECT_TRUE(cluster.same_state());
    for (const auto& [id, member] : cluster.members) {
      for (int number = 1; number <= written_; ++number) {
        EXPECT_EQ(get(cluster, id, number), "value-of-" + std::to_string(number) + ";")
            << "member " << id << " command " << number;
      }
    }
  }
  // The pages of the member's log that hold the command become unreadable.
  void rot(TestCluster& cluster, uint64_t id, int number) {
    size_t found = 0;
    for (const auto& file : std::filesystem::directory_iterator(cluster.directory(id) + "/wal")) {
      if (file.path().extension() != ".wal") continue;
      std::string content = content_of(file.path());
      for (size_t place = content.find(command(number)); place != std::string::npos;
           place = content.find(command(number), place + 1)) {
        content[place] = '#';
        ++found;
      }
      overwrite(file.path(), content);
    }
    ASSERT_GT(found, 0U);
  }
  // Everything from the page with this command on: the log cannot say what it held.
  void cut_log(TestCluster& cluster, uint64_t id, int number) {
    for (const auto& file : std::filesystem::directory_iterator(cluster.directory(id) + "/wal")) {
      if (file.path().extension() != ".wal") continue;
      std::string content = content_of(file.path());
      const size_t place = content.find(command(number));
      if (place == std::string::npos) continue;
      const size_t begin = place / kPageBytes * kPageBytes;
      content.replace(begin, content.size() - begin, content.size() - begin, '\0');
      overwrite(file.path(), content);
    }
  }
  // The state machine's store goes, so that a restart needs the log, from its beginning.
  void remove_store(TestCluster& cluster, uint64_t id) {
    std::filesystem::remove_all(cluster.directory(id) + "/store");
  }
  void damage_store(TestCluster& cluster, uint64_t id) {
    size_t damaged = 0;
    for (const auto& file :
         std::filesystem::recursive_directory_iterator(cluster.directory(id) + "/store")) {
      if (file.path().filename() != "image") continue;
      std::string content = content_of(file.path());
      content.at(content.size() / 2) ^= 1;
      overwrite(file.path(), content);
      ++damaged;
    }
    ASSERT_GT(damaged, 0U);
  }
  bool has_aside(TestCluster& cluster, uint64_t id, const std::string& name) {
    return std::filesystem::exists(cluster.directory(id) + "/damaged-1-" + name);
  }

  int written_ = 0;
};

TEST_F(DamageTest, AMemberGetsBackTheEntriesItsDiskHasLost) {
  TestCluster cluster(3);
  begin(cluster, 20);
  cluster.kill(2);
  rot(cluster, 2, 5);
  rot(cluster, 2, 17);
  remove_store(cluster, 2);
  ASSERT_TRUE(cluster.start(2));
  EXPECT_EQ(cluster.members.at(2).node->status().log_entries_damaged, 2U);
  put(cluster, 21);
  expect_whole(cluster);
  EXPECT_EQ(cluster.members.at(2).node->status().log_entries_repaired, 2U);
  // And it has them for good.
  cluster.run_for(seconds(1));
  cluster.kill(2);
  remove_store(cluster, 2);
  ASSERT_TRUE(cluster.start(2));
  EXPECT_EQ(cluster.members.at(2).node->status().log_entries_damaged, 0U);
  expect_whole(cluster);
}

TEST_F(DamageTest, AllOfThemDamagedInDifferentPlacesServeAgain) {
  TestCluster cluster(3);
  begin(cluster, 12);
  for (uint64_t id = 1; id <= 3; ++id) cluster.kill(id);
  for (uint64_t id = 1; id <= 3; ++id) {
    for (const int number : {1, 4, 7, 10}) rot(cluster, id, number + static_cast<int>(id) - 1);
    remove_store(cluster, id);
    ASSERT_TRUE(cluster.start(id));
  }
  expect_whole(cluster);
  put(cluster, 13);
  expect_whole(cluster);
}

TEST_F(DamageTest, WhatIsLostEverywhereStopsServiceAndIsNeverServedWrongly) {
  TestCluster cluster(3);
  begin(cluster, 6);
  for (uint64_t id = 1; id <= 3; ++id) cluster.kill(id);
  for (uint64_t id = 1; id <= 3; ++id) {
    rot(cluster, id, 4);
    remove_store(cluster, id);
    ASSERT_TRUE(cluster.start(id));
  }
  cluster.run_for(seconds(20));
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_FALSE(cluster.members.at(id).ready);
    EXPECT_EQ(cluster.members.at(id).node->status().consensus.damaged, 1U);
    EXPECT_EQ(get(cluster, id, 5), "(refused)");
  }
  const auto call = cluster.propose(1, "k9=x", seconds(5));
  cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6));
  EXPECT_EQ(call->answer, Answer::refused) << "surely not applied, not unknown";
}

TEST_F(DamageTest, ALogThatCannotSayWhatItHeldIsSetAsideAndTheMemberReadmitted) {
  TestCluster cluster(3);
  begin(cluster, 15);
  cluster.kill(3);
  cut_log(cluster, 3, 9);
  ASSERT_TRUE(cluster.start(3));
  EXPECT_TRUE(has_aside(cluster, 3, "wal"));
  EXPECT_TRUE(has_aside(cluster, 3, "store"));
  auto identity = load_identity(*cluster.disk, cluster.directory(3));
  EXPECT_TRUE((*identity)->amnesiac);
  put(cluster, 16);
  expect_whole(cluster);
  ASSERT_TRUE(cluster.run_until(
      [&] {
        auto now = load_identity(*cluster.disk, cluster.directory(3));
        return !(*now)->amnesiac;
      },
      seconds(20)));
}

// Nobody is left who knows: the members wait, and found no new cluster beside the old one.
TEST_F(DamageTest, WhenNoLogCanSayWhatItHeldNobodyServes) {
  TestCluster cluster(3);
  begin(cluster, 8);
  for (uint64_t id = 1; id <= 3; ++id) cluster.kill(id);
  for (uint64_t id = 1; id <= 3; ++id) {
    cut_log(cluster, id, 3);
    ASSERT_TRUE(cluster.start(id));
  }
  cluster.run_for(seconds(30));
  for (uint64_t id = 1; id <= 3; ++id) {
    EXPECT_FALSE(cluster.members.at(id).ready);
    EXPECT_EQ(cluster.members.at(id).node->leader(), NodeId{});
    EXPECT_TRUE(has_aside(cluster, id, "wal"));
  }
}

TEST_F(DamageTest, TheOnlyMemberIsToldWhatToDo) {
  TestCluster cluster(1);
  begin(cluster, 8);
  cluster.kill(1);
  cut_log(cluster, 1, 3);
  const auto started = cluster.start(1);
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().text.find("restore a backup"), std::string::npos);
  EXPECT_FALSE(has_aside(cluster, 1, "wal"));
}

// The log is whole and begins at the beginning: the state is made anew from it.
TEST_F(DamageTest, ADamagedStoreIsMadeAnewFromTheLog) {
  TestCluster cluster(1);
  begin(cluster, 10);
  cluster.kill(1);
  ASSERT_TRUE(cluster.start(1));
  cluster.run_until([&] { return cluster.all_ready(); }, seconds(5));
  const_cast<testing::TestMachine&>(cluster.machine(1)).start_flush();
  cluster.kill(1);
  damage_store(cluster, 1);
  ASSERT_TRUE(cluster.start(1));
  EXPECT_TRUE(has_aside(cluster, 1, "store"));
  expect_whole(cluster);
}

TEST_F(DamageTest, ADamagedStoreComesFromAPeerAndTheMemberStillVotes) {
  TestCluster cluster(3);
  cluster.snapshot_count = 10;
  cluster.catch_up_entries = 5;
  begin(cluster, 60);
  cluster.kill(2);
  damage_store(cluster, 2);
  const uint64_t other = cluster.leader() == 3 ? 1 : 3;
  cluster.kill(other);
  ASSERT_TRUE(cluster.start(2));
  EXPECT_TRUE(cluster.members.at(2).node->status().consensus.store_lost);
  machine::Reply reply;
  cluster.members.at(2).node->query(Bytes("k1"), reply);
  EXPECT_EQ(reply.code, machine::kStateUnavailable) << "nothing is served from no state";
  // Two of three are up, one of them without its state: together they still make a leader.
  expect_whole(cluster);
  put(cluster, 61);
  ASSERT_TRUE(cluster.start(other));
  expect_whole(cluster);
}

TEST_F(DamageTest, AStoreThatRotsWhileRunningIsReplaced) {
  TestCluster cluster(3);
  cluster.snapshot_count = 10;
  cluster.catch_up_entries = 5;
  begin(cluster, 60);
  for (const uint64_t id : {uint64_t{1}, uint64_t{2}}) {
    cluster.kill(id);
    NodeConfig config = cluster.config(id);
    config.scrub_bytes_per_second = uint64_t{1} << 20U;
    config.scrub_pause = seconds(2);
    ASSERT_TRUE(cluster.open(id, config));
    ASSERT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20)));
  }
  cluster.run_for(seconds(5));
  EXPECT_GT(cluster.members.at(1).node->status().scrubbed_bytes, kPageBytes);
  EXPECT_EQ(cluster.members.at(1).node->status().stores_lost, 0U);
  damage_store(cluster, 1);
  EXPECT_TRUE(cluster.run_until(
      [&] { return cluster.members.at(1).node->status().stores_lost == 1; }, seconds(10)));
  put(cluster, 61);
  expect_whole(cluster);
  EXPECT_FALSE(cluster.members.at(1).failure.has_value());
}

// D22: rot in the log of a running member is repaired before anybody needs the entry.
TEST_F(DamageTest, TheScrubRepairsTheLogOfARunningMember) {
  TestCluster cluster(3);
  cluster.start_all();
  for (uint64_t id = 1; id <= 3; ++id) {
    cluster.kill(id);
    NodeConfig config = cluster.config(id);
    config.scrub_bytes_per_second = uint64_t{1} << 20U;
    config.scrub_pause = seconds(2);
    ASSERT_TRUE(cluster.open(id, config));
  }
  ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
  for (int number = 1; number <= 20; ++number) put(cluster, number);
  cluster.run_for(seconds(1));
  for (uint64_t id = 1; id <= 3; ++id) rot(cluster, id, 5 + static_cast<int>(id));
  const auto found = [](const auto& member) {
    const NodeStatus status = member.second.node->status();
    return status.log_entries_damaged == 1 && status.consensus.damaged == 0;
  };
  EXPECT_TRUE(
      cluster.run_until([&] { return std::ranges::all_of(cluster.members, found); }, seconds(20)));
  for (uint64_t id = 1; id <= 3; ++id) cluster.kill(id);
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(cluster.start(id));
    EXPECT_EQ(cluster.members.at(id).node->status().log_entries_damaged, 0U);
  }
  expect_whole(cluster);
}

// D18: the store was put back from an older copy, or is gone: behind what the log gave back.
TEST_F(DamageTest, AStoreBehindTheLogsBeginningComesFromAPeer) {
  TestCluster cluster(3);
  cluster.snapshot_count = 10;
  cluster.catch_up_entries = 5;
  begin(cluster, 60);
  cluster.kill(2);
  remove_store(cluster, 2);
  ASSERT_TRUE(cluster.start(2));
  EXPECT_TRUE(cluster.members.at(2).node->status().consensus.store_lost);
  expect_whole(cluster);
}

// D18: the store is ahead of a log that has lost its end.
TEST_F(DamageTest, ALogThatEndsBeforeItsStoreIsSetAside) {
  TestCluster cluster(3);
  begin(cluster, 10);
  cluster.kill(2);
  ASSERT_TRUE(cluster.start(2));
  ASSERT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20)));
  const_cast<testing::TestMachine&>(cluster.machine(2)).start_flush();
  cluster.kill(2);
  cut_log(cluster, 2, 6);
  ASSERT_TRUE(cluster.start(2));
  EXPECT_TRUE(has_aside(cluster, 2, "wal"));
  put(cluster, 11);
  expect_whole(cluster);
}

}  // namespace
}  // namespace quorate::node
