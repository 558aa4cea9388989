#include "front/etcd/member_requests.h"

#include <gtest/gtest.h>

namespace quorate::front::etcd {
namespace {

using machine::etcd::MemberAttributes;
using node::MemberView;
using std::chrono::seconds;
using Urls = std::vector<std::string>;

constexpr Time kNow{seconds(1000)};

// `count` voters with ids from 1, all started and connected long enough; we are the first.
MembersSeen voters(uint64_t count) {
  MembersSeen seen;
  seen.self = NodeId{1};
  seen.now = kNow;
  for (uint64_t id = 1; id <= count; ++id) {
    MemberView view;
    view.id = NodeId{id};
    view.voter = true;
    view.connected_since = kNow - seconds(60);
    seen.members.push_back(view);
    seen.attributes.push_back({id, "n" + std::to_string(id), {}});
  }
  return seen;
}
void unstart(MembersSeen& seen, uint64_t id) {
  std::erase_if(seen.attributes, [&](const MemberAttributes& each) { return each.id == id; });
}
void part(MembersSeen& seen, uint64_t id) { seen.members[id - 1].connected_since.reset(); }

TEST(PeerUrlsTest, AreTrimmedSortedAndNothingElse) {
  EXPECT_EQ(peer_urls({" http://b:2", "http://a:1 "}), (Urls{"http://a:1", "http://b:2"}));
  EXPECT_EQ(peer_urls({"http://[::1]:2380"}), Urls{"http://[::1]:2380"});
  const char* const bad[] = {"",           "a:1",          "http://a",       "http://a:x",
                             "http://a:0", "http://a:1/",  "http://a:1/x",   "http://a:70000",
                             "ftp://a:1",  "httpss://a:1", "http://:2380",   "http://a b:1",
                             "http://a:",  "http://::1:2", "http://u@a:2380"};
  for (const char* url : bad) EXPECT_EQ(peer_urls({url}), std::nullopt) << url;
  EXPECT_EQ(peer_urls({}), std::nullopt);
  EXPECT_EQ(peer_urls({"http://a:1", "b"}), std::nullopt) << "one is wrong";
}

TEST(StrictCheckTest, AVoterIsAddedWhileAMajorityOfTheNewSizeIsThere) {
  EXPECT_EQ(check_adding_voter(voters(3)), std::nullopt);
  MembersSeen seen = voters(3);
  unstart(seen, 3);
  EXPECT_EQ(check_adding_voter(seen), ApiError::not_enough_started) << "two of four";
  seen.members[2].name = "n3";
  EXPECT_EQ(check_adding_voter(seen), std::nullopt) << "founders count";
  part(seen, 3);
  EXPECT_EQ(check_adding_voter(seen), ApiError::unhealthy);
  seen.members[2].connected_since = kNow - seconds(4);
  EXPECT_EQ(check_adding_voter(seen), ApiError::unhealthy) << "too short";
  seen.members[2].connected_since = kNow - seconds(5);
  EXPECT_EQ(check_adding_voter(seen), std::nullopt);
  MembersSeen five = voters(5);
  part(five, 2);
  EXPECT_EQ(check_adding_voter(five), std::nullopt) << "four of six";
}

TEST(StrictCheckTest, OneMayGrowToTwoButNotFurtherBeforeTheSecondStarts) {
  MembersSeen seen = voters(1);
  EXPECT_EQ(check_adding_voter(seen), std::nullopt);
  seen = voters(2);
  unstart(seen, 2);
  part(seen, 2);
  EXPECT_EQ(check_adding_voter(seen), ApiError::not_enough_started);
}

TEST(StrictCheckTest, RemovalKeepsAMajority) {
  EXPECT_EQ(check_removing(voters(3), NodeId{2}), std::nullopt);
  EXPECT_EQ(check_removing(voters(1), NodeId{1}), ApiError::not_enough_started);
  EXPECT_EQ(check_removing(voters(3), NodeId{99}), std::nullopt) << "the log will say it";
  MembersSeen seen = voters(3);
  part(seen, 3);
  EXPECT_EQ(check_removing(seen, NodeId{3}), std::nullopt) << "it is away anyway";
  EXPECT_EQ(check_removing(seen, NodeId{2}), ApiError::unhealthy) << "one of two would be left";
  EXPECT_EQ(check_removing(seen, NodeId{1}), ApiError::unhealthy);
  unstart(seen, 3);
  EXPECT_EQ(check_removing(seen, NodeId{2}), ApiError::not_enough_started);
}

TEST(StrictCheckTest, LearnersNeitherCountNorMatter) {
  MembersSeen seen = voters(3);
  seen.members[2].learner = true;
  seen.members[2].voter = false;
  part(seen, 3);
  EXPECT_EQ(check_removing(seen, NodeId{3}), std::nullopt);
  EXPECT_EQ(check_adding_voter(seen), std::nullopt) << "two of three";
  EXPECT_EQ(check_promoting(seen), std::nullopt);
  unstart(seen, 2);
  EXPECT_EQ(check_promoting(seen), std::nullopt) << "it counts itself";
  unstart(seen, 1);
  EXPECT_EQ(check_promoting(seen), ApiError::not_enough_started);
}

TEST(MemberRequestTest, HostileBytesAreRefused) {
  using Kind = MemberRequestKind;
  EXPECT_EQ(decode_member_request(Kind::add, "\x0a\xff"), std::nullopt);
  std::string many;
  for (int count = 0; count < 17; ++count) many += std::string("\x0a\x01x");
  EXPECT_EQ(decode_member_request(Kind::add, many), std::nullopt);
  const auto request = decode_member_request(Kind::add, "\x0a\x01x\x10\x01");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->urls, Urls{"x"});
  EXPECT_TRUE(request->learner);
}

}  // namespace
}  // namespace quorate::front::etcd
