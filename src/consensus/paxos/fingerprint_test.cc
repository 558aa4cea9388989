// Each field that the headers of this core declare is hashed in fingerprint.cc or stands, with its
// reason, in the list at its head; members that differ in their names alone have one fingerprint.
#include "consensus/fingerprint.h"

#include <gtest/gtest.h>

#include "consensus/paxos/wire.h"
#include "consensus/test_cluster.h"
#include "consensus/test_fields.h"

namespace quorate::consensus::paxos {
namespace {

using testing::content;
using testing::declared;
using testing::expect_named;
using testing::fingerprint_of;

TEST(PaxosFingerprint, NamesEachField) {
  const std::string header = content("paxos/replica.h");
  const std::string code = content("paxos/fingerprint.cc") + content("paxos/slots.cc");
  struct Part {
    std::vector<std::string> names;
    size_t at_least;
  };
  const std::string slots = content("paxos/slots.h");
  const std::string progress = content("paxos/progress.h");
  const std::vector<Part> parts{
      {declared(header, "const NodeId self_", "\n};", "\\w+_"), 60},
      {declared(header, "struct Promiser {", "};", "\\w+"), 6},
      {declared(header, "struct Repair {", "\n  };", "\\w+"), 8},
      {declared(progress, "struct Progress {", "\n};", "\\w+"), 20},
      {declared(slots, " private:", "\n};", "\\w+_"), 6},
  };
  for (const Part& part : parts) {
    EXPECT_GE(part.names.size(), part.at_least) << part.names.front();
    expect_named(part.names, code, "paxos/fingerprint.cc");
  }
}

TEST(PaxosFingerprint, TimeAloneChangesNothingAndASlotDoes) {
  testing::TestOptions options;
  options.protocol = Protocol::multi_paxos;
  testing::TestCluster cluster(options);
  cluster.make_leader(1);
  const Renaming same;
  cluster.advance(cluster.heartbeat_interval());
  const auto before = fingerprint_of(cluster.replica(2), same, cluster.now());
  const auto copy = cluster.replica(2).clone();
  EXPECT_EQ(fingerprint_of(*copy, same, cluster.now()), before);
  cluster.advance(cluster.heartbeat_interval());
  EXPECT_EQ(fingerprint_of(cluster.replica(2), same, cluster.now()), before);
  cluster.propose(1, "x");
  cluster.settle();
  EXPECT_NE(fingerprint_of(cluster.replica(2), same, cluster.now()), before);
  EXPECT_NE(fingerprint_of(*copy, same, cluster.now()), before) << "it is nearer to its deadline";
}

TEST(PaxosFingerprint, WhatADiskLostIsAnotherState) {
  testing::TestOptions options;
  options.protocol = Protocol::multi_paxos;
  testing::TestCluster cluster(options);
  const uint64_t leader = cluster.elect();
  cluster.propose(leader, "x");
  cluster.settle();
  const uint64_t hurt = leader % 3 + 1;
  const auto restarted = [&] {
    cluster.restart(hurt);
    return fingerprint_of(cluster.replica(hurt), Renaming{}, cluster.now());
  };
  cluster.isolate(hurt);
  cluster.crash(hurt);
  const auto whole = restarted();
  cluster.rot(hurt, cluster.status(leader).last.value);
  EXPECT_NE(restarted(), whole);
}

TEST(PaxosFingerprint, MirrorImagesAreEqualUnderExchangedNames) {
  const Members founders{{{NodeId{1}, 0, {}}, {NodeId{2}, 0, {}}, {NodeId{3}, 0, {}}}, {}, {}};
  const auto asked_by_first = [&](uint64_t self) {
    Config config;
    config.self = NodeId{self};
    Recovered recovered;
    recovered.snapshot.members = encode_members(founders);
    auto replica =
        make_replica(Protocol::multi_paxos, config, std::move(recovered), Time{}, Rng::least());
    Message request;
    request.from = NodeId{1};
    request.to = NodeId{self};
    request.head = encode_head({{2, NodeId{1}}, 0, false, Prepare{false, Index{1}}});
    replica->step(Time{}, Receive{request});
    EXPECT_FALSE(replica->take_ready().messages.empty()) << "it promises";
    return replica;
  };
  const uint8_t exchanged[] = {1, 3, 2};
  const Renaming same;
  const Renaming mirror(exchanged);
  const auto second = asked_by_first(2);
  const auto third = asked_by_first(3);
  EXPECT_EQ(fingerprint_of(*second, same), fingerprint_of(*third, mirror));
  EXPECT_NE(fingerprint_of(*second, same), fingerprint_of(*third, same));
}

}  // namespace
}  // namespace quorate::consensus::paxos
