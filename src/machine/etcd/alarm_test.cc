// Alarms: what they refuse, and that they are state like any other.
#include <gtest/gtest.h>

#include "machine/etcd/alarms.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::machine::etcd {
namespace {

class AlarmTest : public testing::Test, public MachineFixture {
 protected:
  std::vector<Alarm> ask(AlarmAction action, uint64_t member, AlarmKind kind) {
    const Reply reply = apply(CommandKind::alarm, wire(AlarmRequest{action, member, kind}));
    EXPECT_EQ(reply.code, 0);
    return decode_alarms(reply.body.view());
  }
  std::vector<Alarm> queried(AlarmKind kind = AlarmKind::none) {
    Reply reply;
    machine().query(make_query(QueryKind::alarms, wire(AlarmRequest{AlarmAction::get, 0, kind})),
                    reply);
    return decode_alarms(reply.body.view());
  }
  Code lease_grant(int64_t id) {
    return code_of(apply(CommandKind::lease_grant, wire(LeaseGrantRequest{60, id})));
  }
  Code lease_revoke(int64_t id) {
    return code_of(apply(CommandKind::lease_revoke, wire(LeaseRevokeRequest{id, 0})));
  }
  static Code code_of(const Reply& reply) { return static_cast<Code>(reply.code); }
  static TxnRequest txn_with_put(bool nested, bool in_failure) {
    PutRequest put;
    put.key = "t";
    TxnRequest inner;
    (in_failure ? inner.failure : inner.success).push_back({put});
    if (!nested) return inner;
    TxnRequest outer;
    outer.success.push_back({inner});
    return outer;
  }
};

const Alarm kFull{AlarmKind::no_space, 5};
const Alarm kBad{AlarmKind::corrupt, 5};

TEST_F(AlarmTest, RaisedListedAndCleared) {
  EXPECT_TRUE(ask(AlarmAction::get, 0, AlarmKind::none).empty());
  EXPECT_EQ(ask(AlarmAction::activate, 5, AlarmKind::no_space), std::vector{kFull});
  EXPECT_EQ(ask(AlarmAction::activate, 5, AlarmKind::no_space), std::vector{kFull}) << "again";
  EXPECT_EQ(ask(AlarmAction::activate, 5, AlarmKind::corrupt), std::vector{kBad});
  EXPECT_EQ(ask(AlarmAction::get, 0, AlarmKind::none), (std::vector{kFull, kBad}));
  EXPECT_EQ(ask(AlarmAction::get, 0, AlarmKind::corrupt), std::vector{kBad});
  EXPECT_EQ(queried(), (std::vector{kFull, kBad}));
  EXPECT_EQ(queried(AlarmKind::no_space), std::vector{kFull});
  EXPECT_TRUE(ask(AlarmAction::deactivate, 6, AlarmKind::no_space).empty()) << "another member";
  EXPECT_EQ(ask(AlarmAction::deactivate, 5, AlarmKind::no_space), std::vector{kFull});
  EXPECT_TRUE(ask(AlarmAction::deactivate, 5, AlarmKind::no_space).empty()) << "gone";
  EXPECT_EQ(queried(), std::vector{kBad});
}

TEST_F(AlarmTest, NoKindIsNoAlarm) {
  EXPECT_TRUE(ask(AlarmAction::activate, 5, AlarmKind::none).empty());
  EXPECT_TRUE(queried().empty());
  EXPECT_EQ(put("a", "1").code, Code::ok);
}

TEST_F(AlarmTest, WithoutSpaceWhatTakesSpaceIsRefused) {
  put("a", "1");
  put("a", "2");
  EXPECT_EQ(lease_grant(7), Code::ok);
  ask(AlarmAction::activate, 5, AlarmKind::no_space);
  EXPECT_EQ(put("b", "1").code, Code::no_space);
  EXPECT_EQ(lease_grant(8), Code::no_space);
  for (const bool nested : {false, true}) {
    for (const bool in_failure : {false, true}) {
      EXPECT_EQ(txn(txn_with_put(nested, in_failure)).code, Code::no_space);
    }
  }
  TxnRequest deletes;
  deletes.success.push_back({DeleteRangeRequest{"nothing", {}, false}});
  EXPECT_EQ(txn(deletes).code, Code::ok);
  EXPECT_EQ(machine().revisions().current, 3) << "nothing was written";
  EXPECT_EQ(compact(2).code, Code::ok);
  EXPECT_EQ(remove("a").code, Code::ok);
  EXPECT_EQ(lease_revoke(7), Code::ok);
  EXPECT_EQ(range("a").code, Code::ok);
  ask(AlarmAction::deactivate, 5, AlarmKind::no_space);
  EXPECT_EQ(put("b", "1").code, Code::ok);
}

TEST_F(AlarmTest, CorruptRefusesEveryWriteAndNoRead) {
  put("a", "1");
  lease_grant(7);
  ask(AlarmAction::activate, 5, AlarmKind::no_space);
  ask(AlarmAction::activate, 5, AlarmKind::corrupt);
  EXPECT_EQ(put("b", "1").code, Code::corrupt);
  EXPECT_EQ(remove("a").code, Code::corrupt);
  EXPECT_EQ(compact(2).code, Code::corrupt);
  EXPECT_EQ(txn(txn_with_put(false, false)).code, Code::corrupt);
  EXPECT_EQ(lease_grant(8), Code::corrupt);
  EXPECT_EQ(lease_revoke(7), Code::corrupt);
  EXPECT_EQ(range("a")->count, 1);
  ask(AlarmAction::deactivate, 5, AlarmKind::corrupt);
  EXPECT_EQ(put("b", "1").code, Code::no_space) << "the other alarm is still there";
}

TEST_F(AlarmTest, OutlivesTheProcess) {
  ask(AlarmAction::activate, 5, AlarmKind::no_space);
  ask(AlarmAction::activate, ~uint64_t{0}, AlarmKind::corrupt);
  ask(AlarmAction::deactivate, ~uint64_t{0}, AlarmKind::corrupt);
  commit();
  machine().start_flush();
  open();
  EXPECT_EQ(queried(), std::vector{kFull});
  EXPECT_EQ(put("b", "1").code, Code::no_space);
}

TEST_F(AlarmTest, AsManyAsFit) {
  for (uint64_t member = 1; member <= AlarmBook::kAlarmsMax; ++member) {
    ask(AlarmAction::activate, member, AlarmKind::no_space);
  }
  const auto more = wire(AlarmRequest{AlarmAction::activate, 0, AlarmKind::no_space});
  EXPECT_EQ(code_of(apply(CommandKind::alarm, more)), Code::no_space);
  EXPECT_EQ(ask(AlarmAction::activate, 5, AlarmKind::no_space), std::vector{kFull});
  EXPECT_EQ(queried().size(), AlarmBook::kAlarmsMax);
}

TEST_F(AlarmTest, UnknownActionsAndKindsAreMalformed) {
  for (const char* bytes : {"\x08\x03", "\x18\x03", "\x08\x01\x18\x07", "\x08"}) {
    EXPECT_FALSE(decode_alarm_request(bytes)) << bytes;
    EXPECT_EQ(code_of(apply(CommandKind::alarm, bytes)), Code::malformed);
  }
}

}  // namespace
}  // namespace quorate::machine::etcd
