// Changes of membership with whole nodes: the real runtime, log and protocol.
#include <gtest/gtest.h>

#include <algorithm>

#include "node/identity.h"
#include "node/test_cluster.h"

namespace quorate::node {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TestCluster;
using Answer = TestCluster::Answer;

std::string url(uint64_t id) { return "http://m" + std::to_string(id); }

MemberChange wish(ChangeKind kind, uint64_t id, uint64_t leaving = 0) {
  MemberChange change;
  change.kind = kind;
  change.member = NodeId{id};
  change.leaving = NodeId{leaving};
  if (kind == ChangeKind::add_voter || kind == ChangeKind::add_learner) change.urls = {url(id)};
  return change;
}

class MembersTest : public ::testing::Test {
 protected:
  void begin(TestCluster& cluster) {
    cluster.start_all();
    ASSERT_TRUE(cluster.run_until([&] { return cluster.all_ready(); }, seconds(20)));
  }
  void put(TestCluster& cluster, uint64_t id, const std::string& command) {
    const auto call = cluster.propose(id, command, seconds(5));
    ASSERT_TRUE(cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6)));
    ASSERT_EQ(call->answer, Answer::applied) << command;
    written_.push_back(command);
  }
  // Asks member `via`; refused with `why`, or applied when there is none.
  void change(TestCluster& cluster, uint64_t via, const MemberChange& wanted,
              std::optional<RefusedWhy> why = std::nullopt) {
    const bool stays = wanted.kind != ChangeKind::remove;
    shown_ = false;
    const auto call = std::make_shared<TestCluster::Call>();
    Node* node = cluster.members.at(via).node.get();
    node->change_members(wanted, cluster.clock.now() + seconds(5), [&, node](Outcome outcome) {
      const auto views = node->status().members;
      shown_ = std::ranges::any_of(views, [&](const MemberView& view) {
                 return view.id == wanted.member;
               }) == stays;
      TestCluster::answer_to(call)(std::move(outcome));
    });
    ASSERT_TRUE(cluster.run_until([&] { return call->answer != Answer::none; }, seconds(6)));
    if (why) {
      ASSERT_EQ(call->answer, Answer::refused);
      EXPECT_EQ(call->why, *why);
    } else {
      ASSERT_EQ(call->answer, Answer::applied) << static_cast<int>(call->why);
      EXPECT_TRUE(shown_) << "whoever is told that it is done sees it";
    }
  }
  static bool votes(TestCluster& cluster, uint64_t via, uint64_t id) {
    for (const MemberView& view : cluster.members.at(via).node->status().members) {
      if (view.id == NodeId{id}) return view.voter;
    }
    return false;
  }
  void add_voter(TestCluster& cluster, uint64_t via, uint64_t id) {
    change(cluster, via, wish(ChangeKind::add_voter, id));
    ASSERT_TRUE(cluster.join(id, via));
    ASSERT_TRUE(cluster.run_until([&] { return votes(cluster, via, id); }, seconds(20)));
  }
  void expect_everything_everywhere(TestCluster& cluster) {
    EXPECT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20)));
    EXPECT_TRUE(cluster.same_state());
    for (const auto& [id, member] : cluster.members) {
      for (const std::string& command : written_) {
        EXPECT_TRUE(cluster.machine(id).rows().contains(command.substr(0, command.find('='))));
      }
    }
  }

  std::vector<std::string> written_;
  bool shown_ = false;
};

TEST_F(MembersTest, OneGrowsToThreeAndToFiveAndShrinksAgain) {
  TestCluster cluster(1);
  begin(cluster);
  put(cluster, 1, "a=1");
  for (uint64_t id = 2; id <= 5; ++id) {
    add_voter(cluster, id - 1, id);
    put(cluster, id, "k" + std::to_string(id) + "=x");
  }
  expect_everything_everywhere(cluster);
  cluster.size = 5;
  for (uint64_t id = 5; id > 1; --id) {
    change(cluster, 1, wish(ChangeKind::remove, id));
    ASSERT_TRUE(cluster.run_until([&] { return cluster.members.at(id).removed; }, seconds(5)));
    cluster.kill(id);
    put(cluster, 1, "gone" + std::to_string(id) + "=x");
  }
  EXPECT_EQ(cluster.members.at(1).node->status().members.size(), 1U);
  expect_everything_everywhere(cluster);
}

TEST_F(MembersTest, AVoterThatNeverComesCostsNothingAndIsTakenBack) {
  TestCluster cluster(1);
  begin(cluster);
  change(cluster, 1, wish(ChangeKind::add_voter, 9));
  put(cluster, 1, "a=1");
  cluster.run_for(seconds(3));
  EXPECT_FALSE(votes(cluster, 1, 9));
  EXPECT_FALSE(cluster.members.at(1).node->status().members[1].learner) << "not to the outside";
  change(cluster, 1, wish(ChangeKind::promote, 9), RefusedWhy::learner_not_ready);
  change(cluster, 1, wish(ChangeKind::remove, 9));
  change(cluster, 1, wish(ChangeKind::remove, 9), RefusedWhy::member_not_found);
  put(cluster, 1, "b=1");
}

