// The rules of the Lock service, each over a socket.
#include <utility>

#include "front/etcd/test_line_rig.h"
#include "front/etcd/waiting_line.h"

namespace quorate::front::etcd {
namespace {

using machine::etcd::MachineFixture;

constexpr std::string_view kLock = "/v3lockpb.Lock/Lock";

std::string lock_bytes(std::string_view name, int64_t lease) {
  std::string wire;
  write_text(1, name, wire);
  write_number(2, static_cast<uint64_t>(lease), wire);
  return wire;
}
void unlock(LineRig& rig, std::string_view key) {
  std::string wire;
  write_text(1, key, wire);
  EXPECT_EQ(Caller(rig.port(), "/v3lockpb.Lock/Unlock", wire).answer().grpc_status(), 0);
}

TEST(Lock, is_had_at_once_when_free_and_its_key_ends_with_the_lease) {
  LineRig rig;
  rig.grant(0xabc);
  Caller caller(rig.port(), kLock, lock_bytes("job", 0xabc));
  EXPECT_EQ(caller.answer().grpc_status(), 0) << caller.answer().grpc_message();
  EXPECT_EQ(caller.text(2), "job/abc");
  EXPECT_EQ(caller.revision(), 2);
  EXPECT_TRUE(rig.holds("job/abc"));
  rig.revoke(0xabc);
  EXPECT_FALSE(rig.holds("job/abc"));
}

TEST(Lock, goes_from_one_to_the_next_in_order_with_growing_revisions) {
  LineRig rig;
  for (int64_t lease = 1; lease <= 3; ++lease) rig.grant(lease);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  ASSERT_TRUE(second.waits());
  Caller third(rig.port(), kLock, lock_bytes("job", 3));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/3"); }));
  ASSERT_TRUE(third.waits());
  Caller other(rig.port(), kLock, lock_bytes("job2", 3));
  EXPECT_EQ(other.answer().grpc_status(), 0);  // another lock
  unlock(rig, "job/1");
  EXPECT_EQ(second.answer().grpc_status(), 0);
  EXPECT_TRUE(third.waits());
  rig.revoke(2);  // a holder that died
  EXPECT_EQ(third.answer().grpc_status(), 0);
  EXPECT_LT(first.revision(), second.revision());
  EXPECT_LT(second.revision(), third.revision());
}

TEST(Lock, a_waiter_that_goes_away_leaves_the_line) {
  LineRig rig;
  for (int64_t lease = 1; lease <= 3; ++lease) rig.grant(lease);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  ASSERT_TRUE(second.waits());
  Caller third(rig.port(), kLock, lock_bytes("job", 3));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/3"); }));
  ASSERT_TRUE(third.waits());
  second.leave();
  EXPECT_TRUE(rig.comes([&] { return !rig.holds("job/2"); }));
  EXPECT_TRUE(third.waits());  // the first still has it
  unlock(rig, "job/1");
  EXPECT_EQ(third.answer().grpc_status(), 0);
}

TEST(Lock, a_deadline_ends_the_wait_and_the_place) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2), {{"grpc-timeout", "200m"}});
  EXPECT_EQ(second.answer().grpc_status(), 4);
  EXPECT_TRUE(rig.comes([&] { return !rig.holds("job/2"); }));
  EXPECT_TRUE(rig.holds("job/1"));
}

TEST(Lock, makes_a_session_for_who_brings_none_and_ends_it_with_the_wait) {
  LineRig rig;
  Caller first(rig.port(), kLock, lock_bytes("job", 0));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  rig.on_loop([&] {
    const Bytes& grant = rig.service().commands.at(rig.service().commands.size() - 2);
    EXPECT_NE(std::string(grant.view()).find("\x08\x3c"), std::string::npos);  // ttl: 60
  });
  EXPECT_EQ(rig.leases(), 1U);
  Caller second(rig.port(), kLock, lock_bytes("job", 0));
  ASSERT_TRUE(rig.comes([&] { return rig.leases() == 2 && rig.keys() == 2; }));
  ASSERT_TRUE(second.waits());
  second.leave();
  EXPECT_TRUE(rig.comes([&] { return rig.leases() == 1 && rig.keys() == 1; }));
  EXPECT_TRUE(rig.holds(first.text(2)));
}

TEST(Lock, a_session_that_ends_while_waiting_is_an_error) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  ASSERT_TRUE(second.waits());
  rig.revoke(2);
  EXPECT_EQ(second.answer().grpc_status(), 2);
  EXPECT_EQ(second.answer().grpc_message(), "mutex: session is expired");
}

TEST(Lock, errors_of_the_store_reach_the_caller) {
  LineRig rig;
  Caller caller(rig.port(), kLock, lock_bytes("job", 77));
  EXPECT_EQ(caller.answer().grpc_status(), 5);
  EXPECT_EQ(caller.answer().grpc_message(), "etcdserver: requested lease not found");
  Caller nothing(rig.port(), "/v3lockpb.Lock/Unlock", {});
  EXPECT_EQ(nothing.answer().grpc_message(), "etcdserver: key is not provided");
  Caller broken(rig.port(), kLock, "\x0a\xff");
  EXPECT_EQ(broken.answer().grpc_status(), 13);
}

