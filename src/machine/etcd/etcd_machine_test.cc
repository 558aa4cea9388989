// The rules of the etcd contract, one by one, and what must survive a crash.
#include <gtest/gtest.h>

#include "consensus/members.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::machine::etcd {
namespace {

const std::string kAll("\0", 1);

class EtcdMachineTest : public ::testing::Test, public MachineFixture {
 protected:
  static RequestOp put_op(std::string_view key, std::string_view value) {
    PutRequest put;
    put.key = key;
    put.value = value;
    return {put};
  }
  static RequestOp range_op(std::string_view key, int64_t revision = 0) {
    RangeRequest range;
    range.key = key;
    range.revision = revision;
    return {range};
  }
  static RequestOp delete_op(std::string_view key, std::string_view end = {}) {
    DeleteRangeRequest request;
    request.key = key;
    request.range_end = end;
    return {request};
  }
  static Compare compare(std::string_view key, Compare::Target target, Compare::Result result,
                         int64_t number) {
    Compare made;
    made.key = key;
    made.target = static_cast<int32_t>(target);
    made.result = static_cast<int32_t>(result);
    made.number = number;
    return made;
  }
  static Compare compare_value(std::string_view key, Compare::Result result,
                               std::string_view value) {
    Compare made = compare(key, Compare::Target::value, result, 0);
    made.value = value;
    return made;
  }
  bool holds(const Compare& condition) {
    TxnRequest request;
    request.compare.push_back(condition);
    return txn(request)->succeeded;
  }
};

TEST_F(EtcdMachineTest, PutsNumberRevisionsAndVersions) {
  EXPECT_EQ(machine().revisions().current, 1);
  EXPECT_EQ(put("a", "1").revision, 2);
  EXPECT_EQ(put("a", "2").revision, 3);
  const auto got = range("a");
  ASSERT_EQ(got->kvs.size(), 1U);
  EXPECT_EQ(got->kvs[0].create_revision, 2);
  EXPECT_EQ(got->kvs[0].mod_revision, 3);
  EXPECT_EQ(got->kvs[0].version, 2);
  EXPECT_EQ(got->kvs[0].value, "2");
  EXPECT_EQ(got->count, 1);
  EXPECT_EQ(got.revision, 3);
  EXPECT_EQ(machine().key_count(), 1U);
}

TEST_F(EtcdMachineTest, PutAnswersThePreviousPairOnlyIfThereIsOne) {
  PutRequest request;
  request.key = "a";
  request.value = "1";
  request.prev_kv = true;
  EXPECT_FALSE(put(request)->prev_kv);
  request.value = "2";
  const auto second = put(request);
  ASSERT_TRUE(second->prev_kv);
  EXPECT_EQ(second->prev_kv->value, "1");
  EXPECT_EQ(second->prev_kv->mod_revision, 2);
}

TEST_F(EtcdMachineTest, IgnoreValueAndLeaseNeedTheKey) {
  PutRequest request;
  request.key = "a";
  request.ignore_value = true;
  auto refused = put(request);
  EXPECT_EQ(refused.code, Code::key_not_found);
  EXPECT_EQ(refused.revision, 1);
  put("a", "kept");
  EXPECT_EQ(put(request).code, Code::ok);
  const auto got = range("a");
  EXPECT_EQ(got->kvs.at(0).value, "kept");
  EXPECT_EQ(got->kvs.at(0).version, 2);
  request.ignore_value = false;
  request.ignore_lease = true;
  request.value = "new";
  EXPECT_EQ(put(request).code, Code::ok);
  EXPECT_EQ(range("a")->kvs.at(0).value, "new");
}

TEST_F(EtcdMachineTest, AnUnknownLeaseIsRefused) {
  PutRequest request;
  request.key = "a";
  request.lease = 7;
  EXPECT_EQ(put(request).code, Code::lease_not_found);
  request.ignore_value = true;  // the lease is looked at first, as in etcd
  EXPECT_EQ(put(request).code, Code::lease_not_found);
  EXPECT_EQ(machine().revisions().current, 1);
}

TEST_F(EtcdMachineTest, DeletesAnswerInKeyOrderAndOnlyTouchWhatIsThere) {
  for (const char* key : {"c", "a", "b"}) put(key, key);
  const auto none = remove("x", "z", true);
  EXPECT_EQ(none->deleted, 0);
  EXPECT_EQ(none.revision, 4);
  const auto some = remove("a", "c", true);
  EXPECT_EQ(some->deleted, 2);
  EXPECT_EQ(some.revision, 5);
  ASSERT_EQ(some->prev_kvs.size(), 2U);
  EXPECT_EQ(some->prev_kvs[0].key, "a");
  EXPECT_EQ(some->prev_kvs[1].value, "b");
  EXPECT_TRUE(remove("c")->prev_kvs.empty());
  EXPECT_EQ(remove("z", "a")->deleted, 0);  // an end before the start: empty, no error
  EXPECT_EQ(machine().key_count(), 0U);
}

TEST_F(EtcdMachineTest, RangeEndsFollowTheConvention) {
  for (const char* key : {"a", "b", "c"}) put(key, key);
  EXPECT_EQ(keys_of(*range("b").message), "b ");
  EXPECT_EQ(keys_of(*range("a", "c").message), "a b ");
  EXPECT_EQ(keys_of(*range("b", kAll).message), "b c ");
  EXPECT_EQ(keys_of(*range(kAll, kAll).message), "a b c ");
  EXPECT_EQ(range("c", "a")->count, 0);
  EXPECT_EQ(range("b", "b")->count, 0);
}

TEST_F(EtcdMachineTest, RangeAtARevision) {
  put("a", "1");
  put("b", "1");
  remove("a");
  EXPECT_EQ(keys_of(*range(kAll, kAll, 3).message), "a b ");
  EXPECT_EQ(keys_of(*range(kAll, kAll, 2).message), "a ");
  EXPECT_EQ(keys_of(*range(kAll, kAll, 4).message), "b ");
  EXPECT_EQ(keys_of(*range(kAll, kAll, -3).message), "b ");
  EXPECT_EQ(range("a", {}, 2).revision, 4);  // the header is always of now
  EXPECT_EQ(range("a", {}, 5).code, Code::future_revision);
  EXPECT_EQ(compact(3).code, Code::ok);
  EXPECT_EQ(range("a", {}, 2).code, Code::compacted);
  EXPECT_EQ(keys_of(*range(kAll, kAll, 3).message), "a b ");
  EXPECT_EQ(compact(3).code, Code::compacted);
  EXPECT_EQ(compact(5).code, Code::future_revision);
  EXPECT_EQ(machine().revisions().compacted, 3);
}

TEST_F(EtcdMachineTest, LimitCountAndMore) {
  for (const char* key : {"a", "b", "c", "d"}) put(key, key);
  RangeRequest request;
  request.key = kAll;
  request.range_end = kAll;
  request.limit = 3;
  auto got = range(request);
  EXPECT_EQ(keys_of(*got.message), "a b c ");
  EXPECT_TRUE(got->more);
  EXPECT_EQ(got->count, 4);
  request.limit = 4;
  EXPECT_FALSE(range(request)->more);
  request.limit = 1;
  request.count_only = true;
  got = range(request);
  EXPECT_TRUE(got->kvs.empty());
  EXPECT_FALSE(got->more);
  EXPECT_EQ(got->count, 4);
  request.count_only = false;
  request.min_create_revision = 4;  // filters come before the limit, the count is of all
  got = range(request);
  EXPECT_EQ(keys_of(*got.message), "c ");
  EXPECT_TRUE(got->more);
  EXPECT_EQ(got->count, 4);
}

TEST_F(EtcdMachineTest, FiltersByRevision) {
  for (const char* key : {"a", "b", "c"}) put(key, key);  // 2, 3, 4
  put("a", "again");                                      // 5
  RangeRequest request;
  request.key = kAll;
  request.range_end = kAll;
  request.min_mod_revision = 4;
  EXPECT_EQ(keys_of(*range(request).message), "a c ");
  request.max_mod_revision = 4;
  EXPECT_EQ(keys_of(*range(request).message), "c ");
  request = {};
  request.key = kAll;
  request.range_end = kAll;
  request.max_create_revision = 3;
  EXPECT_EQ(keys_of(*range(request).message), "a b ");
  request.min_create_revision = 3;
  EXPECT_EQ(keys_of(*range(request).message), "b ");
}

TEST_F(EtcdMachineTest, SortsStablyByEveryTarget) {
  put("a", "2");
  put("b", "1");
  put("c", "1");
  put("b", "1");  // version 2, newest mod
  RangeRequest request;
  request.key = kAll;
  request.range_end = kAll;
  const auto sorted = [&](SortTarget target, SortOrder order) {
    request.sort_target = static_cast<int32_t>(target);
    request.sort_order = static_cast<int32_t>(order);
    return keys_of(*range(request).message);
  };
  EXPECT_EQ(sorted(SortTarget::key, SortOrder::descend), "c b a ");
  EXPECT_EQ(sorted(SortTarget::version, SortOrder::ascend), "a c b ");
  EXPECT_EQ(sorted(SortTarget::version, SortOrder::descend), "b a c ");
  EXPECT_EQ(sorted(SortTarget::create, SortOrder::descend), "c b a ");
  EXPECT_EQ(sorted(SortTarget::mod, SortOrder::ascend), "a c b ");
  EXPECT_EQ(sorted(SortTarget::value, SortOrder::ascend), "b c a ");
  EXPECT_EQ(sorted(SortTarget::value, SortOrder::none), "b c a ");  // a target alone ascends
  request.limit = 1;
  EXPECT_EQ(sorted(SortTarget::value, SortOrder::ascend), "b ");  // sorted, then cut
  request.sort_target = 9;
  EXPECT_EQ(range(request).code, Code::malformed);
}

TEST_F(EtcdMachineTest, KeysOnlyLeavesValuesOut) {
  put("a", "secret");
  RangeRequest request;
  request.key = "a";
  request.keys_only = true;
  auto got = range(request);
  EXPECT_EQ(got->kvs.at(0).value, "");
  EXPECT_EQ(got->kvs.at(0).mod_revision, 2);
  EXPECT_EQ(got->count, 1);
  request.key = "absent";
  EXPECT_EQ(range(request)->count, 0);
}

TEST_F(EtcdMachineTest, ComparesEveryTarget) {
  using Target = Compare::Target;
  using Is = Compare::Result;
  put("a", "m");  // 2
  put("a", "m");  // 3: version 2
  EXPECT_TRUE(holds(compare("a", Target::version, Is::equal, 2)));
  EXPECT_FALSE(holds(compare("a", Target::version, Is::greater, 2)));
  EXPECT_TRUE(holds(compare("a", Target::create, Is::less, 3)));
  EXPECT_TRUE(holds(compare("a", Target::mod, Is::equal, 3)));
  EXPECT_TRUE(holds(compare("a", Target::mod, Is::not_equal, 4)));
  EXPECT_TRUE(holds(compare("a", Target::lease, Is::equal, 0)));
  EXPECT_TRUE(holds(compare_value("a", Is::equal, "m")));
  EXPECT_TRUE(holds(compare_value("a", Is::greater, "b")));
  EXPECT_FALSE(holds(compare_value("a", Is::not_equal, "m")));
}

TEST_F(EtcdMachineTest, AnAbsentKeyIsZeroButHasNoValue) {
  using Target = Compare::Target;
  using Is = Compare::Result;
  EXPECT_TRUE(holds(compare("x", Target::version, Is::equal, 0)));
  EXPECT_TRUE(holds(compare("x", Target::create, Is::less, 1)));
  EXPECT_FALSE(holds(compare_value("x", Is::equal, "")));
  EXPECT_FALSE(holds(compare_value("x", Is::not_equal, "v")));
  EXPECT_FALSE(holds(compare_value("x", Is::less, "v")));
}

TEST_F(EtcdMachineTest, ARangeComparisonIsForAllItsKeys) {
  using Target = Compare::Target;
  using Is = Compare::Result;
  put("a", "1");
  put("b", "1");
  put("b", "2");
  Compare condition = compare("a", Target::version, Is::equal, 1);
  condition.range_end = "c";
  EXPECT_FALSE(holds(condition));
  condition.result = static_cast<int32_t>(Is::less);
  condition.number = 3;
  EXPECT_TRUE(holds(condition));
  condition.key = "x";
  condition.range_end = "z";  // no keys: compared as one absent key
  condition.number = 0;
  condition.result = static_cast<int32_t>(Is::equal);
  EXPECT_TRUE(holds(condition));
}

TEST_F(EtcdMachineTest, ATransactionHasOneRevisionAndReadsItsOwnWrites) {
  put("a", "old");
  TxnRequest request;
  request.success = {range_op("a"),  put_op("a", "new"), range_op("a"),
                     delete_op("b"), put_op("c", "1"),   delete_op("c")};
  const auto got = txn(request);
  EXPECT_EQ(got.revision, 3);
  EXPECT_TRUE(got->succeeded);
  ASSERT_EQ(got->responses.size(), 6U);
  const auto& before = std::get<RangeResponse>(got->responses[0].response);
  EXPECT_EQ(before.kvs.at(0).value, "old");
  EXPECT_EQ(before.header.revision, 2);
  EXPECT_EQ(std::get<PutResponse>(got->responses[1].response).header.revision, 3);
  const auto& after = std::get<RangeResponse>(got->responses[2].response);
  EXPECT_EQ(after.kvs.at(0).value, "new");
  EXPECT_EQ(after.kvs.at(0).mod_revision, 3);
  EXPECT_EQ(after.header.revision, 3);
  const auto& nothing = std::get<DeleteRangeResponse>(got->responses[3].response);
  EXPECT_EQ(nothing.deleted, 0);
  EXPECT_EQ(nothing.header.revision, 3);  // something changed earlier in the transaction
  EXPECT_EQ(std::get<DeleteRangeResponse>(got->responses[5].response).deleted, 1);
  EXPECT_EQ(keys_of(*range(kAll, kAll).message), "a ");
}

TEST_F(EtcdMachineTest, ATransactionWithoutAChangeKeepsTheRevision) {
  put("a", "1");
  TxnRequest request;
  request.compare = {compare("a", Compare::Target::version, Compare::Result::equal, 5)};
  request.success = {put_op("a", "2")};
  request.failure = {delete_op("nothing"), range_op("a")};
  const auto got = txn(request);
  EXPECT_FALSE(got->succeeded);
  EXPECT_EQ(got.revision, 2);
  EXPECT_EQ(std::get<DeleteRangeResponse>(got->responses.at(0).response).header.revision, 2);
}

TEST_F(EtcdMachineTest, NestedComparisonsSeeTheStateBefore) {
  TxnRequest inner;
  inner.compare = {compare("a", Compare::Target::version, Compare::Result::equal, 0)};
  inner.success = {put_op("b", "a was absent")};
  inner.failure = {put_op("b", "a was there")};
  TxnRequest request;
  request.success = {put_op("a", "1"), {inner}, put_op("c", "1")};
  const auto got = txn(request);
  ASSERT_EQ(got->responses.size(), 3U);
  const auto& nested = std::get<TxnResponse>(got->responses[1].response);
  EXPECT_TRUE(nested.succeeded);
  EXPECT_EQ(nested.header.revision, 0);
  EXPECT_EQ(range("b")->kvs.at(0).value, "a was absent");
  EXPECT_EQ(range("c")->kvs.at(0).mod_revision, 2);
  EXPECT_EQ(machine().revisions().current, 2);
}

TEST_F(EtcdMachineTest, ARefusedTransactionChangesNothing) {
  put("a", "1");
  put("a", "2");
  put("a", "3");
  ASSERT_EQ(compact(3).code, Code::ok);
  const uint32_t hash = machine().state_hash();
  const auto refused = [&](RequestOp operation) {
    TxnRequest request;
    request.success = {put_op("b", "1"), std::move(operation)};
    const auto got = txn(request);
    EXPECT_EQ(got.revision, 4);
    EXPECT_TRUE(got.body.empty());
    return got.code;
  };
  EXPECT_EQ(refused(range_op("a", 2)), Code::compacted);
  EXPECT_EQ(refused(range_op("a", -1)), Code::compacted);
  EXPECT_EQ(refused(range_op("a", 5)), Code::future_revision);  // its own revision as well
  PutRequest put;
  put.key = "absent";
  put.ignore_value = true;
  EXPECT_EQ(refused({put}), Code::key_not_found);
  put.ignore_value = false;
  put.lease = 9;
  EXPECT_EQ(refused({put}), Code::lease_not_found);
  TxnRequest inner;
  inner.failure = {range_op("a", 2)};  // not taken
  inner.success = {range_op("a", 1)};  // taken
  EXPECT_EQ(refused({inner}), Code::compacted);
  EXPECT_EQ(machine().state_hash(), hash);
  inner.success = {range_op("a", 3)};
  TxnRequest request;
  request.success = {{inner}};
  EXPECT_EQ(txn(request).code, Code::ok);
}

// Whatever comes first in the request: writes are looked at before ranges, and whether a key is
// there before whether a lease is. The differential test found both.
TEST_F(EtcdMachineTest, OfSeveralFaultsATransactionNamesTheOneThatEtcdNames) {
  put("a", "1");
  PutRequest on_unknown_lease;
  on_unknown_lease.key = "b";
  on_unknown_lease.lease = 9;
  TxnRequest request;
  request.success = {range_op("a", 5), {on_unknown_lease}};
  EXPECT_EQ(txn(request).code, Code::lease_not_found);
  TxnRequest inner;
  inner.success = {{on_unknown_lease}};
  request.success = {range_op("a", 5), {inner}};
  EXPECT_EQ(txn(request).code, Code::lease_not_found);
  on_unknown_lease.ignore_value = true;
  request.success = {{on_unknown_lease}};
  EXPECT_EQ(txn(request).code, Code::key_not_found);
  EXPECT_EQ(put(on_unknown_lease).code, Code::lease_not_found);  // alone, the other way round
  EXPECT_EQ(machine().revisions().current, 2);
}

// etcd lets this through its checks and ends over it, on every member and after every start.
TEST_F(EtcdMachineTest, APutThatKeepsWhatTheTransactionDeletedRefusesItWhole) {
  put("a", "1");
  put("c", "1");
  PutRequest keeps;
  keeps.key = "c";
  keeps.ignore_lease = true;
  keeps.value = "2";
  const std::string_view from_here("\0", 1);
  TxnRequest request;
  request.success = {put_op("b", "1"), delete_op("b", from_here), {keeps}};
  EXPECT_EQ(txn(request).code, Code::key_not_found);
  TxnRequest inner;
  inner.success = {delete_op("a", from_here)};
  request.success = {{inner}, {keeps}};
  EXPECT_EQ(txn(request).code, Code::key_not_found);
  EXPECT_EQ(machine().revisions().current, 3);
  request.success = {{keeps}, delete_op("d", from_here)};
  EXPECT_EQ(txn(request).code, Code::ok);
  request.success = {{keeps}, delete_op("a", from_here)};  // it is there when it is put
  EXPECT_EQ(txn(request).code, Code::ok);
  EXPECT_EQ(range("a", from_here)->count, 0);
}

TEST_F(EtcdMachineTest, ReadOnlyTransactionsAreQueries) {
  put("a", "1");
  TxnRequest request;
  request.compare = {compare("a", Compare::Target::mod, Compare::Result::equal, 2)};
  request.success = {range_op("a")};
  Reply reply;
  machine().query(make_query(QueryKind::txn, wire(request)), reply);
  ASSERT_EQ(reply.code, 0);
  EXPECT_EQ(reply.revision, 2);
  const auto response = decode_txn_response(reply.body.view());
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->succeeded);
  EXPECT_EQ(std::get<RangeResponse>(response->responses.at(0).response).count, 1);
  request.success = {put_op("a", "2")};
  machine().query(make_query(QueryKind::txn, wire(request)), reply);
  EXPECT_EQ(reply.code, static_cast<uint16_t>(Code::malformed));
  EXPECT_EQ(machine().revisions().current, 2);
}

