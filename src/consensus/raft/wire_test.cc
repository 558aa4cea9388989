// Heads survive the wire, and hostile bytes are refused without harm.
#include "consensus/raft/wire.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::raft {
namespace {

std::vector<Head> samples() {
  return {
      {3, 7, true, VoteRequest{true, false, 4, 99, Index{10}, 3}},
      {4, 7, false, VoteRequest{false, true, 4, UINT64_MAX, Index{1} + 1000, 3}},
      {4, 8, false, VoteReply{false, true, 99}},
      {5, 8, false, Append{Index{300}, 4, Index{299}}},
      {5, 8, true, AppendReply{true, Index{301}, {}, 0}},
      {5, 8, false, AppendReply{false, Index{301}, Index{200}, 3}},
      {5, 8, false, Heartbeat{true, Index{7}, 2, 1234567}},
      {5, 8, false, HeartbeatReply{1234567, Index{8}, Duration{1'000'000'000}}},
      {5, 8, false, TimeoutNow{}},
      {5, 8, false, Stored{WriteId{77}}},
      {5, 8, false, RepairRequest{true, false, {{Index{3}, Index{4}, 1}, {Index{9}, Index{9}, 2}}}},
      {5, 8, false, RepairReply{Index{3}, 1, Index{4}, Index{2}}},
  };
}

TEST(RaftWire, RoundTrip) {
  for (const Head& head : samples()) {
    const Bytes encoded = encode_head(head);
    const std::optional<Head> decoded = decode_head(encoded);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->body.index(), head.body.index());
    EXPECT_EQ(decoded->amnesiac, head.amnesiac);
    EXPECT_EQ(encode_head(*decoded), encoded);
  }
  const auto append = std::get<Append>(decode_head(encode_head(samples()[3]))->body);
  EXPECT_EQ(append.previous, Index{300});
  EXPECT_EQ(append.previous_term, 4U);
  EXPECT_EQ(append.committed, Index{299});
}

TEST(RaftWire, TruncatedOrLongerIsRefused) {
  for (const Head& head : samples()) {
    const Bytes encoded = encode_head(head);
    for (size_t size = 0; size < encoded.size(); ++size) {
      EXPECT_FALSE(decode_head(encoded.slice(0, size)));
    }
    EXPECT_FALSE(decode_head(Bytes(encoded.str() + "x")));
  }
}

TEST(RaftWire, NumbersThatWouldOverflowAreRefused) {
  Head head = samples()[3];
  head.term = UINT64_MAX;
  EXPECT_FALSE(decode_head(encode_head(head)));
  head = samples()[3];
  std::get<Append>(head.body).previous = Index{UINT64_MAX};
  EXPECT_FALSE(decode_head(encode_head(head)));
}

TEST(RaftWire, ARequestForMoreThanIsEverAskedIsRefused) {
  const Head good{5, 8, false, RepairRequest{false, false, {{Index{3}, Index{4}, 1}}}};
  ASSERT_TRUE(decode_head(encode_head(good)));
  const std::vector<std::vector<WantedRun>> bad{
      {},
      {{Index{3}, Index{2}, 1}},
      {{Index{3}, Index{1u << 20U}, 1}},
      {{Index{3}, Index{4}, 1}, {Index{4}, Index{5}, 1}},
      std::vector<WantedRun>(65, {Index{3}, Index{3}, 1}),
  };
  for (const auto& wanted : bad) {
    EXPECT_FALSE(decode_head(encode_head({5, 8, false, RepairRequest{false, false, wanted}})));
  }
}

TEST(RaftWire, NoiseHarmsNobody) {
  testing::TestCluster cluster;
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "kept");
  cluster.settle();
  Rng rng(1);
  for (int round = 0; round < 20'000; ++round) {
    std::string noise(rng.below(40), '\0');
    for (char& byte : noise) byte = static_cast<char>(rng.below(256));
    Message message;
    message.from = NodeId{rng.below(5)};
    message.to = NodeId{rng.between(1, 3)};
    message.head = Bytes(noise);
    cluster.step(message.to.value, Receive{message});
  }
  // A letter to oneself may not come from somebody else, nor anything else from oneself.
  for (const Head& head : samples()) {
    const bool letter = std::holds_alternative<Stored>(head.body);
    Message message;
    message.to = NodeId{1};
    message.from = NodeId{letter ? 2U : 1U};
    message.head = encode_head(head);
    if (!std::holds_alternative<VoteReply>(head.body)) cluster.step(1, Receive{message});
  }
  EXPECT_EQ(cluster.texts(1), std::vector<std::string>{"kept"});
}

}  // namespace
}  // namespace quorate::consensus::raft
