// Random schedules of this core (consensus/test_chaos.h).
#include <gtest/gtest.h>

#include "consensus/test_chaos.h"

namespace quorate::consensus::paxos {
namespace {

void play(testing::ChaosChoices choices, uint64_t seeds) {
  choices.protocol = Protocol::multi_paxos;
  testing::play_chaos(choices, seeds);
}

TEST(PaxosChaos, ThreeVoters) { play({.voters = 3}, 150); }
TEST(PaxosChaos, FiveVoters) { play({.voters = 5}, 60); }
TEST(PaxosChaos, WithoutPreVote) { play({.voters = 3, .pre_vote = false}, 60); }
TEST(PaxosChaos, WithLeases) { play({.voters = 3, .leases = true}, 40); }
TEST(PaxosChaos, MembersThatLoseTheirData) { play({.voters = 3, .wipes = true}, 150); }
TEST(PaxosChaos, FiveWithLostData) { play({.voters = 5, .wipes = true}, 60); }
TEST(PaxosChaos, DisksThatRot) { play({.voters = 3, .rots = true}, 100); }
TEST(PaxosChaos, MembersComeAndGo) { play({.voters = 3, .changes = true}, 100); }

}  // namespace
}  // namespace quorate::consensus::paxos
