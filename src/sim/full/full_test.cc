// Tests of the full profile itself: that it finds what it should, and is what it says.
#include <gtest/gtest.h>

#include <map>

#include "machine/etcd/lease_messages.h"
#include "machine/etcd/messages.h"
#include "sim/full/atlas.h"
#include "sim/full/fault.h"
#include "sim/full/run.h"
#include "sim/full/truth.h"
#include "sim/full/workload.h"
#include "storage/kv/kv_store.h"
#include "world/sim/sim_world.h"

namespace quorate::sim::full {
namespace {

using consensus::EntryKind;

RunResult run(uint64_t seed, const std::string& faults, uint64_t members = 0) {
  Options options;
  options.members = members;
  if (!faults.empty()) options.faults = parse_faults(faults).value();
  return run_seed(options, seed);
}

TEST(FullProfile, AQuietWorldLosesNothing) {
  const RunResult result = run(3, "none", 3);
  EXPECT_EQ(result.violation, "");
  EXPECT_EQ(result.crashes, 0U);
  EXPECT_EQ(result.elections, 1U);
  EXPECT_GT(result.acknowledged, 20U);
}

TEST(FullProfile, EveryFaultAtOnceIsSurvived) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    const RunResult result = run(seed, "all", seed % 2 == 0 ? 3 : 5);
    EXPECT_EQ(result.violation, "") << result.replay;
    EXPECT_GT(result.commits, 10U);
  }
}

TEST(FullProfile, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    EXPECT_EQ(run(seed, "").hash, run(seed, "").hash) << seed;
  }
  EXPECT_NE(run(1, "").hash, run(2, "").hash);
}

TEST(FullProfile, AReplayNamesWhatWasChosen) {
  const RunResult result = run(9, "crash,split", 5);
  EXPECT_EQ(result.replay,
            "quorate sim --consensus raft --profile full --seed 9 --nodes 5 --faults crash,split "
            "--trace");
}

TEST(Faults, AreNamedAddedAndTakenAway) {
  EXPECT_EQ(to_text(parse_faults("none").value()), "none");
  EXPECT_EQ(to_text(parse_faults("split,crash").value()), "crash,split");
  EXPECT_EQ(to_text(parse_faults("crash,split,-crash").value()), "split");
  const FaultSet all = parse_faults("all").value();
  for (uint64_t kind = 0; kind < kFaultKinds; ++kind) {
    const auto fault = static_cast<Fault>(kind);
    EXPECT_TRUE(all.has(fault));
    EXPECT_EQ(to_text(parse_faults(name_of(fault)).value()), name_of(fault));
  }
  EXPECT_FALSE(parse_faults("all,-wipe").value().has(Fault::wipe));
  const auto unknown = parse_faults("earthquake");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().text.find("\"earthquake\""), std::string::npos);
}

TEST(Atlas, AQuorumStaysWhole) {
  Atlas atlas(AtlasMode::availability, 3);
  EXPECT_FALSE(atlas.recoverable()) << "nobody holds anything yet";
  for (uint64_t member = 0; member < 3; ++member) atlas.set(member, Atlas::State::whole);
  EXPECT_TRUE(atlas.may_lose(0));
  atlas.set(0, Atlas::State::damaged);
  EXPECT_TRUE(atlas.recoverable());
  EXPECT_TRUE(atlas.may_lose(0)) << "it has nothing left to lose";
  EXPECT_FALSE(atlas.may_lose(1));
  atlas.set(0, Atlas::State::whole);
  EXPECT_TRUE(atlas.may_lose(1));
  EXPECT_FALSE(Atlas(AtlasMode::none, 3).may_lose(0));
}

