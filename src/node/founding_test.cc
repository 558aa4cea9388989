#include "node/founding.h"

#include <gtest/gtest.h>

#include "node/limits.h"

namespace quorate::node {
namespace {

using Verdict = Founding::Verdict;
constexpr NodeId kB{2};
constexpr NodeId kC{3};
constexpr Time kStart{std::chrono::seconds(10)};
constexpr Time kLater = kStart + kFoundingPatience;

TEST(FoundingTest, AloneFoundsAtOnce) {
  EXPECT_EQ(Founding({}, kStart).verdict(kStart), Verdict::found);
}

TEST(FoundingTest, AllNewFoundsAtOnce) {
  Founding founding({kB, kC}, kStart);
  EXPECT_EQ(founding.verdict(kStart), Verdict::wait);
  EXPECT_EQ(founding.deadline(kStart), kLater);
  founding.heard(kB, LifeState::fresh);
  EXPECT_EQ(founding.verdict(kStart), Verdict::wait);
  founding.heard(kC, LifeState::virgin);
  EXPECT_EQ(founding.verdict(kStart), Verdict::found);
}

TEST(FoundingTest, AMajorityIsEnoughAfterAWhileButNeverLess) {
  Founding founding({kB, kC}, kStart);
  EXPECT_EQ(founding.verdict(kLater), Verdict::wait);
  founding.heard(kB, LifeState::fresh);
  EXPECT_EQ(founding.verdict(kLater - Duration(1)), Verdict::wait);
  EXPECT_EQ(founding.verdict(kLater), Verdict::found);
  Founding four({kB, kC, NodeId{4}}, kStart);
  four.heard(kB, LifeState::fresh);
  EXPECT_EQ(four.verdict(kLater), Verdict::wait) << "two of four is no majority";
}

TEST(FoundingTest, OneFormedPeerIsEnoughToKnowThatDataWasLost) {
  Founding founding({kB, kC}, kStart);
  founding.heard(kB, LifeState::fresh);
  founding.heard(kC, LifeState::formed);
  EXPECT_EQ(founding.verdict(kStart), Verdict::lost);
}

TEST(FoundingTest, WhatAPeerSaidEndsWithItsConnection) {
  Founding founding({kB, kC}, kStart);
  founding.heard(kB, LifeState::fresh);
  founding.forget(kB);
  founding.heard(kC, LifeState::fresh);
  EXPECT_EQ(founding.verdict(kStart), Verdict::wait);
}

TEST(FoundingTest, OthersThanTheConfiguredFoundNothing) {
  Founding founding({kB, kC}, kStart);
  founding.heard(NodeId{9}, LifeState::fresh);
  founding.heard(NodeId{8}, LifeState::virgin);
  EXPECT_EQ(founding.verdict(kLater), Verdict::wait);
  // But they may have taken the places of those that are.
  founding.heard(NodeId{8}, LifeState::formed);
  EXPECT_EQ(founding.verdict(kLater), Verdict::lost);
}

}  // namespace
}  // namespace quorate::node
