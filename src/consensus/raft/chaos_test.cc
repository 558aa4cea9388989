// Random schedules of this core (consensus/test_chaos.h).
#include <gtest/gtest.h>

#include "consensus/test_chaos.h"

namespace quorate::consensus::raft {
namespace {

void play(testing::ChaosChoices choices, uint64_t seeds) {
  choices.protocol = Protocol::raft;
  testing::play_chaos(choices, seeds);
}

TEST(RaftChaos, ThreeVoters) { play({.voters = 3}, 150); }
TEST(RaftChaos, FiveVoters) { play({.voters = 5}, 60); }
TEST(RaftChaos, WithoutPreVote) { play({.voters = 3, .pre_vote = false}, 60); }
TEST(RaftChaos, MembersThatLoseTheirData) { play({.voters = 3, .wipes = true}, 150); }
TEST(RaftChaos, FiveWithLostData) { play({.voters = 5, .wipes = true}, 60); }

}  // namespace
}  // namespace quorate::consensus::raft