TEST_F(EtcdMachineTest, GarbageInTheLogChangesNothing) {
  put("a", "1");
  commit();
  const uint32_t hash = machine().state_hash();
  const std::string nul_put("\x0a\x00", 2);
  for (const std::string& bytes :
       {std::string(), std::string("\x01"), std::string("\x02\x01\x0a\x01k"),
        std::string("\x01\x09zzz"), std::string("\x01\x0azzz"), std::string("\x01\x01\x0a\x05k"),
        std::string("\x01\x03\xff"), std::string("\x01\x05x"), "\x01\x01" + nul_put,
        "\x01\x02" + nul_put}) {
    Reply reply;
    machine().apply_command(machine().applied().next(), 1, Bytes(std::string_view(bytes)), &reply);
    EXPECT_EQ(reply.code, static_cast<uint16_t>(Code::malformed));
    EXPECT_EQ(reply.revision, 2);
  }
  Reply reply;
  machine().query(Bytes(std::string_view("\x08")), reply);
  EXPECT_EQ(reply.code, static_cast<uint16_t>(Code::malformed));
  EXPECT_EQ(machine().state_hash(), hash);
  EXPECT_EQ(machine().applied(), Index{11});
  // A put that an earlier deletion of the same transaction robbed of its key: the front refuses
  // this; if it is in the log, every member does the same.
  PutRequest keep;
  keep.key = "a";
  keep.ignore_value = true;
  TxnRequest request;
  request.success = {delete_op("a"), {keep}};
  EXPECT_EQ(txn(request).code, Code::ok);
  EXPECT_EQ(range("a")->count, 0);
}