// The model against the machine of production, over the commands that clients draw.
TEST(Model, AgreesWithTheMachine) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    Rng rng(seed);
    FullSwarm swarm;
    swarm.deletes = 200'000;
    swarm.compactions = 50'000;
    world::TraceHash trace;
    world::SimDisk disk(Rng(seed), trace);
    auto machine = machine::etcd::open_etcd_machine(
        std::move(storage::open_memory_store(disk, "/store").value()));
    ASSERT_TRUE(machine.has_value());
    Model model;
    for (uint64_t number = 1; number <= 400; ++number) {
      const Command command = draw_command(rng, swarm, model, number);
      machine::Reply reply;
      (*machine)->apply_command(Index{number}, 1, command.bytes, &reply);
      ASSERT_EQ(answer_text(command.kind, reply), model.apply(command.bytes.view(), Index{number}));
      ASSERT_TRUE((*machine)->commit_batch().has_value());
      const Bytes query = draw_query(rng, swarm, model);
      machine::Reply read;
      (*machine)->query(query, read);
      const auto request = machine::etcd::decode_range_request(query.view().substr(1));
      ASSERT_TRUE(request.has_value());
      ASSERT_EQ(range_text(read), model.read(*request, model.revision(), model.compacted()));
    }
  }
}

// Leases end, and keys with them, in both; a revoke that means another life does nothing.
TEST(Model, AgreesWithTheMachineAboutLeases) {
  world::TraceHash trace;
  world::SimDisk disk(Rng(1), trace);
  auto machine = machine::etcd::open_etcd_machine(
      std::move(storage::open_memory_store(disk, "/store").value()));
  ASSERT_TRUE(machine.has_value());
  Model model;
  Rng rng(7);
  std::map<std::string, uint64_t> heard;
  for (uint64_t number = 1; number <= 2000; ++number) {
    const auto lease = static_cast<int64_t>(1 + rng.below(3));
    const std::string key = "k" + std::to_string(rng.below(3));
    const uint64_t dice = rng.below(4);
    std::string request;
    auto kind = machine::etcd::CommandKind::put;
    if (dice == 0) {
      kind = machine::etcd::CommandKind::lease_grant;
      machine::etcd::encode(machine::etcd::LeaseGrantRequest{5, lease}, request);
    } else if (dice == 1) {
      kind = machine::etcd::CommandKind::lease_revoke;
      const uint64_t life = rng.below(2) == 0 || model.lease(lease) == nullptr
                                ? 0
                                : model.lease(lease)->life - rng.below(2);
      machine::etcd::encode(machine::etcd::LeaseRevokeRequest{lease, life}, request);
    } else {
      machine::etcd::PutRequest put;
      put.key = key;
      put.prev_kv = true;
      put.lease = dice == 2 ? lease : 0;
      machine::etcd::encode(put, request);
    }
    const Bytes command = machine::etcd::make_command(kind, request);
    machine::Reply reply;
    (*machine)->apply_command(Index{number}, 1, command, &reply);
    const std::string text = answer_text(kind, reply);
    ASSERT_EQ(text, model.apply(command.view(), Index{number}));
    ++heard[text.substr(text.find(' ') + 1, 9)];
    ASSERT_TRUE((*machine)->commit_batch().has_value());
  }
  EXPECT_GT(heard["revoked"], 50U);
  EXPECT_GT(heard["granted 1"], 20U);
}

TEST(LeaseRules, NoticeWhatEndsTooEarlyAndWhoLies) {
  const auto at = [](int64_t seconds) { return Time(std::chrono::seconds(seconds)); };
  LeaseRules rules;
  rules.on_granted(at(10), 1, 5);
  EXPECT_EQ(rules.on_seen(at(9), 1, 5), "");
  EXPECT_NE(rules.on_seen(at(9), 1, 6), "");
  EXPECT_NE(rules.on_seen(at(9), 2, 5), "");
  EXPECT_NE(rules.on_absent(at(11), 1), "") << "it was there all the time";
  EXPECT_EQ(rules.on_absent(at(10), 1), "") << "it may have been granted a moment later";
  EXPECT_EQ(rules.on_renewed(at(12), 1, 5), "");
  LeaseRules early = rules;
  EXPECT_NE(early.on_ended(at(16), 1, false), "");
  LeaseRules revoked = rules;
  EXPECT_EQ(revoked.on_ended(at(16), 1, true), "");
  EXPECT_NE(revoked.on_seen(at(17), 1, 5), "");
  EXPECT_EQ(revoked.on_absent(at(17), 1), "");
  EXPECT_EQ(rules.on_ended(at(17), 1, false), "");
  EXPECT_NE(rules.on_renewed(at(14), 1, 5), "") << "the answer to a renewal comes after the end";
  EXPECT_EQ(rules.alive(), 0U);
}

