// Each planted bug of this room must be noticed by what the other tests check. Compiled with the
// bugs in (docs/decisions/0003); without one active, every check here holds.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "base/mutant_report.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate {
Mutant active_mutant = Mutant::none;
}

namespace quorate::machine::etcd {
namespace {

// Each returns whether the rule held.
bool revision_survives_compaction() {
  MachineFixture fixture;
  constexpr int kKeys = 3000;  // more than one run's share of a compaction
  for (int i = 0; i < kKeys; ++i) fixture.put("k" + std::to_string(i), "1");
  fixture.compact(kKeys / 2);
  fixture.commit();
  fixture.machine().start_flush();
  const int64_t before = fixture.machine().revisions().current;
  fixture.open();
  return fixture.machine().revisions().current == before;
}

size_t row_count(MachineFixture& fixture) {
  fixture.machine().start_flush();
  const auto rows = storage::open_memory_store(fixture.disk(), "/store");
  size_t count = 0;
  EXPECT_TRUE((*rows)->scan("k", "l", [&](std::string_view, std::string_view) {
    ++count;
    return true;
  }));
  return count;
}

bool deletion_at_the_revision_is_kept() {
  MachineFixture fixture;
  fixture.put("a", "1");
  fixture.remove("a");
  fixture.compact(3);
  fixture.commit();
  return row_count(fixture) == 1;
}

bool compacted_is_the_same_at_any_progress() {
  MachineFixture slow;
  MachineFixture fast;
  for (MachineFixture* member : {&slow, &fast}) {
    member->put("a", "1");
    member->put("a", "2");
    member->compact(3);
  }
  fast.commit();
  return slow.range("a", {}, 2).code == fast.range("a", {}, 2).code;
}

bool transaction_has_one_revision() {
  MachineFixture fixture;
  TxnRequest request;
  PutRequest first;
  first.key = "a";
  PutRequest second;
  second.key = "b";
  request.success = {{first}, {second}};
  return fixture.txn(request).revision == 2 &&
         fixture.range("a")->kvs.at(0).mod_revision == fixture.range("b")->kvs.at(0).mod_revision;
}

bool hash_does_not_depend_on_progress() {
  MachineFixture fixture;
  fixture.put("a", "1");
  fixture.put("a", "2");
  fixture.compact(3);
  const uint32_t before = fixture.machine().state_hash();
  fixture.commit();
  return fixture.machine().state_hash() == before;
}

PutRequest put_on(std::string_view key, int64_t lease) {
  PutRequest request;
  request.key = key;
  request.lease = lease;
  return request;
}

// The live keys after lease 7 was revoked; "a" is on it, "b" was.
std::string left_after_revoke(bool restarts) {
  MachineFixture fixture;
  fixture.apply(CommandKind::lease_grant, MachineFixture::wire(LeaseGrantRequest{60, 7}));
  fixture.put(put_on("a", 7));
  fixture.put(put_on("b", 7));
  fixture.put("b", "elsewhere");
  if (restarts) {
    fixture.commit();
    fixture.machine().start_flush();
    fixture.open();
  }
  fixture.apply(CommandKind::lease_revoke, MachineFixture::wire(LeaseRevokeRequest{7, 0}));
  return keys_of(*fixture.range("a", "z").message);
}

bool a_lease_takes_its_keys_along() { return left_after_revoke(false) == "b "; }
bool leases_keep_their_keys_over_restarts() { return left_after_revoke(true) == "b "; }

struct Row {
  Mutant mutant;
  bool (*holds)();
};
constexpr Row kRows[] = {
    {Mutant::V01, revision_survives_compaction},
    {Mutant::V02, deletion_at_the_revision_is_kept},
    {Mutant::V03, compacted_is_the_same_at_any_progress},
    {Mutant::V09, transaction_has_one_revision},
    {Mutant::V10, hash_does_not_depend_on_progress},
    {Mutant::V11, a_lease_takes_its_keys_along},
    {Mutant::V12, a_lease_takes_its_keys_along},
    {Mutant::V13, leases_keep_their_keys_over_restarts},
};

TEST(EtcdMutants, EachIsNoticedAndNothingElseIs) {
  for (const Row& row : kRows) {
    active_mutant = Mutant::none;
    const bool honest = row.holds();
    active_mutant = row.mutant;
    const bool broken = row.holds();
    active_mutant = Mutant::none;
    EXPECT_TRUE(honest) << name_of(row.mutant);
    EXPECT_FALSE(broken) << name_of(row.mutant);
    report_mutant(row.mutant, honest && !broken);
  }
}

}  // namespace
}  // namespace quorate::machine::etcd