TEST_F(MembersTest, ALearnerCatchesUpIsPromotedAndCounts) {
  TestCluster cluster(3);
  begin(cluster);
  for (int count = 0; count < 50; ++count) put(cluster, 1, "k" + std::to_string(count) + "=v");
  change(cluster, 2, wish(ChangeKind::add_learner, 4));
  change(cluster, 3, wish(ChangeKind::add_learner, 5), RefusedWhy::too_many_learners);
  change(cluster, 3, wish(ChangeKind::promote, 4), RefusedWhy::learner_not_ready);
  ASSERT_TRUE(cluster.join(4, 3));
  EXPECT_TRUE(cluster.members.at(4).node->is_learner());
  ASSERT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20)));
  cluster.run_for(seconds(2));
  EXPECT_FALSE(votes(cluster, 1, 4)) << "nobody asked for it";
  change(cluster, 4, wish(ChangeKind::promote, 4));
  EXPECT_FALSE(cluster.members.at(4).node->is_learner());
  EXPECT_TRUE(votes(cluster, 1, 4));
  // Four voters, majority three: with two of the old ones gone it would stand still.
  const uint64_t lead = cluster.leader();
  cluster.kill(lead == 2 ? 3 : 2);
  put(cluster, 4, "with-three=1");
  expect_everything_everywhere(cluster);
}

TEST_F(MembersTest, TheLeaderRemovesItself) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=1");
  const uint64_t lead = cluster.leader();
  const uint64_t other = lead % 3 + 1;
  const auto load = cluster.propose(other, "during=1", seconds(5));
  change(cluster, lead, wish(ChangeKind::remove, lead));
  EXPECT_TRUE(cluster.members.at(lead).removed);
  EXPECT_NE(cluster.leader(), lead);
  EXPECT_EQ(load->answer, Answer::applied);
  put(cluster, other, "after=1");
  cluster.kill(lead);
  expect_everything_everywhere(cluster);
  // Its old data tells it nothing; the others do.
  ASSERT_TRUE(cluster.start(lead));
  EXPECT_TRUE(cluster.run_until([&] { return cluster.members.at(lead).removed; }, seconds(10)));
  put(cluster, other, "undisturbed=1");
}

TEST_F(MembersTest, RemovedWhileItWasAwayWithTheGreatestNumber) {
  TestCluster cluster(3);
  begin(cluster);
  cluster.kill(3);
  change(cluster, 1, wish(ChangeKind::remove, 3));
  const uint64_t round = cluster.members.at(1).node->round();
  ASSERT_TRUE(cluster.start(3));
  EXPECT_TRUE(cluster.run_until([&] { return cluster.members.at(3).removed; }, seconds(10)));
  EXPECT_LE(cluster.members.at(1).node->round(), round + 1) << "it disturbed nobody";
  cluster.kill(3);
  // Without its data it is a stranger with a removed member's id.
  cluster.wipe(3);
  ASSERT_TRUE(cluster.start(3));
  EXPECT_TRUE(cluster.run_until([&] { return cluster.members.at(3).removed; }, seconds(10)));
}

TEST_F(MembersTest, AVoterIsReplacedInOneStepWhileItIsDown) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=1");
  cluster.kill(2);
  change(cluster, 1, wish(ChangeKind::add_learner, 4));
  change(cluster, 1, wish(ChangeKind::replace, 4, 2), RefusedWhy::learner_not_ready);
  ASSERT_TRUE(cluster.join(4, 1));
  ASSERT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20)));
  change(cluster, 3, wish(ChangeKind::replace, 4, 2));
  EXPECT_TRUE(votes(cluster, 1, 4));
  EXPECT_FALSE(votes(cluster, 1, 2));
  cluster.kill(3);
  put(cluster, 4, "two of three=1");
  ASSERT_TRUE(cluster.start(3));
  expect_everything_everywhere(cluster);
}

TEST_F(MembersTest, ALaterMemberThatLostItsDataIsReadmitted) {
  TestCluster cluster(1);
  begin(cluster);
  put(cluster, 1, "a=1");
  add_voter(cluster, 1, 2);
  add_voter(cluster, 1, 3);
  cluster.size = 3;
  cluster.kill(2);
  cluster.wipe(2);
  ASSERT_TRUE(cluster.join(2, 3));
  ASSERT_TRUE(cluster.run_until(
      [&] {
        auto identity = load_identity(*cluster.disk, cluster.directory(2));
        return identity && *identity && !(*identity)->amnesiac && (*identity)->incarnation != 0;
      },
      seconds(20)));
  cluster.kill(3);
  put(cluster, 2, "it counts=1");
  ASSERT_TRUE(cluster.join(3, 1));
  expect_everything_everywhere(cluster);
}