TEST(LeaseRules, TakeOffWhatClocksMayDo) {
  const auto at = [](int64_t milliseconds) {
    return Time(std::chrono::milliseconds(milliseconds));
  };
  LeaseRules rules;
  rules.set_drift(50'000);
  rules.on_granted(at(0), 1, 10);
  LeaseRules slow = rules;
  EXPECT_NE(slow.on_ended(at(9'499), 1, false), "");
  LeaseRules jumped = rules;
  jumped.on_clock_step(at(5), std::chrono::seconds(2));
  EXPECT_EQ(jumped.on_ended(at(7'500), 1, false), "");
  EXPECT_EQ(rules.on_ended(at(9'500), 1, false), "");
}

TEST(FullProfile, LeasesLiveAndEnd) {
  uint64_t expired = 0;
  uint64_t renewed = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const RunResult result = run(seed, "crash,split,transfer,pause", 3);
    EXPECT_EQ(result.violation, "") << result.replay;
    expired += result.leases_expired;
    renewed += result.leases_renewed;
  }
  EXPECT_GT(expired, 10U);
  EXPECT_GT(renewed, 30U);
}

// And watchers, through the Watch service of production, hear every change once.
TEST(FullProfile, WatchersHearWhatHappens) {
  uint64_t events = 0;
  uint64_t streams = 0;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    const RunResult result = run(seed, "crash,split,kill,stage", 3);
    EXPECT_EQ(result.violation, "") << result.replay;
    events += result.watch_events;
    streams += result.watch_streams;
  }
  EXPECT_GT(events, 1000U);
  EXPECT_GT(streams, 50U);
}

Bytes command_of(const std::string& value) {
  machine::etcd::PutRequest put;
  put.key = "k";
  put.value = value;
  std::string request;
  machine::etcd::encode(put, request);
  return machine::etcd::make_command(machine::etcd::CommandKind::put, request);
}

struct Watched {
  Watched() {
    for (const NodeId node : {NodeId{1}, NodeId{2}}) truth.on_opened(node, Index{}, 0);
  }
  void apply(uint64_t node, uint64_t index, const std::string& value, uint64_t round = 1) {
    truth.on_apply(NodeId{node}, Index{index}, round, EntryKind::command, command_of(value).view());
  }
  Truth truth;
};

TEST(Truth, NoticesWhoDiffers) {
  Watched same;
  same.apply(1, 1, "a");
  same.apply(2, 1, "a");
  EXPECT_FALSE(same.truth.broken());
  same.apply(2, 2, "b");
  same.apply(1, 2, "c");
  EXPECT_NE(same.truth.violation().find("something else as entry 2"), std::string::npos);
  Watched gap;
  gap.apply(1, 2, "a");
  EXPECT_TRUE(gap.truth.broken());
  Watched twice;
  twice.apply(1, 1, "a");
  twice.apply(1, 2, "a");
  EXPECT_NE(twice.truth.violation().find("once more"), std::string::npos);
  Watched back;
  back.apply(1, 1, "a", 3);
  back.apply(1, 2, "b", 2);
  EXPECT_TRUE(back.truth.broken());
}

TEST(Truth, NoticesBrokenPromisesInEitherOrder) {
  Watched later;
  later.truth.surely_not(hash_text(command_of("a").view()), "somebody");
  later.apply(1, 1, "a");
  EXPECT_NE(later.truth.violation().find("surely was not applied"), std::string::npos);
  Watched before;
  before.apply(1, 1, "a");
  before.truth.surely_not(hash_text(command_of("a").view()), "somebody");
  EXPECT_TRUE(before.truth.broken());
  Watched hash;
  for (uint64_t index = 1; index <= 16; ++index) hash.apply(1, index, std::to_string(index));
  hash.truth.on_batch(NodeId{1}, Index{16}, [] { return 7U; });
  hash.truth.on_batch(NodeId{2}, Index{16}, [] { return 8U; });
  EXPECT_NE(hash.truth.violation().find("state hash"), std::string::npos);
}

}  // namespace
}  // namespace quorate::sim::full
