#include "node/member_change.h"

#include <gtest/gtest.h>

#include "node/introduction.h"
#include "node/member_about.h"

namespace quorate::node {
namespace {

using consensus::Member;
using consensus::Members;
using Urls = std::vector<std::string>;

Member member(uint64_t id, uint64_t incarnation = 0, bool voter_wanted = false) {
  const std::string name = "m" + std::to_string(id);
  return {NodeId{id}, incarnation, encode_member_about({name, {"http://" + name}, voter_wanted})};
}

Members three() { return {{member(1), member(2), member(3)}, {}, {}}; }

ChangeRules rules_at(uint64_t last, std::vector<std::pair<NodeId, Index>> progress = {}) {
  return {1, std::move(progress), Index{last}};
}

MemberChange change(ChangeKind kind, uint64_t id, Urls urls = {}, uint64_t leaving = 0) {
  return {kind, NodeId{id}, NodeId{leaving}, std::move(urls)};
}

ChangeRefusal refusal(const Members& base, const MemberChange& wish, const ChangeRules& rules) {
  const auto target = changed(base, wish, rules);
  EXPECT_FALSE(target.has_value());
  return target ? ChangeRefusal::no_voter_left : target.error();
}

TEST(MemberChangeTest, ANewVoterComesAsALearnerThatWantsToVote) {
  const auto target = changed(three(), change(ChangeKind::add_voter, 9, {"http://x:1"}), {});
  ASSERT_TRUE(target);
  EXPECT_EQ(target->voters, three().voters);
  ASSERT_EQ(target->learners.size(), 1U);
  const auto about = decode_member_about(target->learners[0].about);
  EXPECT_EQ(about, (MemberAbout{"", {"http://x:1"}, true}));
  EXPECT_TRUE(Promotion::is_wanted(*target));
}

TEST(MemberChangeTest, IdsAndUrlsAreUnique) {
  const Members base = three();
  EXPECT_EQ(refusal(base, change(ChangeKind::add_voter, 2, {"http://x"}), {}),
            ChangeRefusal::member_exists);
  EXPECT_EQ(refusal(base, change(ChangeKind::add_voter, 9, {"http://x", "http://m3"}), {}),
            ChangeRefusal::urls_exist);
  EXPECT_EQ(refusal(base, change(ChangeKind::update, 1, {"http://m2"}), {}),
            ChangeRefusal::urls_exist);
  EXPECT_TRUE(changed(base, change(ChangeKind::update, 1, {"http://m1"}), {})) << "its own";
}

TEST(MemberChangeTest, OnlyRealLearnersAreCounted) {
  Members base = three();
  base.learners = {member(5, 0, true)};
  const auto one = changed(base, change(ChangeKind::add_learner, 9, {"http://x"}), {});
  ASSERT_TRUE(one);
  EXPECT_EQ(refusal(*one, change(ChangeKind::add_learner, 10, {"http://y"}), {}),
            ChangeRefusal::too_many_learners);
  EXPECT_TRUE(changed(*one, change(ChangeKind::add_voter, 10, {"http://y"}), {}));
}

TEST(MemberChangeTest, PromotionNeedsALearnerInSync) {
  Members base = three();
  base.learners = {member(5, 77)};
  const MemberChange wish = change(ChangeKind::promote, 5);
  EXPECT_EQ(refusal(base, wish, rules_at(1000)), ChangeRefusal::learner_not_ready);
  EXPECT_EQ(refusal(base, wish, rules_at(1000, {{NodeId{5}, Index{899}}})),
            ChangeRefusal::learner_not_ready);
  const auto target = changed(base, wish, rules_at(1000, {{NodeId{5}, Index{900}}}));
  ASSERT_TRUE(target);
  EXPECT_TRUE(target->is_voter(NodeId{5}));
  EXPECT_TRUE(target->learners.empty());
  EXPECT_EQ(target->find(NodeId{5})->incarnation, 77U) << "its life stays the admitted one";
  EXPECT_EQ(refusal(base, change(ChangeKind::promote, 1), rules_at(1)), ChangeRefusal::not_learner);
  EXPECT_EQ(refusal(base, change(ChangeKind::promote, 8), rules_at(1)),
            ChangeRefusal::member_not_found);
}

TEST(MemberChangeTest, WhoWasNeverStartedIsNotInSync) {
  Members base = three();
  base.learners = {member(5, 0)};
  EXPECT_EQ(refusal(base, change(ChangeKind::promote, 5), rules_at(0, {{NodeId{5}, Index{0}}})),
            ChangeRefusal::learner_not_ready);
}

TEST(MemberChangeTest, TheLastVoterStays) {
  Members base = {{member(1)}, {}, {member(5, 7)}};
  EXPECT_EQ(refusal(base, change(ChangeKind::remove, 1), {}), ChangeRefusal::no_voter_left);
  EXPECT_TRUE(changed(base, change(ChangeKind::remove, 5), {}));
  EXPECT_EQ(refusal(base, change(ChangeKind::remove, 6), {}), ChangeRefusal::member_not_found);
}

TEST(MemberChangeTest, AnUpdateKeepsTheRest) {
  Members base = three();
  base.learners = {member(5, 7, true)};
  const auto target = changed(base, change(ChangeKind::update, 5, {"http://y"}), {});
  ASSERT_TRUE(target);
  EXPECT_EQ(decode_member_about(target->learners[0].about),
            (MemberAbout{"m5", {"http://y"}, true}));
  EXPECT_EQ(target->learners[0].incarnation, 7U);
}

TEST(MemberChangeTest, AReplacementIsOneStep) {
  Members base = three();
  base.learners = {member(5, 7)};
  const MemberChange wish = change(ChangeKind::replace, 5, {}, 2);
  EXPECT_EQ(refusal(base, wish, rules_at(10)), ChangeRefusal::learner_not_ready);
  const auto target = changed(base, wish, rules_at(10, {{NodeId{5}, Index{10}}}));
  ASSERT_TRUE(target);
  EXPECT_EQ(target->everyone(), (std::vector{NodeId{1}, NodeId{3}, NodeId{5}}));
  EXPECT_TRUE(target->is_voter(NodeId{5}));
  EXPECT_TRUE(removes(wish, NodeId{2}));
  EXPECT_FALSE(removes(wish, NodeId{5}));
  EXPECT_EQ(refusal(base, change(ChangeKind::replace, 5, {}, 8), rules_at(10)),
            ChangeRefusal::member_not_found);
  EXPECT_EQ(refusal(base, change(ChangeKind::replace, 1, {}, 2), rules_at(10)),
            ChangeRefusal::not_learner);
}

TEST(MemberChangeTest, BytesComeBackAndDamagedOnesDoNot) {
  const MemberChange wish = change(ChangeKind::replace, 5, {"http://a", "http://b"}, 2);
  const Bytes encoded = encode_member_change(wish);
  EXPECT_EQ(decode_member_change(encoded), wish);
  for (size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_EQ(decode_member_change(encoded.slice(0, size)), std::nullopt) << size;
  }
  std::string text = encoded.str();
  text[1] = 6;
  EXPECT_EQ(decode_member_change(Bytes(text)), std::nullopt) << "a kind that does not exist";
}

TEST(PromotionTest, ComesWhenTheLearnerHasWhatTheLeaderHadAtItsLastLook) {
  Members base = three();
  base.learners = {member(5, 7, true), member(6, 8)};
  consensus::Status status;
  status.ballot.round = 2;
  status.last = Index{100};
  status.progress = {{NodeId{5}, Index{90}}, {NodeId{6}, Index{100}}};
  Promotion promotion;
  EXPECT_FALSE(promotion.look(base, status)) << "the first look only looks";
  EXPECT_FALSE(promotion.look(base, status)) << "it is behind";
  status.progress[0].second = Index{100};
  status.last = Index{120};
  const auto target = promotion.look(base, status);
  ASSERT_TRUE(target);
  EXPECT_TRUE(target->is_voter(NodeId{5}));
  EXPECT_TRUE(target->is_learner(NodeId{6})) << "nobody asked for that";
  EXPECT_FALSE(Promotion::is_wanted(*target));
  status.ballot.round = 3;
  EXPECT_FALSE(promotion.look(base, status)) << "another term of office, another log";
}

TEST(IntroductionTest, BytesComeBackAndDamagedOnesDoNot) {
  Introduction introduction{0x1122, GroupId{1}, Index{9}, three()};
  const Bytes encoded = encode_introduction(introduction);
  const auto decoded = decode_introduction(encoded);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->cluster_id, 0x1122U);
  EXPECT_EQ(decoded->index, Index{9});
  EXPECT_EQ(decoded->members, three());
  for (size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_FALSE(decode_introduction(encoded.slice(0, size))) << size;
  }
  EXPECT_EQ(decoded->protocol, "raft");
  introduction.protocol = "other";
  const Bytes newer = encode_introduction(introduction);
  EXPECT_EQ(decode_introduction(newer)->protocol, "other");
  EXPECT_GT(newer.size(), encoded.size()) << "Raft is told as before";
  introduction.protocol = std::string(65, 'x');
  EXPECT_FALSE(decode_introduction(encode_introduction(introduction)));
}

TEST(IntroductionTest, AMemberIsFoundByAllItsUrls) {
  Introduction introduction{1, GroupId{1}, Index{9}, three()};
  introduction.members.learners = {
      {NodeId{9}, 0, encode_member_about({"", {"http://a:1", "http://b:2"}, true})}};
  EXPECT_EQ(*member_at(introduction, "n9", {"http://b:2", "http://a:1/"}), NodeId{9});
  EXPECT_EQ(*member_at(introduction, "n9", {"http://a:1"}), NodeId{}) << "one is missing";
  EXPECT_EQ(*member_at(introduction, "m2", {"http://m2"}), NodeId{2});
  EXPECT_FALSE(member_at(introduction, "n2", {"http://m2"})) << "the name is another one's";
}

}  // namespace
}  // namespace quorate::node