TEST_F(MembersTest, ALaterMemberRestartsInTheMiddleOfCatchingUp) {
  TestCluster cluster(3);
  cluster.snapshot_count = 1000000;
  begin(cluster);
  for (int count = 0; count < 200; ++count)
    cluster.propose(1, "k" + std::to_string(count) + "=v", seconds(5));
  cluster.run_for(seconds(1));
  change(cluster, 1, wish(ChangeKind::add_voter, 4));
  ASSERT_TRUE(cluster.join(4, 1));
  cluster.run_for(std::chrono::microseconds(900));
  cluster.kill(4);
  ASSERT_TRUE(cluster.join(4, 2));
  ASSERT_TRUE(cluster.run_until([&] { return votes(cluster, 1, 4); }, seconds(20)));
  expect_everything_everywhere(cluster);
}

TEST_F(MembersTest, ALaterMemberGetsASnapshotWhenTheLogIsGone) {
  TestCluster cluster(3);
  cluster.snapshot_count = 100;
  cluster.catch_up_entries = 10;
  begin(cluster);
  for (int count = 0; count < 500; ++count) {
    put(cluster, 1, "k" + std::to_string(count) + "=v");
  }
  cluster.run_for(seconds(2));
  EXPECT_GT(cluster.members.at(cluster.leader()).node->status().consensus.first.value, 100U);
  add_voter(cluster, 2, 4);
  expect_everything_everywhere(cluster);
}

TEST_F(MembersTest, AddressesAreUpdatedAndDuplicatesRefused) {
  TestCluster cluster(3);
  begin(cluster);
  MemberChange moved = wish(ChangeKind::update, 2);
  moved.urls = {url(3)};
  change(cluster, 1, moved, RefusedWhy::urls_exist);
  moved.urls = {"http://m2:2", "http://m2:3"};
  change(cluster, 1, moved);
  for (uint64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(cluster.run_until(
        [&] {
          return cluster.members.at(id).node->status().members[1].peer_addresses == moved.urls;
        },
        seconds(2)));
  }
  MemberChange twice = wish(ChangeKind::add_voter, 2);
  change(cluster, 1, twice, RefusedWhy::member_exists);
  twice = wish(ChangeKind::add_voter, 7);
  twice.urls = {url(1)};
  change(cluster, 1, twice, RefusedWhy::urls_exist);
}

TEST_F(MembersTest, ChangesAtOnceAreMadeOneAfterTheOther) {
  TestCluster cluster(3);
  begin(cluster);
  std::vector<std::shared_ptr<TestCluster::Call>> calls;
  for (uint64_t id = 4; id <= 9; ++id) {
    calls.push_back(cluster.change(id % 3 + 1, wish(ChangeKind::add_voter, id), seconds(5)));
  }
  cluster.run_for(seconds(3));
  for (const auto& call : calls) EXPECT_EQ(call->answer, Answer::applied);
  EXPECT_EQ(cluster.members.at(1).node->status().members.size(), 9U);
}

TEST_F(MembersTest, WithoutAMajorityAChangeIsNotPromised) {
  TestCluster cluster(3);
  begin(cluster);
  const uint64_t lead = cluster.leader();
  for (uint64_t id = 1; id <= 3; ++id) {
    if (id != lead) cluster.kill(id);
  }
  const auto call = cluster.change(lead, wish(ChangeKind::add_voter, 4), seconds(3));
  cluster.run_for(seconds(4));
  EXPECT_NE(call->answer, Answer::none);
  EXPECT_NE(call->answer, Answer::applied);
}

TEST_F(MembersTest, TheLastVoterStays) {
  TestCluster cluster(1);
  begin(cluster);
  change(cluster, 1, wish(ChangeKind::remove, 1), RefusedWhy::no_voter_left);
  put(cluster, 1, "a=1");
}

TEST_F(MembersTest, AMemberThatWasLongAwayFindsTheOthersWhereTheyAreNow) {
  TestCluster cluster(3);
  begin(cluster);
  put(cluster, 1, "a=1");
  cluster.kill(3);
  // While 3 is away, 1 and 2 are replaced by 4 and 5; it knows neither.
  for (const auto& [in, out] : {std::pair(4, 1), std::pair(5, 2)}) {
    const auto newcomer = static_cast<uint64_t>(in);
    const auto leaver = static_cast<uint64_t>(out);
    const uint64_t via = leaver;
    change(cluster, via, wish(ChangeKind::add_learner, newcomer));
    ASSERT_TRUE(cluster.join(newcomer, via));
    ASSERT_TRUE(cluster.run_until([&] { return cluster.settled(); }, seconds(20)));
    change(cluster, newcomer, wish(ChangeKind::replace, newcomer, leaver));
    if (leaver == 1) {
      ASSERT_TRUE(cluster.run_until([&] { return cluster.members.at(1).removed; }, seconds(5)));
      cluster.kill(1);
    }
  }
  ASSERT_TRUE(cluster.run_until([&] { return cluster.members.at(2).removed; }, seconds(5)));
  // Removed, but still there to be asked: that is how 3 learns of the others.
  ASSERT_TRUE(cluster.start(3));
  ASSERT_TRUE(cluster.run_until(
      [&] { return cluster.members.at(3).node->leader() && cluster.members.at(3).ready; },
      seconds(10)));
  cluster.kill(2);
  put(cluster, 3, "found=1");
  expect_everything_everywhere(cluster);
}

}  // namespace
}  // namespace quorate::node
