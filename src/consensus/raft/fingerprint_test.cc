// A field that the fingerprint forgets makes the exhaustive searcher skip states it has never
// seen. So every field that the headers declare must be hashed in the room's files or stand, with
// its reason, in the list at the head of fingerprint.cc. (That the reasons are right is tested
// where states are searched: src/explore.)
#include "consensus/fingerprint.h"

#include <gtest/gtest.h>

#include "consensus/raft/replica.h"
#include "consensus/test_cluster.h"
#include "consensus/test_fields.h"

namespace quorate::consensus::raft {
namespace {

using testing::content;
using testing::declared;
using testing::expect_named;
using testing::fingerprint_of;

TEST(Fingerprint, KnowsEveryField) {
  const std::string code = content("raft/fingerprint.cc");
  const auto replica = declared(content("raft/replica.h"), "const NodeId self_", "\n};", "\\w+_");
  const auto progress = declared(content("raft/progress.h"), "struct Progress {", "\n};", "\\w+");
  const auto repair = declared(content("raft/repair.h"), "struct Repair {", "\n};", "\\w+");
  const auto tail = declared(content("log_tail.h"), " private:", "\n};", "\\w+_");
  EXPECT_GT(replica.size(), 50U);
  EXPECT_GT(progress.size(), 20U);
  EXPECT_GT(repair.size(), 15U);
  EXPECT_EQ(tail.size(), 6U);
  const auto rounds = declared(content("read_rounds.h"), "const bool leases_", "\n};", "\\w+_");
  const std::string rounds_code = content("read_rounds.cc");
  EXPECT_EQ(rounds.size(), 10U);
  expect_named(rounds, rounds_code.substr(rounds_code.find("void ReadRounds::fingerprint")),
               "read_rounds.cc");
  const std::string file = "raft/fingerprint.cc";
  expect_named(replica, code, file);
  expect_named(progress, code, file);
  expect_named(repair, code, file);
  expect_named(tail, code + content("log_tail.cc"), file);
}

TEST(Fingerprint, NoHeadNamesAMember) {
  // fingerprint_message() hashes heads as bytes, so names in them would not be exchanged.
  const std::string text = content("raft/wire.h");
  EXPECT_EQ(text.find("NodeId"), std::string::npos);
}

TEST(Fingerprint, IsBlindToTimeButNotToWhatHappened) {
  testing::TestCluster cluster;
  cluster.make_leader(1);
  const Renaming same;
  const auto print = [&] { return fingerprint_of(cluster.replica(2), same, cluster.now()); };
  cluster.advance(cluster.heartbeat_interval());
  const auto before = print();
  const auto copy = cluster.replica(2).clone();
  EXPECT_EQ(fingerprint_of(*copy, same, cluster.now()), before);
  // The next heartbeat changes nothing but the time.
  cluster.advance(cluster.heartbeat_interval());
  EXPECT_EQ(print(), before);
  cluster.propose(1, "x");
  cluster.settle();
  EXPECT_NE(print(), before);
  EXPECT_NE(fingerprint_of(*copy, same, cluster.now()), before) << "it is nearer to its deadline";
}

TEST(Fingerprint, MirrorImagesAreEqualUnderExchangedNames) {
  const Members founders{{{NodeId{1}, 0, {}}, {NodeId{2}, 0, {}}, {NodeId{3}, 0, {}}}, {}, {}};
  const auto asked_by_first = [&](uint64_t self) {
    Config config;
    config.self = NodeId{self};
    Recovered recovered;
    recovered.snapshot.members = encode_members(founders);
    auto replica = make_replica(Protocol::raft, config, std::move(recovered), Time{}, Rng(1));
    Message request;
    request.from = NodeId{1};
    request.to = NodeId{self};
    request.head = encode_head({2, 0, false, VoteRequest{false, false, 2, 9, Index{}, 0}});
    replica->step(Time{}, Receive{request});
    return replica;
  };
  const uint8_t exchanged[] = {1, 3, 2};
  const Renaming same;
  const Renaming mirror(exchanged);
  const auto second = asked_by_first(2);
  const auto third = asked_by_first(3);
  EXPECT_EQ(second->take_ready().messages.size(), 1U) << "it votes";
  EXPECT_NE(fingerprint_of(*second, same), fingerprint_of(*asked_by_first(2), same)) << "effects";
  third->take_ready();
  EXPECT_EQ(fingerprint_of(*second, same), fingerprint_of(*third, mirror));
  EXPECT_NE(fingerprint_of(*second, same), fingerprint_of(*third, same));
}

}  // namespace
}  // namespace quorate::consensus::raft
