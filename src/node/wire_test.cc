#include "node/wire.h"

#include <gtest/gtest.h>

#include "base/codec.h"
#include "base/rng.h"
#include "consensus/entry_codec.h"
#include "node/identity.h"
#include "node/limits.h"
#include "node/member_about.h"

namespace quorate::node {
namespace {

constexpr GroupId kGroup{3};

template <class Body>
Body round_trip(const Body& body) {
  const std::optional<Frame> frame = decode_frame(encode(kGroup, body));
  EXPECT_TRUE(frame.has_value());
  EXPECT_EQ(frame->group, kGroup);
  return std::get<Body>(frame->body);
}

Bytes some_members() {
  consensus::Members members;
  members.voters.push_back({NodeId{1}, 0, {}});
  return consensus::encode_members(members);
}

consensus::Message sample_message() {
  consensus::Message message;
  message.from = NodeId{11};
  message.to = NodeId{12};
  message.urgent = true;
  message.head = Bytes("head");
  message.entries.push_back(
      {Index{5}, {2, NodeId{}}, consensus::EntryKind::command, {NodeId{11}, 77}, Bytes("value")});
  message.entries.push_back({Index{6}, {2, NodeId{}}, consensus::EntryKind::noop, {}, {}});
  return message;
}

std::vector<Bytes> all_frames() {
  SnapshotHeader header{4, {Index{9}, {3, NodeId{}}, some_members()}, {{"a", 10, 5}, {"b", 0, 0}}};
  return {encode(kGroup, Hello{17, LifeState::virgin}),
          encode(kGroup, sample_message()),
          encode(kGroup, Forward{5, {NodeId{1}, 2}, Bytes("command")}),
          encode(kGroup, Forward{5, {NodeId{1}, 2}, Bytes("change"), true}),
          encode(kGroup, ForwardRefused{5, {NodeId{1}, 2}, ForwardRefusal::busy}),
          encode(kGroup, ReadAsk{ReadId{8}}),
          encode(kGroup, ReadAnswer{ReadId{8}, Index{99}}),
          encode(kGroup, LeaseAsk{{{1, -7, LeaseWish::look}, {2, 8, LeaseWish::renew}}}),
          encode(kGroup, LeaseAnswer{Index{5}, {{1, LeaseState::alive, 60, 59}}}),
          encode(kGroup, header),
          encode(kGroup, SnapshotChunk{4, 1, 128, Bytes("data")}),
          encode(kGroup, SnapshotEnd{4}),
          encode(kGroup, SnapshotProgress{4, 17, SnapshotState::whole})};
}

TEST(WireTest, EveryKindComesBackAsItWas) {
  EXPECT_EQ(round_trip(Hello{17, LifeState::formed}).incarnation, 17U);
  EXPECT_EQ(round_trip(Hello{17, LifeState::formed}).state, LifeState::formed);
  EXPECT_EQ(round_trip(Hello{17, LifeState::formed}).protocol, "raft");
  EXPECT_EQ(round_trip(Hello{17, LifeState::formed, "other"}).protocol, "other");
  const Forward forward = round_trip(Forward{5, {NodeId{1}, 2}, Bytes("command")});
  EXPECT_EQ(forward.round, 5U);
  EXPECT_EQ(forward.id, (ProposalId{NodeId{1}, 2}));
  EXPECT_EQ(forward.command.str(), "command");
  const ForwardRefused refused =
      round_trip(ForwardRefused{6, {NodeId{1}, 2}, ForwardRefusal::later});
  EXPECT_EQ(refused.why, ForwardRefusal::later);
  EXPECT_EQ(round_trip(ReadAnswer{ReadId{8}, Index{99}}).index, Index{99});
  EXPECT_EQ(round_trip(ReadAnswer{ReadId{8}, std::nullopt}).index, std::nullopt);
  const LeaseAsk ask = round_trip(LeaseAsk{{{1, -7, LeaseWish::look}, {2, 8, LeaseWish::renew}}});
  ASSERT_EQ(ask.asks.size(), 2U);
  EXPECT_EQ(ask.asks[0].lease, -7);
  EXPECT_EQ(ask.asks[0].wish, LeaseWish::look);
  EXPECT_EQ(ask.asks[1].id, 2U);
  const LeaseAnswer lease = round_trip(LeaseAnswer{Index{5}, {{9, LeaseState::later, 60, -1}}});
  EXPECT_EQ(lease.applied, Index{5});
  ASSERT_EQ(lease.answers.size(), 1U);
  EXPECT_EQ(lease.answers[0].id, 9U);
  EXPECT_EQ(lease.answers[0].state, LeaseState::later);
  EXPECT_EQ(lease.answers[0].granted_seconds, 60);
  EXPECT_EQ(lease.answers[0].left_seconds, -1);
  const SnapshotHeader header{
      4, {Index{9}, {3, NodeId{}}, some_members()}, {{"a", 10, 5}, {"b", 0, 0}}};
  EXPECT_EQ(round_trip(header).meta, header.meta);
  EXPECT_EQ(round_trip(header).files, header.files);
  EXPECT_EQ(round_trip(SnapshotChunk{4, 1, 128, Bytes("data")}).data.str(), "data");
  EXPECT_EQ(round_trip(SnapshotProgress{4, 17, SnapshotState::refused}).state,
            SnapshotState::refused);
}

TEST(WireTest, ChangesOfMembersAreKeptApartFromCommands) {
  EXPECT_FALSE(round_trip(Forward{5, {NodeId{1}, 2}, Bytes("command")}).is_change);
  const Forward change = round_trip(Forward{5, {NodeId{1}, 2}, Bytes("change"), true});
  EXPECT_TRUE(change.is_change);
  EXPECT_EQ(change.command.str(), "change");
  for (const ChangeRefusal why :
       {ChangeRefusal::member_exists, ChangeRefusal::urls_exist, ChangeRefusal::member_not_found,
        ChangeRefusal::not_learner, ChangeRefusal::too_many_learners,
        ChangeRefusal::learner_not_ready, ChangeRefusal::no_voter_left}) {
    const ForwardRefused refused =
        round_trip(ForwardRefused{6, {NodeId{1}, 2}, forward_refusal(why)});
    EXPECT_EQ(change_refusal(refused.why), why);
  }
  EXPECT_EQ(change_refusal(ForwardRefusal::too_large), std::nullopt);
}

TEST(WireTest, ConfigurationsAreWellFormedOrTheFrameIsNot) {
  consensus::Message message = sample_message();
  message.entries.push_back(
      {Index{7}, {2, NodeId{}}, consensus::EntryKind::members, {}, some_members()});
  EXPECT_TRUE(decode_frame(encode(kGroup, message)));
  message.entries.back().data = Bytes("members");
  EXPECT_FALSE(decode_frame(encode(kGroup, message)));
  const SnapshotHeader header{4, {Index{9}, {3, NodeId{}}, Bytes("members")}, {}};
  EXPECT_FALSE(decode_frame(encode(kGroup, header)));
}

TEST(WireTest, AMessageTravelsWithItsEntries) {
  const consensus::Message message = sample_message();
  const auto frame = decode_frame(encode(kGroup, message));
  ASSERT_TRUE(frame.has_value());
  const consensus::Message& decoded = std::get<ConsensusFrame>(frame->body).message;
  EXPECT_EQ(decoded.from, message.from);
  EXPECT_EQ(decoded.to, message.to);
  EXPECT_EQ(decoded.urgent, message.urgent);
  EXPECT_EQ(decoded.head, message.head);
  EXPECT_EQ(decoded.entries, message.entries);
}

TEST(WireTest, EveryTruncationAndEveryTailIsRefused) {
  for (const Bytes& frame : all_frames()) {
    ASSERT_TRUE(decode_frame(frame).has_value());
    for (size_t size = 0; size < frame.size(); ++size) {
      EXPECT_FALSE(decode_frame(frame.slice(0, size)).has_value());
    }
    EXPECT_FALSE(decode_frame(Bytes(frame.str() + "x")).has_value());
  }
}

TEST(WireTest, EntriesTakenFromAnotherFrameAreTheSameBytes) {
  consensus::Message first;
  first.from = NodeId{1};
  first.to = NodeId{2};
  first.head = Bytes("head");
  for (uint64_t index = 7; index < 10; ++index) {
    const ProposalId id{NodeId{1}, index};
    first.entries.push_back({Index{index},
                             {3, NodeId{}},
                             consensus::EntryKind::command,
                             id,
                             Bytes(std::string(index, 'x'))});
  }
  consensus::Message second = first;
  second.to = NodeId{3};
  second.head = Bytes("a longer head");
  ASSERT_TRUE(same_entries(first, second));
  const MessageFrame frame = encode_message(kGroup, first);
  EXPECT_EQ(encode_message(kGroup, second, &frame).bytes, encode(kGroup, second));
  consensus::Message other = first;
  other.entries.pop_back();
  EXPECT_FALSE(same_entries(first, other));
  other = first;
  other.entries[1].ballot.round = 4;
  EXPECT_FALSE(same_entries(first, other));
  other = first;
  other.entries[2].data = Bytes("yyyyyyyyy");
  EXPECT_FALSE(same_entries(first, other));
}

TEST(WireTest, NoiseIsDecodedOrRefusedButHarmless) {
  Rng rng(7);
  const std::vector<Bytes> frames = all_frames();
  for (int round = 0; round < 20000; ++round) {
    std::string text = frames[rng.below(frames.size())].str();
    const uint64_t changes = rng.between(1, 4);
    for (uint64_t change = 0; change < changes; ++change) {
      text[rng.below(text.size())] = static_cast<char>(rng.below(256));
    }
    const auto decoded = decode_frame(Bytes(text));
    if (!decoded) continue;
    if (const auto* header = std::get_if<SnapshotHeader>(&decoded->body)) {
      EXPECT_LE(header->files.size(), kSnapshotFilesMax);
    }
  }
}

TEST(WireTest, ClaimsBeyondTheLimitsAreRefused) {
  EXPECT_FALSE(
      decode_frame(
          encode(kGroup, SnapshotChunk{1, 0, 0, Bytes(std::string(kSnapshotChunkBytes + 1, 'x'))}))
          .has_value());
  EXPECT_FALSE(decode_frame(encode(kGroup, Forward{5, {}, Bytes("no id")})).has_value());
  EXPECT_FALSE(decode_frame(encode(GroupId{}, ReadAsk{ReadId{1}})).has_value());
  Encoder out;  // a header that announces more files than allowed
  out.u8(7);
  out.varint(1);
  out.varint(1);
  consensus::encode_snapshot_meta(out, {});
  out.varint(kSnapshotFilesMax + 1);
  EXPECT_FALSE(decode_frame(out.take()).has_value());
  Encoder many;  // an append that announces 2^60 entries
  many.u8(2);
  many.varint(1);
  many.u64(1);
  many.u64(2);
  many.u8(0);
  many.string("");
  many.varint(uint64_t{1} << 60U);
  EXPECT_FALSE(decode_frame(many.take()).has_value());
}

TEST(MemberAboutTest, ComesBackAndRefusesNoise) {
  const MemberAbout about{"alpha", {"http://a:2380", "http://b:2380"}};
  EXPECT_EQ(decode_member_about(encode_member_about(about)), about);
  const Bytes encoded = encode_member_about(about);
  for (size_t size = 0; size < encoded.size(); ++size) {
    EXPECT_EQ(decode_member_about(encoded.slice(0, size)), std::nullopt);
  }
}

TEST(HelloTest, OfRaftIsWhatVersionsWithoutAChoiceOfProtocolSay) {
  const Bytes plain = encode(kGroup, Hello{17, LifeState::virgin});
  EXPECT_EQ(encode(kGroup, Hello{17, LifeState::virgin, "raft"}), plain);
  EXPECT_GT(encode(kGroup, Hello{17, LifeState::virgin, "other"}).size(), plain.size());
  EXPECT_FALSE(decode_frame(encode(kGroup, Hello{17, LifeState::virgin, std::string(65, 'x')})));
}

TEST(IdentityTest, KeepsTheProtocolAndReadsDirectoriesWithoutOne) {
  Identity identity{1, NodeId{2}, 3, true, 4, Index{5}, "n1", "token"};
  const Bytes older = encode_identity(identity);
  identity.protocol = "other";
  const Bytes newer = encode_identity(identity);
  EXPECT_EQ(decode_identity(older)->protocol, "raft");
  EXPECT_EQ(decode_identity(newer)->protocol, "other");
  EXPECT_EQ(older.view()[8], 2) << "what older versions read";
  EXPECT_EQ(newer.view()[8], 3) << "what they refuse";
}

TEST(IdentityTest, ComesBackAndEveryFlippedBitIsSeen) {
  const Identity identity{1, NodeId{2}, 3, true, 4, Index{5}, "n1", "token"};
  const Bytes encoded = encode_identity(identity);
  EXPECT_EQ(decode_identity(encoded), identity);
  for (size_t bit = 0; bit < encoded.size() * 8; ++bit) {
    std::string text = encoded.str();
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(decode_identity(Bytes(text)), std::nullopt) << bit;
  }
}

}  // namespace
}  // namespace quorate::node
