#include "node/membership.h"

#include <gtest/gtest.h>

#include "node/member_about.h"

namespace quorate::node {
namespace {

using consensus::Member;
using consensus::Members;

constexpr NodeId kSelf{4};

Member member(uint64_t id, const std::string& host = "") {
  const std::string name = host.empty() ? "m" + std::to_string(id) : host;
  return {NodeId{id}, 0, encode_member_about({name, {"http://" + name + ":1"}})};
}
Members voters(std::vector<uint64_t> ids) {
  Members members;
  for (const uint64_t id : ids) members.voters.push_back(member(id));
  return members;
}
std::vector<uint64_t> ids(const Membership::Addresses& addresses) {
  std::vector<uint64_t> list;
  for (const auto& [id, where] : addresses) list.push_back(id.value);
  return list;
}
Introduction told(const Members& members, uint64_t index) {
  return {1, GroupId{1}, Index{index}, members};
}
using Ids = std::vector<uint64_t>;

TEST(MembershipTest, FlagsCountUntilSomethingIsDecided) {
  std::vector<PeerConfig> flags(2);
  flags[0] = {kSelf, "n4", {"h4:1"}, {}};
  flags[1] = {NodeId{5}, "n5", {"h5:1"}, {}};
  Membership membership(kSelf, flags, {}, {});
  EXPECT_EQ(ids(membership.peers()), Ids{5});
  EXPECT_EQ(membership.peers()[NodeId{5}], std::vector<std::string>{"h5:1"});
  membership.set_decided(voters({4, 6}), Index{1});
  EXPECT_EQ(ids(membership.peers()), Ids{6});
}

TEST(MembershipTest, WhoIsInAnyConfigurationThatMayCountIsKept) {
  Membership membership(kSelf, {}, {}, {});
  membership.set_decided(voters({1, 2, 4}), Index{1});
  membership.set_in_force(voters({2, 3, 4}));
  EXPECT_EQ(ids(membership.peers()), (Ids{1, 2, 3})) << "the newer one may be taken back";
  membership.set_decided(voters({2, 3, 4}), Index{9});
  EXPECT_EQ(ids(membership.peers()), (Ids{2, 3}));
}

TEST(MembershipTest, TheHalfBeingLeftKeepsItsAddresses) {
  Membership membership(kSelf, {}, {}, {});
  membership.set_decided(voters({1, 2, 4}), Index{1});
  Members joint = voters({2, 3, 4});
  joint.outgoing = voters({1, 2, 4}).voters;
  membership.set_in_force(joint);
  EXPECT_EQ(membership.peers()[NodeId{1}], std::vector<std::string>{"m1:1"});
  membership.set_decided(joint, Index{5});
  EXPECT_EQ(ids(membership.peers()), (Ids{1, 2, 3}));
}

TEST(MembershipTest, ANewerAddressReplacesAnOlderOne) {
  Membership membership(kSelf, {}, {}, {});
  membership.set_decided(voters({1, 4}), Index{5});
  membership.set_in_force(voters({1, 4}));
  Members moved = voters({4});
  moved.voters.insert(moved.voters.begin(), member(1, "elsewhere"));
  membership.heard(told(moved, 8));
  EXPECT_EQ(membership.peers()[NodeId{1}], std::vector<std::string>{"elsewhere:1"});
  membership.set_decided(voters({1, 4}), Index{9});
  EXPECT_EQ(membership.peers()[NodeId{1}], std::vector<std::string>{"m1:1"}) << "we know better";
}

TEST(MembershipTest, RemovedByTheOwnLog) {
  Membership membership(kSelf, {}, {}, {});
  membership.set_decided(voters({1, 4}), Index{1});
  EXPECT_FALSE(membership.removed());
  Members joint = voters({1});
  joint.outgoing = voters({1, 4}).voters;
  membership.set_decided(joint, Index{2});
  EXPECT_FALSE(membership.removed()) << "still needed";
  membership.set_decided(voters({1}), Index{3});
  EXPECT_TRUE(membership.removed());
}

TEST(MembershipTest, RemovedByTheWordOfAMemberThatIsFurther) {
  Membership membership(kSelf, {}, {}, {});
  membership.set_decided(voters({1, 4}), Index{20});
  membership.heard(told(voters({1, 2}), 19));
  EXPECT_FALSE(membership.removed()) << "of before this member came";
  membership.heard(told(Members{}, 30));
  EXPECT_FALSE(membership.removed()) << "that one knows nothing";
  membership.heard(told(voters({1, 2}), 21));
  EXPECT_TRUE(membership.removed());
}

TEST(MembershipTest, OldConfigurationsOfTheReplayRemoveNobody) {
  Membership membership(kSelf, {}, {}, Index{50});
  membership.heard(told(voters({2, 3, 4}), 50));
  membership.set_decided(voters({1, 2}), Index{1});
  membership.set_in_force(voters({1, 2}));
  EXPECT_FALSE(membership.removed());
  EXPECT_EQ(ids(membership.peers()), (Ids{1, 2, 3})) << "the leader of today stays in reach";
  membership.set_decided(voters({2, 3, 4}), Index{50});
  membership.set_in_force(voters({2, 3, 4}));
  EXPECT_EQ(ids(membership.peers()), (Ids{2, 3}));
  membership.set_decided(voters({2, 3}), Index{60});
  EXPECT_TRUE(membership.removed());
}

TEST(MembershipTest, AsksEverybodyInTurn) {
  Membership membership(kSelf, {}, {"c:1", "m1:1"}, {});
  membership.set_decided(voters({1, 2, 4}), Index{1});
  EXPECT_EQ(membership.next_to_ask(), "m1:1");
  EXPECT_EQ(membership.next_to_ask(), "m2:1");
  EXPECT_EQ(membership.next_to_ask(), "c:1");
  EXPECT_EQ(membership.next_to_ask(), "m1:1");
  EXPECT_EQ(Membership(kSelf, {}, {}, {}).next_to_ask(), "");
}

}  // namespace
}  // namespace quorate::node
