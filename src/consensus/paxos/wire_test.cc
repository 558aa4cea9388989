// Heads come out of the wire as they went in, and no bytes from a stranger do any harm.
#include "consensus/paxos/wire.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "consensus/limits.h"
#include "consensus/test_cluster.h"

namespace quorate::consensus::paxos {
namespace {

const Ballot kBallot{12, NodeId{3}};

std::vector<Body> bodies() {
  const std::vector<LostSlot> lost{{Index{21}, {4, NodeId{1}}}, {Index{300}, {5, NodeId{2}}}};
  const std::vector<IndexRange> ranges{{Index{3}, Index{4}}, {Index{9}, Index{400}}};
  return {Ask{77},
          AskReply{true, 77},
          Prepare{true, Index{20}},
          Promise{true, true, Index{20}, Index{301}, Index{19}, Index{2}, lost},
          Accept{Index{20}, Index{5}, Index{21}},
          Accepted{Index{22}, ranges},
          Heartbeat{true, Index{20}, Index{22}, 123456},
          HeartbeatReply{123456, Index{22}, Duration{1'000'000'000}},
          TimeoutNow{},
          Stored{WriteId{99}},
          Fetch{true, false, ranges},
          Decided{Index{3}, Index{500}}};
}

std::vector<Head> heads() {
  std::vector<Head> all;
  for (Body& body : bodies()) all.push_back({kBallot, 7, all.size() % 2 == 1, std::move(body)});
  return all;
}

TEST(PaxosWire, WhatGoesInComesOut) {
  EXPECT_EQ(heads().size(), std::variant_size_v<Body>) << "one of each kind";
  for (const Head& head : heads()) {
    const Bytes encoded = encode_head(head);
    const std::optional<Head> decoded = decode_head(encoded);
    ASSERT_TRUE(decoded) << head.body.index();
    EXPECT_EQ(decoded->body.index(), head.body.index());
    EXPECT_EQ(decoded->promised, kBallot);
    EXPECT_EQ(decoded->incarnation, 7U);
    EXPECT_EQ(decoded->amnesiac, head.amnesiac);
    EXPECT_EQ(encode_head(*decoded), encoded);
  }
  const auto promise = std::get<Promise>(decode_head(encode_head(heads()[3]))->body);
  EXPECT_TRUE(promise.granted && promise.complete);
  EXPECT_EQ(promise.from, Index{20});
  EXPECT_EQ(promise.through, Index{301});
  EXPECT_EQ(promise.committed, Index{19});
  EXPECT_EQ(promise.first, Index{2});
  ASSERT_EQ(promise.lost.size(), 2U);
  EXPECT_EQ(promise.lost[1].index, Index{300});
  EXPECT_EQ(promise.lost[1].ballot, (Ballot{5, NodeId{2}}));
}

TEST(PaxosWire, NothingShorterOrLongerIsTaken) {
  for (const Head& head : heads()) {
    const Bytes encoded = encode_head(head);
    for (size_t size = 0; size < encoded.size(); ++size) {
      EXPECT_FALSE(decode_head(encoded.slice(0, size))) << head.body.index() << " cut at " << size;
    }
    EXPECT_FALSE(decode_head(Bytes(encoded.str() + "x"))) << head.body.index();
  }
}

TEST(PaxosWire, NoNumberOverflowsByCountingOn) {
  const Index huge{UINT64_MAX};
  const std::vector<Head> bad{
      {{UINT64_MAX, NodeId{1}}, 0, false, TimeoutNow{}},
      {kBallot, 0, false, Prepare{false, huge}},
      {kBallot, 0, false, Promise{true, true, Index{1}, huge, Index{1}, Index{1}, {}}},
      {kBallot, 0, false,
       Promise{true, true, Index{1}, Index{1}, Index{1}, Index{1}, {{huge, kBallot}}}},
      {kBallot, 0, false, Accepted{huge, {}}},
      {kBallot, 0, false, Fetch{false, false, {{Index{1}, huge}}}},
      {kBallot, 0, false, Decided{Index{1}, huge}},
  };
  for (const Head& head : bad) EXPECT_FALSE(decode_head(encode_head(head))) << head.body.index();
}

TEST(PaxosWire, ListsAreBoundedAndInOrder) {
  const std::vector<std::vector<IndexRange>> bad{
      {},
      {{Index{3}, Index{2}}},
      {{Index{3}, Index{4}}, {Index{4}, Index{5}}},
      {{Index{}, Index{1}}},
      std::vector<IndexRange>(kRepairRunsMax + 1, {Index{3}, Index{3}}),
  };
  for (const auto& wanted : bad) {
    EXPECT_FALSE(decode_head(encode_head({kBallot, 0, false, Fetch{false, false, wanted}})));
  }
  Promise promise{true, true, Index{1}, Index{999}, Index{1}, Index{1}, {}};
  for (uint64_t slot = 1; slot <= kRepairRunsMax; ++slot) {
    promise.lost.push_back({Index{slot}, kBallot});
  }
  EXPECT_TRUE(decode_head(encode_head({kBallot, 0, false, promise})));
  promise.lost.push_back({Index{999}, kBallot});
  EXPECT_FALSE(decode_head(encode_head({kBallot, 0, false, promise})));
}

TEST(PaxosWire, NoiseHarmsNobody) {
  testing::TestOptions options;
  options.protocol = Protocol::multi_paxos;
  testing::TestCluster cluster(options);
  cluster.propose(cluster.elect(), "kept");
  cluster.settle();
  const std::vector<Head> known = heads();
  Rng rng(1);
  for (int round = 0; round < 20'000; ++round) {
    // Half of it noise, half a good head with some bytes changed.
    std::string text(rng.below(40), '\0');
    for (char& byte : text) byte = static_cast<char>(rng.below(256));
    if (round % 2 == 0) {
      text = encode_head(known[rng.below(known.size())]).str();
      text[rng.below(text.size())] = static_cast<char>(rng.below(256));
    }
    if (decode_head(Bytes(text))) continue;  // a good one again: members may say what they like
    Message message;
    message.from = NodeId{rng.below(5)};
    const uint64_t to = rng.between(1, 3);
    message.to = NodeId{to};
    message.head = Bytes(text);
    cluster.step(to, Receive{std::move(message)});
  }
  // A letter to oneself comes from oneself, and nothing else does.
  for (const Head& head : known) {
    Message message;
    message.to = NodeId{1};
    message.from = NodeId{std::holds_alternative<Stored>(head.body) ? 2U : 1U};
    message.head = encode_head(head);
    cluster.step(1, Receive{std::move(message)});
  }
  EXPECT_EQ(cluster.texts(1), std::vector<std::string>{"kept"});
  EXPECT_NE(cluster.leader(), 0U);
}

TEST(PaxosWire, EachKindHasItsWordAndItsLine) {
  std::vector<std::string> words;
  for (const Head& head : heads()) {
    Message message;
    message.head = encode_head(head);
    words.emplace_back(kind_of(head));
    EXPECT_NE(describe_message(message).find("[12.3]"), std::string::npos) << words.back();
  }
  std::ranges::sort(words);
  EXPECT_EQ(std::ranges::adjacent_find(words), words.end());
  EXPECT_EQ(describe_message({}), "malformed");
}

}  // namespace
}  // namespace quorate::consensus::paxos
