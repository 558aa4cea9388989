// Each planted bug of this room must be noticed by what the other tests check. Compiled with the
// bugs in (docs/decisions/0003); without one active, every check here holds.
#include "base/mutant.h"

#include <gtest/gtest.h>

#include "base/mutant_rules.h"
#include "machine/etcd/auth_fixture.h"
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

// ---- Who may do what. `reader` and `writer` have rights in [b, e).

class Permissions : public AuthFixture {
 public:
  Permissions() {
    LeaseGrantRequest grant;
    grant.ttl = 100;
    grant.id = 7;
    apply(CommandKind::lease_grant, wire(grant));
    put(put_of("zz", 7));  // beyond what the writer may touch
    found();
  }
  bool denies(std::string_view user, CommandKind kind, std::string_view request) {
    return as(caller(user), kind, request) == Code::permission_denied;
  }
  bool denies_txn(std::string_view user, const TxnRequest& request) {
    return denies(user, CommandKind::txn, wire(request));
  }
};

bool who_was_somebody_before_is_asked_again() {
  Permissions state;
  Caller before = state.caller("writer");
  before.auth_revision -= 1;
  return state.as(before, CommandKind::put, put_of("b")) == Code::auth_old_revision;
}

bool what_was_taken_away_is_away() {
  Permissions state;
  if (state.as(state.caller("writer"), CommandKind::put, put_of("b")) != Code::ok) return true;
  state.names(AuthOperation::user_revoke_role, "writer", "writers");
  return state.denies("writer", CommandKind::put, MachineFixture::wire(put_of("b")));
}

bool both_branches_need_permission() {
  Permissions state;
  TxnRequest request;
  request.failure.push_back({put_of("a")});
  return state.denies_txn("writer", request);
}

bool a_comparison_needs_permission() {
  Permissions state;
  Compare compare;
  compare.key = "a";
  TxnRequest request;
  request.compare.push_back(compare);
  return state.denies_txn("reader", request);
}

bool a_nested_transaction_needs_permission() {
  Permissions state;
  TxnRequest inner;
  inner.success.push_back({put_of("a")});
  TxnRequest request;
  request.success.push_back({inner});
  return state.denies_txn("writer", request);
}

bool a_lease_is_for_those_who_may_write_its_keys() {
  Permissions state;
  return state.denies("writer", CommandKind::put, MachineFixture::wire(put_of("b", 7)));
}

bool previous_values_are_for_readers() {
  Permissions state;
  return state.denies("writer", CommandKind::put, MachineFixture::wire(put_of("b", 0, true)));
}

bool all_of_a_range_needs_permission() {
  Permissions state;
  return state.denies("writer", CommandKind::delete_range,
                      MachineFixture::wire(DeleteRangeRequest{"b", "f", false}));
}

bool a_revoke_is_for_those_who_may_write_its_keys() {
  Permissions state;
  return state.denies("writer", CommandKind::lease_revoke,
                      MachineFixture::wire(LeaseRevokeRequest{7, 0}));
}

bool users_and_roles_are_for_root() {
  Permissions state;
  return state.change(AuthOperation::disable, {}, state.caller("writer")) ==
         Code::permission_denied;
}

constexpr MutantRule kRows[] = {
    {Mutant::V01, revision_survives_compaction},
    {Mutant::V02, deletion_at_the_revision_is_kept},
    {Mutant::V03, compacted_is_the_same_at_any_progress},
    {Mutant::V09, transaction_has_one_revision},
    {Mutant::V10, hash_does_not_depend_on_progress},
    {Mutant::V11, a_lease_takes_its_keys_along},
    {Mutant::V12, a_lease_takes_its_keys_along},
    {Mutant::V13, leases_keep_their_keys_over_restarts},
    {Mutant::A01_OLD, who_was_somebody_before_is_asked_again},
    {Mutant::A02, what_was_taken_away_is_away},
    {Mutant::A03_BRANCH, both_branches_need_permission},
    {Mutant::A03_COMPARE, a_comparison_needs_permission},
    {Mutant::A03_LEASE, a_lease_is_for_those_who_may_write_its_keys},
    {Mutant::A03_NESTED, a_nested_transaction_needs_permission},
    {Mutant::A03_PREVIOUS, previous_values_are_for_readers},
    {Mutant::A06_END, all_of_a_range_needs_permission},
    {Mutant::A06_REVOKE, a_revoke_is_for_those_who_may_write_its_keys},
    {Mutant::A06_ROOT, users_and_roles_are_for_root},
};

TEST(EtcdMutants, EachIsNoticedAndNothingElseIs) { expect_each_is_noticed(kRows); }

}  // namespace
}  // namespace quorate::machine::etcd