TEST(Lock, a_holder_that_asks_once_more_has_it_still) {
  LineRig rig;
  rig.grant(1);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  rig.on_loop([&] { rig.service().hold = true; });
  Caller again(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_TRUE(again.waits());
  again.leave();  // with its outcome under way
  again.waits();
  rig.on_loop([&] {
    rig.service().hold = false;
    rig.service().held.back()(node::Unknown{});
  });
  Caller third(rig.port(), kLock, lock_bytes("job", 1));
  EXPECT_EQ(third.answer().grpc_status(), 0);
  EXPECT_TRUE(rig.holds("job/1"));
}

TEST(Lock, a_release_is_tried_again_until_there_is_a_leader) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  ASSERT_TRUE(second.waits());
  size_t before = 0;
  rig.on_loop([&] {
    before = rig.service().commands.size();
    rig.service().refusal = node::RefusedWhy::no_leader;
  });
  second.leave();
  EXPECT_TRUE(rig.comes([&] {
    size_t now = 0;
    rig.on_loop([&] { now = rig.service().commands.size(); });
    return now > before;
  }));
  EXPECT_TRUE(rig.holds("job/2"));
  rig.on_loop([&] { rig.service().refusal.reset(); });
  EXPECT_TRUE(rig.comes([&] { return !rig.holds("job/2"); }));
}

void wait_for_many(TestWaiters& waiters, size_t count, size_t name_bytes) {
  for (size_t number = 0; number < count; ++number) {
    waiters.add(lock_bytes(std::string(name_bytes, 'x') + std::to_string(number), 1));
  }
}

TEST(Lock, a_member_takes_so_many_waiters_and_no_more) {
  LineRig rig;
  rig.on_loop([&] { rig.service().hold = true; });
  TestWaiters waiters(rig, kLock);
  wait_for_many(waiters, kWaitersMax, 1);
  EXPECT_TRUE(waiters.all_wait());
  Caller beyond(rig.port(), kLock, lock_bytes("job", 1));
  EXPECT_EQ(beyond.answer().grpc_message(), "etcdserver: too many requests");
  waiters.leave();
  rig.on_loop([&] {
    for (auto& done : std::exchange(rig.service().held, {})) done(node::Unknown{});
    rig.service().hold = false;
  });
  rig.grant(1);
  Caller next(rig.port(), kLock, lock_bytes("job", 1));
  EXPECT_EQ(next.answer().grpc_status(), 0) << next.answer().grpc_message();
}

TEST(Lock, a_member_takes_so_many_bytes_of_names_and_no_more) {
  LineRig rig;
  rig.on_loop([&] { rig.service().hold = true; });
  TestWaiters waiters(rig, kLock);
  constexpr size_t kNameBytes = size_t{1} << 20U;
  constexpr size_t kFit = kWaitersBytesMax / (kNameBytes + 2);
  wait_for_many(waiters, kFit, kNameBytes);
  EXPECT_TRUE(waiters.all_wait());
  Caller beyond(rig.port(), kLock, lock_bytes(std::string(kNameBytes, 'x'), 1));
  EXPECT_EQ(beyond.answer().grpc_message(), "etcdserver: too many requests");
  Caller small(rig.port(), kLock, lock_bytes("job", 1));
  EXPECT_TRUE(small.waits());  // there is room for it
}

// A snapshot takes the state's place: nobody was told of the removal in it.
TEST(Lock, is_had_when_a_snapshot_has_removed_the_holder) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  ASSERT_TRUE(second.waits());
  auto state = std::make_unique<MachineFixture>();
  state->put("job/1", "");
  state->put("job/2", "");  // at revision 3, as in the state it replaces
  state->remove("job/1");
  for (int count = 0; count < 10; ++count) state->put("other", "y");
  machine::etcd::CompactionRequest compaction;
  compaction.revision = 12;
  state->apply(machine::etcd::CommandKind::compact, MachineFixture::wire(compaction));
  state->commit();
  state->machine().start_flush();
  state->open();  // nothing recent is in memory
  rig.replace_state(std::move(state));
  EXPECT_EQ(second.answer().grpc_status(), 0) << second.answer().grpc_message();
}

TEST(Lock, who_waits_is_told_that_the_server_stops) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller first(rig.port(), kLock, lock_bytes("job", 1));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller second(rig.port(), kLock, lock_bytes("job", 2));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  ASSERT_TRUE(second.waits());
  rig.on_loop([&] { rig.server().drain(); });
  EXPECT_EQ(second.answer().grpc_status(), 14);
  EXPECT_TRUE(rig.comes([&] { return !rig.holds("job/2"); }));
}

}  // namespace
}  // namespace quorate::front::etcd