TEST_F(EtcdMachineTest, EffectsDoNotDependOnWhoWaits) {
  MachineFixture other;
  TxnRequest request;
  request.success = {put_op("a", "1"), range_op("a"), delete_op("a"), put_op("b", "2")};
  txn(request);
  remove("b");
  other.machine().apply_command(Index{1}, 1, make_command(CommandKind::txn, wire(request)),
                                nullptr);
  other.machine().apply_command(
      Index{2}, 1, make_command(CommandKind::delete_range, wire(DeleteRangeRequest{"b", {}, true})),
      nullptr);
  EXPECT_EQ(machine().state_hash(), other.machine().state_hash());
  EXPECT_EQ(other.machine().revisions().current, 3);
}

TEST_F(EtcdMachineTest, MemberAttributesAreKept) {
  const MemberAttributes one{1, "one", {"http://a:1", "http://b:2"}};
  const MemberAttributes two{~0ULL, "two", {}};
  EXPECT_EQ(apply(CommandKind::member_attributes, encode_member_attributes(two)).code, 0);
  EXPECT_EQ(apply(CommandKind::member_attributes, encode_member_attributes(one)).code, 0);
  commit();
  machine().start_flush();
  open();
  Reply reply;
  machine().query(make_query(QueryKind::member_attributes, {}), reply);
  const auto members = decode_member_attributes_list(reply.body.view());
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[0].name, "one");
  EXPECT_EQ(members[0].client_urls, one.client_urls);
  EXPECT_EQ(members[1].id, two.id);
  EXPECT_EQ(reply.revision, 1);
}

