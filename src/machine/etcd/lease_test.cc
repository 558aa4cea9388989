// Leases in the machine: the rules one by one, and random histories against a naive model,
// through crashes, replays and snapshots.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/rng.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"
#include "storage/mvcc/naive_store.h"

namespace quorate::machine::etcd {
namespace {

using storage::mvcc::make_range;
using storage::mvcc::NaiveStore;

const std::string kAll("\0", 1);

class LeaseFixture : public MachineFixture {
 public:
  Code grant(int64_t id, int64_t ttl) {
    return static_cast<Code>(
        apply(CommandKind::lease_grant, wire(LeaseGrantRequest{ttl, id})).code);
  }
  Reply revoke(int64_t id) {
    return apply(CommandKind::lease_revoke, wire(LeaseRevokeRequest{id, 0}));
  }
  Code checkpoint(int64_t id, int64_t left) {
    LeaseCheckpointRequest request;
    request.checkpoints.push_back({id, left, 0});
    return static_cast<Code>(apply(CommandKind::lease_checkpoint, wire(request)).code);
  }
  Code put_on(std::string_view key, int64_t lease, std::string_view value = "v") {
    PutRequest request;
    request.key = key;
    request.value = value;
    request.lease = lease;
    return put(request).code;
  }
  std::string keys(int64_t lease) {
    Reply reply;
    machine().query(make_query(QueryKind::lease_keys, wire(LeaseTimeToLiveRequest{lease, true})),
                    reply);
    const auto response = decode_lease_time_to_live_response(reply.body.view());
    EXPECT_TRUE(response);
    std::string text;
    for (const std::string_view key : response->keys) text += std::string(key) + " ";
    return text;
  }
  std::vector<int64_t> leases() {
    Reply reply;
    machine().query(make_query(QueryKind::leases, {}), reply);
    const auto response = decode_lease_leases_response(reply.body.view());
    EXPECT_TRUE(response);
    return response->leases;
  }
  void restart() {
    commit();
    machine().start_flush();
    open();
  }
};

class LeaseTest : public ::testing::Test, public LeaseFixture {};

TEST_F(LeaseTest, AGrantIsAnsweredAndListedAndChangesNoRevision) {
  const Reply reply = apply(CommandKind::lease_grant, wire(LeaseGrantRequest{60, 7}));
  EXPECT_EQ(static_cast<Code>(reply.code), Code::ok);
  EXPECT_EQ(reply.revision, 1);
  const auto response = decode_lease_grant_response(reply.body.view());
  ASSERT_TRUE(response);
  EXPECT_EQ(response->id, 7);
  EXPECT_EQ(response->ttl, 60);
  EXPECT_EQ(grant(-3, 5), Code::ok);  // etcd allows any id but zero
  EXPECT_EQ(leases(), (std::vector<int64_t>{-3, 7}));
  EXPECT_EQ(machine().lease_count(), 2U);
}

TEST_F(LeaseTest, AGrantIsRefused) {
  EXPECT_EQ(grant(7, 60), Code::ok);
  EXPECT_EQ(grant(7, 90), Code::lease_exists);
  EXPECT_EQ(machine().leases()->find(7)->granted_seconds, 60);
  EXPECT_EQ(grant(8, kLeaseSecondsMax + 1), Code::lease_too_long);
  EXPECT_EQ(grant(8, kLeaseSecondsMax), Code::ok);
  EXPECT_EQ(grant(0, 60), Code::malformed);
  EXPECT_EQ(grant(9, 0), Code::malformed);
  EXPECT_EQ(leases(), (std::vector<int64_t>{7, 8}));
}

TEST_F(LeaseTest, ARevokeDeletesItsKeysInOrderAtOneRevision) {
  grant(7, 60);
  grant(8, 60);
  put_on("c", 7);
  put_on("a", 7);
  put_on("b", 7);
  put_on("other", 8);
  put("plain", "1");
  ASSERT_EQ(machine().revisions().current, 6);
  EXPECT_EQ(keys(7), "a b c ");
  const Reply reply = revoke(7);
  EXPECT_EQ(static_cast<Code>(reply.code), Code::ok);
  EXPECT_EQ(reply.revision, 7);
  EXPECT_EQ(keys_of(*range(kAll, kAll).message), "other plain ");
  commit();
  machine().start_flush();
  // The deletions lie in their rows as a watch will see them: one revision, in order.
  std::string deleted;
  const auto rows = storage::open_memory_store(disk(), "/store");
  ASSERT_TRUE((*rows)->scan("k", "l", [&](std::string_view key, std::string_view value) {
    if (key.back() == 't') deleted += std::string(storage::mvcc::decode_record(value)->key);
    return true;
  }));
  EXPECT_EQ(deleted, "abc");
  EXPECT_EQ(static_cast<Code>(revoke(7).code), Code::lease_not_found);
}

TEST_F(LeaseTest, ARevokeWithoutKeysTakesNoRevision) {
  grant(7, 60);
  put("a", "1");
  EXPECT_EQ(revoke(7).revision, 2);
  EXPECT_EQ(machine().revisions().current, 2);
  EXPECT_TRUE(leases().empty());
}

TEST_F(LeaseTest, EachPutPutsTheKeyOnItsLease) {
  grant(7, 60);
  grant(8, 60);
  EXPECT_EQ(put_on("a", 9), Code::lease_not_found);
  EXPECT_EQ(put_on("a", 7), Code::ok);
  EXPECT_EQ(range("a")->kvs[0].lease, 7);
  EXPECT_EQ(put_on("a", 8), Code::ok);  // moves
  EXPECT_EQ(keys(7), "");
  EXPECT_EQ(keys(8), "a ");
  put("a", "without");  // detaches
  EXPECT_EQ(keys(8), "");
  revoke(8);
  EXPECT_EQ(keys_of(*range("a").message), "a ");
}

TEST_F(LeaseTest, IgnoreLeaseKeepsTheKeyWhereItIs) {
  grant(7, 60);
  put_on("a", 7);
  PutRequest request;
  request.key = "a";
  request.value = "2";
  request.ignore_lease = true;
  EXPECT_EQ(put(request).code, Code::ok);
  EXPECT_EQ(keys(7), "a ");
  EXPECT_EQ(range("a")->kvs[0].lease, 7);
  PutRequest value;
  value.key = "a";
  value.ignore_value = true;  // and lease 0
  EXPECT_EQ(put(value).code, Code::ok);
  EXPECT_EQ(keys(7), "");
}

TEST_F(LeaseTest, ADeletionDetaches) {
  grant(7, 60);
  for (const char* key : {"a", "b", "c", "d"}) put_on(key, 7);
  remove("b", "d");
  EXPECT_EQ(keys(7), "a d ");
  put("b", "back");
  revoke(7);
  EXPECT_EQ(keys_of(*range(kAll, kAll).message), "b ");
}

TEST_F(LeaseTest, TransactionsAttachAndCompare) {
  grant(7, 60);
  put_on("a", 7);
  Compare compare;
  compare.key = "a";
  compare.target = static_cast<int32_t>(Compare::Target::lease);
  compare.number = 7;
  PutRequest b;
  b.key = "b";
  b.lease = 7;
  PutRequest c;
  c.key = "c";
  c.lease = 99;
  TxnRequest request;
  request.compare = {compare};
  request.success = {{b}, {DeleteRangeRequest{"a", {}, false}}};
  request.failure = {{c}};
  const auto done = txn(request);
  EXPECT_TRUE(done->succeeded);
  EXPECT_EQ(keys(7), "b ");
  // Now the comparison fails, and the other branch names a lease that is not there: nothing is
  // done.
  request.failure = {{b}, {c}};
  const auto refused = txn(request);
  EXPECT_EQ(refused.code, Code::lease_not_found);
  EXPECT_EQ(range("b")->kvs[0].version, 1);
}

TEST_F(LeaseTest, CheckpointsNeverMakeALeaseLonger) {
  grant(7, 600);
  EXPECT_EQ(machine().leases()->find(7)->left_seconds, 0);
  checkpoint(7, 250);
  EXPECT_EQ(machine().leases()->find(7)->left_seconds, 250);
  checkpoint(7, 10'000);
  EXPECT_EQ(machine().leases()->find(7)->left_seconds, 600);
  checkpoint(7, -1);
  EXPECT_EQ(machine().leases()->find(7)->left_seconds, 600);
  checkpoint(7, 0);
  EXPECT_EQ(machine().leases()->find(7)->left_seconds, 0);
  EXPECT_EQ(checkpoint(8, 5), Code::ok);  // it ended meanwhile: nothing to do
  EXPECT_EQ(leases(), (std::vector<int64_t>{7}));
}

TEST_F(LeaseTest, WhatIsOnALeaseSurvivesARestart) {
  grant(7, 600);
  grant(-8, 60);
  grant(9, 60);
  put_on("a", 7);
  put_on("b", -8);
  put_on("c", 7);
  put("c", "off");
  checkpoint(7, 100);
  revoke(9);
  restart();
  EXPECT_EQ(leases(), (std::vector<int64_t>{-8, 7}));
  EXPECT_EQ(*machine().leases()->find(7), (LeaseTerm{600, 100, 1}));
  EXPECT_EQ(keys(7), "a ");
  EXPECT_EQ(keys(-8), "b ");
  machine().check_invariants();
  revoke(7);
  EXPECT_EQ(keys_of(*range(kAll, kAll).message), "b c ");
}

TEST_F(LeaseTest, ADamagedLeaseIsNoticedAtTheStart) {
  grant(7, 60);
  commit();
  machine().start_flush();
  auto rows = std::move(*storage::open_memory_store(disk(), "/store"));
  storage::WriteBatch batch;
  ASSERT_TRUE(rows->scan("ml", "mm", [&](std::string_view key, std::string_view) {
    batch.put(key, "noise");
    return true;
  }));
  ASSERT_FALSE(batch.empty());
  ASSERT_TRUE(rows->write(batch));
  const auto machine = open_etcd_machine(std::move(rows));
  ASSERT_FALSE(machine);
  EXPECT_EQ(machine.error().kind, ErrorKind::corrupt);
}

TEST_F(LeaseTest, CommandsOfTheLeaderAreUnderstood) {
  grant(7, 600);
  const auto apply_own = [&](const Bytes& command) {
    Reply reply;
    machine().apply_command(machine().applied().next(), 1, command, &reply);
    return static_cast<Code>(reply.code);
  };
  const LeaseTable& table = *machine().leases();
  const uint64_t life = table.find(7)->life;
  EXPECT_EQ(apply_own(table.checkpoint_command({{7, life, 20}, {8, 1, 3}})), Code::ok);
  EXPECT_EQ(table.find(7)->left_seconds, 20);
  EXPECT_EQ(apply_own(table.revoke_command(7, life)), Code::ok);
  EXPECT_EQ(apply_own(table.revoke_command(7, life)), Code::lease_not_found);
  // Granted anew: what was decided about the lease of before does not touch it.
  grant(7, 600);
  EXPECT_EQ(apply_own(table.revoke_command(7, life)), Code::lease_not_found);
  EXPECT_EQ(apply_own(table.checkpoint_command({{7, life, 20}})), Code::ok);
  EXPECT_EQ(table.find(7)->left_seconds, 0);
  EXPECT_NE(table.find(7)->life, life);
}

// What the leader's clock hears, as it happens.
class Heard : public LeaseListener {
 public:
  std::string text;

 private:
  void on_lease_granted(int64_t lease, const LeaseTerm& term) override {
    text += "+" + std::to_string(lease) + ":" + std::to_string(term.granted_seconds) + " ";
  }
  void on_lease_ended(int64_t lease) override { text += "-" + std::to_string(lease) + " "; }
};

TEST_F(LeaseTest, TheListenerHearsWhatComesAndGoes) {
  Heard heard;
  machine().leases()->set_listener(&heard);
  grant(7, 60);
  grant(7, 60);
  put_on("a", 7);
  grant(8, 5);
  revoke(7);
  revoke(7);
  EXPECT_EQ(heard.text, "+7:60 +8:5 -7 ");
}

TEST_F(LeaseTest, LeasesAreVisitedInPortions) {
  for (int64_t id = -2; id <= 3; ++id) grant(id, 60);
  const LeaseTable& table = *machine().leases();
  EXPECT_EQ(table.leases_after(std::nullopt, 2), (std::vector<int64_t>{-2, -1}));
  EXPECT_EQ(table.leases_after(-1, 2), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(table.leases_after(2, 9), (std::vector<int64_t>{3}));
  EXPECT_TRUE(table.leases_after(3, 9).empty());
}

// ---- Random histories.

// The rules once more, in the simplest form: who is on a lease is looked up in the whole store.
struct NaiveLeases {
  NaiveStore store;
  std::map<int64_t, LeaseTerm> leases;

  std::string keys(int64_t lease) const {
    std::string text;
    for (const auto& record : store.range(make_range(kAll, kAll), 0)) {
      if (record.lease == lease) text += record.key + " ";
    }
    return text;
  }
  Code put(const std::string& key, const std::string& value, int64_t lease, bool ignore_lease) {
    if (lease != 0 && !leases.contains(lease)) return Code::lease_not_found;
    const auto before = store.range(make_range(key, {}), 0);
    if (ignore_lease && before.empty()) return Code::key_not_found;
    store.put(key, value, ignore_lease ? before[0].lease : lease);
    return Code::ok;
  }
  Code revoke(int64_t lease) {
    if (leases.erase(lease) == 0) return Code::lease_not_found;
    for (const auto& record : store.range(make_range(kAll, kAll), 0)) {
      if (record.lease == lease) store.remove(make_range(record.key, {}));
    }
    return Code::ok;
  }
};

class LeaseWalk {
 public:
  explicit LeaseWalk(uint64_t seed) : rng_(seed) {}
  void run(int steps) {
    for (int step = 0; step < steps && !testing::Test::HasFatalFailure(); ++step) {
      act();
      naive_.store.finish_transaction();
      compare();
      if (rng_.below(6) == 0) fixture_.commit();
      if (rng_.below(40) == 0) {
        fixture_.restart();
        ++restarts_;
      }
    }
    EXPECT_GT(restarts_, 0);
    EXPECT_GT(revoked_with_keys_, 5);
  }

 private:
  std::string key() { return "k" + std::to_string(rng_.below(10)); }
  int64_t lease() { return static_cast<int64_t>(rng_.below(7)) - 3; }

  void act() {
    switch (rng_.below(9)) {
      case 0: {
        const int64_t id = lease();
        const auto ttl = static_cast<int64_t>(rng_.below(100));
        const Code expected = id == 0 || ttl == 0          ? Code::malformed
                              : naive_.leases.contains(id) ? Code::lease_exists
                                                           : Code::ok;
        if (expected == Code::ok)
          naive_.leases[id] = {ttl, 0, fixture_.machine().applied().value + 1};
        ASSERT_EQ(fixture_.grant(id, ttl), expected);
        break;
      }
      case 1: {
        const int64_t id = lease();
        if (!naive_.keys(id).empty() && id != 0) ++revoked_with_keys_;
        const Code expected = naive_.revoke(id);
        ASSERT_EQ(static_cast<Code>(fixture_.revoke(id).code), expected);
        break;
      }
      case 2: {
        const int64_t id = lease();
        const auto left = static_cast<int64_t>(rng_.below(120)) - 10;
        const auto place = naive_.leases.find(id);
        if (place != naive_.leases.end() && left >= 0) {
          place->second.left_seconds = std::min(left, place->second.granted_seconds);
        }
        ASSERT_EQ(fixture_.checkpoint(id, left), Code::ok);
        break;
      }
      case 3: {
        const std::string first = key();
        const std::string end = rng_.below(2) == 0 ? key() : std::string();
        ASSERT_EQ(fixture_.remove(first, end)->deleted,
                  naive_.store.remove(make_range(first, end)));
        break;
      }
      case 4:
        transaction();
        break;
      default: {
        PutRequest request;
        const std::string name = key();
        request.key = name;
        request.value = "v";
        request.ignore_lease = rng_.below(5) == 0;
        request.lease = request.ignore_lease || rng_.below(3) == 0 ? 0 : lease();
        const Code expected = naive_.put(name, "v", request.lease, request.ignore_lease);
        ASSERT_EQ(fixture_.put(request).code, expected);
      }
    }
  }

  // If a key is on a lease, it moves to another one and a second key is deleted.
  void transaction() {
    const std::string first = key();
    const std::string second = key() + "x";
    const int64_t from = lease();
    const int64_t to = lease();
    Compare compare;
    compare.key = first;
    compare.target = static_cast<int32_t>(Compare::Target::lease);
    compare.number = from;
    PutRequest put;
    put.key = first;
    put.lease = to;
    PutRequest other;
    other.key = second;
    TxnRequest request;
    request.compare = {compare};
    request.success = {{put}, {DeleteRangeRequest{second, {}, false}}};
    request.failure = {{other}};
    const auto before = naive_.store.range(make_range(first, {}), 0);
    const bool holds = (before.empty() ? 0 : before[0].lease) == from;
    const auto got = fixture_.txn(request);
    if (holds && to != 0 && !naive_.leases.contains(to)) {
      ASSERT_EQ(got.code, Code::lease_not_found);
      return;
    }
    ASSERT_EQ(got.code, Code::ok);
    ASSERT_EQ(got->succeeded, holds);
    if (holds) {
      naive_.store.put(first, {}, to);
      naive_.store.remove(make_range(second, {}));
    } else {
      naive_.store.put(second, {}, 0);
    }
  }

  void compare() {
    fixture_.machine().check_invariants();
    ASSERT_EQ(fixture_.machine().revisions().current, naive_.store.current);
    std::vector<int64_t> expected;
    for (const auto& [id, term] : naive_.leases) {
      expected.push_back(id);
      ASSERT_EQ(*fixture_.machine().leases()->find(id), term);
      ASSERT_EQ(fixture_.keys(id), naive_.keys(id));
    }
    ASSERT_EQ(fixture_.leases(), expected);
    const auto live = naive_.store.range(make_range(kAll, kAll), 0);
    const auto got = fixture_.range(kAll, kAll);
    ASSERT_EQ(got->kvs.size(), live.size());
    for (size_t i = 0; i < live.size(); ++i) {
      ASSERT_EQ(got->kvs[i].key, live[i].key);
      ASSERT_EQ(got->kvs[i].lease, live[i].lease);
      ASSERT_EQ(got->kvs[i].mod_revision, live[i].mod_revision);
    }
  }

  Rng rng_;
  LeaseFixture fixture_;
  NaiveLeases naive_;
  int restarts_ = 0;
  int revoked_with_keys_ = 0;
};

TEST(LeaseHistory, AgreesWithTheNaiveModel) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    LeaseWalk(seed).run(700);
  }
}

TEST(LeaseHistory, AMemberRestoredFromACheckpointHasTheLeases) {
  LeaseFixture source;
  for (int64_t id = 1; id <= 50; ++id) source.grant(id, 10 * id);
  for (int64_t id = 1; id <= 50; ++id) {
    source.put_on("k" + std::to_string(id % 20), id);
  }
  source.checkpoint(50, 123);
  source.revoke(49);
  source.commit();
  ASSERT_TRUE(source.machine().checkpoint("/copy"));
  auto copy =
      std::move(*open_etcd_machine(std::move(*storage::open_memory_store(source.disk(), "/copy"))));
  copy->check_invariants();
  EXPECT_EQ(copy->lease_count(), 49U);
  EXPECT_EQ(*copy->leases()->find(50), (LeaseTerm{500, 123, 50}));
  for (const Bytes& query : {make_query(QueryKind::leases, {}),
                             make_query(QueryKind::lease_keys,
                                        MachineFixture::wire(LeaseTimeToLiveRequest{50, true}))}) {
    Reply left;
    Reply right;
    source.machine().query(query, left);
    copy->query(query, right);
    EXPECT_EQ(left.body, right.body);
  }
}

}  // namespace
}  // namespace quorate::machine::etcd