TEST_F(EtcdMachineTest, AttributesGoWithTheirMember) {
  for (uint64_t id = 1; id <= 3; ++id) {
    apply(CommandKind::member_attributes, encode_member_attributes({id, "n", {}}));
  }
  consensus::Members members;
  members.voters.push_back({NodeId{1}, 0, {}});
  members.outgoing.push_back({NodeId{2}, 0, {}});
  machine().apply_members(machine().applied().next(), 1, consensus::encode_members(members));
  commit();
  machine().start_flush();
  open();
  Reply reply;
  machine().query(make_query(QueryKind::member_attributes, {}), reply);
  const auto left = decode_member_attributes_list(reply.body.view());
  ASSERT_EQ(left.size(), 2U);
  EXPECT_EQ(left[0].id, 1U);
  EXPECT_EQ(left[1].id, 2U) << "still needed";
}

TEST_F(EtcdMachineTest, ReadsSeeTheBatchThatIsNotWrittenYet) {
  put("a", std::string(100'000, 'x'));  // too large for the index
  put("a", "2");
  EXPECT_EQ(range("a", {}, 2)->kvs.at(0).value.size(), 100'000U);
  commit();
  EXPECT_EQ(range("a", {}, 2)->kvs.at(0).value.size(), 100'000U);
}

TEST_F(EtcdMachineTest, ThePositionIsDurableOnlyWithItsEffects) {
  put("a", "1");
  machine().apply_members(Index{2}, 4, Bytes(std::string_view("members")));
  EXPECT_EQ(machine().durable_position().index, Index{0});
  commit();
  EXPECT_EQ(machine().durable_position().index, Index{0});
  machine().start_flush();
  EXPECT_EQ(machine().durable_position().index, Index{2});
  EXPECT_EQ(machine().durable_position().round, 4U);
  EXPECT_EQ(machine().durable_position().members.view(), "members");
  machine().apply_noop(Index{3}, 5);
  commit();
  open();  // a crash
  EXPECT_EQ(machine().applied(), Index{2});
  EXPECT_EQ(range("a")->count, 1);
}

TEST_F(EtcdMachineTest, ACheckpointReportsWhatItHolds) {
  put("a", "1");
  machine().apply_members(Index{2}, 3, Bytes(std::string_view("members")));
  commit();
  put("a", "2");  // not written yet
  const auto position = machine().checkpoint("/checkpoint");
  ASSERT_TRUE(position) << position.error().text;
  EXPECT_EQ(position->index, Index{2});
  EXPECT_EQ(position->round, 3U);
  EXPECT_EQ(position->members.view(), "members");
  EXPECT_FALSE(machine().checkpoint("/checkpoint"));
  auto copy = open_etcd_machine(std::move(*storage::open_memory_store(disk(), "/checkpoint")));
  ASSERT_TRUE(copy);
  EXPECT_EQ((*copy)->applied(), Index{2});
  EXPECT_EQ((*copy)->revisions().current, 2);
}

TEST_F(EtcdMachineTest, WhatItTookShrinksWhenItIsDefragmented) {
  const SpaceUse empty = machine().space();
  EXPECT_EQ(empty.taken, empty.in_use);
  for (int i = 0; i < 10; ++i) put("a", std::string(1000, 'v'));
  commit();
  const SpaceUse full = machine().space();
  EXPECT_GT(full.in_use, 10'000U);
  EXPECT_LT(full.in_use, 11'000U);
  EXPECT_EQ(full.taken, full.in_use);
  const int64_t newest = machine().revisions().current;
  EXPECT_FALSE(machine().has_chores());
  compact(newest);
  EXPECT_TRUE(machine().has_chores());
  commit();
  EXPECT_FALSE(machine().has_chores());
  const SpaceUse compacted = machine().space();
  EXPECT_EQ(compacted.taken, full.taken);
  EXPECT_LT(compacted.in_use, 1'200U);
  ASSERT_TRUE(machine().defragment());
  machine().on_defragmented();
  EXPECT_EQ(machine().space().taken, compacted.in_use);
  EXPECT_EQ(machine().space().in_use, compacted.in_use);
  apply(CommandKind::lease_grant, wire(LeaseGrantRequest{5, 60}));
  commit();
  EXPECT_EQ(machine().space().in_use, compacted.in_use + 64);
  EXPECT_EQ(machine().activity().store.puts, 10U);
  EXPECT_EQ(machine().activity().leases_granted, 1U);
}

using EtcdMachineDeathTest = EtcdMachineTest;

TEST_F(EtcdMachineDeathTest, AnEntryIsNeverAppliedTwice) {
  put("a", "1");
  EXPECT_DEATH(machine().apply_noop(Index{1}, 1), "each once");
  EXPECT_DEATH(machine().apply_noop(Index{3}, 1), "in order");
}

TEST_F(EtcdMachineTest, AStoreOfANewerFormatIsRefused) {
  put("a", "1");
  commit();
  machine().start_flush();
  auto rows = std::move(*storage::open_memory_store(disk(), "/store"));
  storage::WriteBatch batch;
  batch.put("mposition", std::string("\x09", 1));
  ASSERT_TRUE(rows->write(batch));
  const auto opened = open_etcd_machine(std::move(rows));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().text.find("newer version"), std::string::npos);
}

}  // namespace
}  // namespace quorate::machine::etcd
