// The rules of the Election service, each over a socket.
#include "front/etcd/election_observers.h"
#include "front/etcd/test_line_rig.h"
#include "front/grpc/call.h"

namespace quorate::front::etcd {
namespace {

using machine::etcd::MachineFixture;

constexpr std::string_view kCampaign = "/v3electionpb.Election/Campaign";
constexpr std::string_view kProclaim = "/v3electionpb.Election/Proclaim";
constexpr std::string_view kLeader = "/v3electionpb.Election/Leader";
constexpr std::string_view kObserve = "/v3electionpb.Election/Observe";
constexpr std::string_view kResign = "/v3electionpb.Election/Resign";

std::string campaign_bytes(std::string_view name, int64_t lease, std::string_view value) {
  std::string wire;
  write_text(1, name, wire);
  write_number(2, static_cast<uint64_t>(lease), wire);
  write_text(3, value, wire);
  return wire;
}
std::string name_bytes(std::string_view name) {
  std::string wire;
  write_text(1, name, wire);
  return wire;
}
// A request about an office, with the LeaderKey that a campaign was answered with.
std::string office_bytes(std::string_view leader, std::string_view value = {}) {
  std::string wire;
  write_element(1, leader, wire);
  write_text(2, value, wire);
  return wire;
}
std::string office_bytes(std::string_view key, int64_t revision, int64_t lease,
                         std::string_view value = {}) {
  std::string leader;
  write_text(2, key, leader);
  write_number(3, static_cast<uint64_t>(revision), leader);
  write_number(4, static_cast<uint64_t>(lease), leader);
  return office_bytes(leader, value);
}
int64_t number_in(std::string_view message, uint32_t field) {
  const auto found = read_field(message, field);
  return found ? static_cast<int64_t>(found->number) : -1;
}
std::string outcome(LineRig& rig, std::string_view path, const std::string& message) {
  Caller caller(rig.port(), path, message);
  grpc::TestAnswer& answer = caller.answer();
  return std::to_string(answer.grpc_status()) + " " + answer.grpc_message();
}
// "key=value" of who leads; else the status.
std::string leader_of(LineRig& rig, std::string_view name) {
  Caller caller(rig.port(), kLeader, name_bytes(name));
  if (caller.answer().grpc_status() != 0) {
    return std::to_string(caller.answer().grpc_status()) + " " + caller.answer().grpc_message();
  }
  const std::string record = caller.text(2);
  const auto pair = machine::etcd::decode_key_value(record);
  if (!pair) return "malformed";
  return std::string(pair->key) + "=" + std::string(pair->value);
}

// A stream of leaders.
class Observing {
 public:
  Observing(uint16_t port, std::string_view name) : client_(port) {
    stream_ = client_.start(grpc::TestClient::grpc_headers(kObserve),
                            grpc::TestClient::frame(name_bytes(name)));
    client_.flush();
  }
  // What was told so far, as "key=value@mod" separated by blanks, once it is `count` of them.
  std::string told(size_t count) {
    std::string text;
    LineRig::comes([&] {
      client_.pump(std::chrono::milliseconds(10));
      size_t found = 0;
      text.clear();
      std::string_view rest = client_.answer(stream_).body;
      while (rest.size() >= 5) {
        const auto frame = grpc::read_message_frame(rest);
        if (!frame.complete) break;
        rest.remove_prefix(5 + frame.size);
        ++found;
        const auto field = read_field(frame.message, 2);
        const auto pair = machine::etcd::decode_key_value(field->text);
        text += (text.empty() ? "" : " ") + std::string(pair->key) + "=" +
                std::string(pair->value) + "@" + std::to_string(pair->mod_revision);
      }
      return found >= count || client_.answer(stream_).ended;
    });
    return text;
  }
  grpc::TestAnswer& answer() { return client_.wait(stream_); }
  bool waits() {
    client_.pump(std::chrono::milliseconds(100));
    return !client_.answer(stream_).ended;
  }
  void leave() {
    client_.reset(stream_, 8);  // CANCEL
    client_.flush();
  }

 private:
  grpc::TestClient client_;
  int32_t stream_ = 0;
};

TEST(Election, the_first_campaign_wins_and_the_next_waits_for_its_end) {
  LineRig rig;
  for (int64_t lease = 1; lease <= 3; ++lease) rig.grant(lease);
  EXPECT_EQ(leader_of(rig, "office"), "2 election: no leader");
  Caller ann(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(ann.answer().grpc_status(), 0) << ann.answer().grpc_message();
  const std::string anns = ann.text(2);
  EXPECT_EQ(read_field(anns, 1)->text, "office");
  EXPECT_EQ(read_field(anns, 2)->text, "office/1");
  EXPECT_EQ(number_in(anns, 3), 2);
  EXPECT_EQ(number_in(anns, 4), 1);
  Caller bob(rig.port(), kCampaign, campaign_bytes("office", 2, "bob"));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("office/2"); }));
  Caller cid(rig.port(), kCampaign, campaign_bytes("office", 3, "cid"));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("office/3"); }));
  ASSERT_TRUE(bob.waits());
  ASSERT_TRUE(cid.waits());
  EXPECT_EQ(leader_of(rig, "office"), "office/1=ann");
  EXPECT_EQ(outcome(rig, kResign, office_bytes(anns)), "0 ");
  ASSERT_EQ(bob.answer().grpc_status(), 0);
  EXPECT_EQ(leader_of(rig, "office"), "office/2=bob");
  EXPECT_GT(number_in(bob.text(2), 3), number_in(anns, 3));
  rig.revoke(2);  // a leader that died
  ASSERT_EQ(cid.answer().grpc_status(), 0);
  EXPECT_GT(number_in(cid.text(2), 3), number_in(bob.text(2), 3));
}

TEST(Election, a_leader_proclaims_and_who_does_not_lead_is_refused) {
  LineRig rig;
  rig.grant(1);
  Caller ann(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(ann.answer().grpc_status(), 0);
  const std::string leader = ann.text(2);
  EXPECT_EQ(outcome(rig, kProclaim, office_bytes(leader, "new")), "0 ");
  EXPECT_EQ(leader_of(rig, "office"), "office/1=new");
  EXPECT_EQ(outcome(rig, kProclaim, office_bytes("office/1", 99, 1, "x")),
            "2 election: not leader");
  EXPECT_EQ(outcome(rig, kProclaim, office_bytes("office/1", 2, 0, "kept")), "0 ");
  EXPECT_EQ(outcome(rig, kProclaim, office_bytes("office/1", 2, 7, "x")),
            "5 etcdserver: requested lease not found");
  rig.revoke(1);  // the lease that the key kept
  EXPECT_FALSE(rig.holds("office/1"));
  EXPECT_EQ(outcome(rig, kProclaim, office_bytes(leader, "late")), "2 election: not leader");
  EXPECT_EQ(outcome(rig, kResign, office_bytes(leader)), "0 ");
}

TEST(Election, a_resignation_takes_only_the_leadership_that_it_names) {
  LineRig rig;
  rig.grant(1);
  Caller ann(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(ann.answer().grpc_status(), 0);
  EXPECT_EQ(outcome(rig, kResign, office_bytes("office/1", 1, 1)), "0 ");
  EXPECT_EQ(leader_of(rig, "office"), "office/1=ann");
  EXPECT_EQ(outcome(rig, kResign, office_bytes("office/1", 2, 1)), "0 ");
  EXPECT_EQ(leader_of(rig, "office"), "2 election: no leader");
}

TEST(Election, requests_that_lack_something_are_refused_in_words) {
  LineRig rig;
  const std::string missing = R"(2 "leader" field must be provided)";
  EXPECT_EQ(outcome(rig, kProclaim, {}), missing);
  EXPECT_EQ(outcome(rig, kResign, {}), missing);
  EXPECT_EQ(outcome(rig, kProclaim, office_bytes("")), "3 etcdserver: key is not provided");
  EXPECT_EQ(outcome(rig, kResign, office_bytes("")), "3 etcdserver: key is not provided");
  EXPECT_EQ(outcome(rig, kCampaign, campaign_bytes("office", 9, "x")),
            "5 etcdserver: requested lease not found");
  for (const auto path : {kCampaign, kProclaim, kLeader, kObserve, kResign}) {
    EXPECT_TRUE(outcome(rig, path, "\x0a\xff").starts_with("13 ")) << path;
  }
  grpc::TestClient client(rig.port());  // says nothing at all
  for (const auto path : {kCampaign, kObserve}) {
    const auto stream = client.start(grpc::TestClient::grpc_headers(path), "");
    EXPECT_EQ(client.wait(stream).grpc_status(), 13) << path;
  }
}

TEST(Election, a_campaign_ends_with_its_client_and_leaves_no_key) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller ann(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(ann.answer().grpc_status(), 0);
  Caller bob(rig.port(), kCampaign, campaign_bytes("office", 2, "bob"));
  Caller own(rig.port(), kCampaign, campaign_bytes("office", 0, "own"));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("office/2"); }));
  ASSERT_TRUE(bob.waits());
  ASSERT_TRUE(own.waits());
  ASSERT_TRUE(rig.comes([&] { return rig.leases() == 3 && rig.keys() == 3; }));
  bob.leave();
  own.leave();
  EXPECT_TRUE(rig.comes([&] { return rig.keys() == 1 && rig.leases() == 2; }));
  EXPECT_EQ(leader_of(rig, "office"), "office/1=ann");
}

TEST(Election, a_session_that_ends_while_waiting_is_an_error) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Caller ann(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(ann.answer().grpc_status(), 0);
  Caller bob(rig.port(), kCampaign, campaign_bytes("office", 2, "bob"));
  ASSERT_TRUE(rig.comes([&] { return rig.holds("office/2"); }));
  ASSERT_TRUE(bob.waits());
  rig.revoke(2);
  EXPECT_EQ(bob.answer().grpc_status(), 2);
  EXPECT_EQ(bob.answer().grpc_message(), "election: session is expired");
}

TEST(Election, a_leader_that_campaigns_again_proclaims) {
  LineRig rig;
  rig.grant(1);
  Caller first(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(first.answer().grpc_status(), 0);
  Caller same(rig.port(), kCampaign, campaign_bytes("office", 1, "ann"));
  ASSERT_EQ(same.answer().grpc_status(), 0);
  EXPECT_EQ(same.revision(), 2);  // nothing was written
  Caller other(rig.port(), kCampaign, campaign_bytes("office", 1, "other"));
  ASSERT_EQ(other.answer().grpc_status(), 0);
  EXPECT_EQ(other.revision(), 3);
  EXPECT_EQ(other.text(2), first.text(2));
  EXPECT_EQ(leader_of(rig, "office"), "office/1=other");
}

TEST(Election, observers_hear_every_word_in_order_and_of_every_leader) {
  LineRig rig;
  rig.grant(1);
  rig.grant(2);
  Observing early(rig.port(), "office");
  EXPECT_EQ(early.told(0), "");
  Caller ann(rig.port(), kCampaign, campaign_bytes("office", 1, "a"));  // at 2
  ASSERT_EQ(ann.answer().grpc_status(), 0);
  Caller bob(rig.port(), kCampaign, campaign_bytes("office", 2, "b"));  // at 3
  ASSERT_TRUE(rig.comes([&] { return rig.holds("office/2"); }));
  ASSERT_TRUE(bob.waits());
  EXPECT_EQ(early.told(1), "office/1=a@2");
  for (const std::string_view elsewhere : {"office", "officer/1", "offic/1", "office0", "o/1"}) {
    rig.apply([&](auto& state) { state.put(elsewhere, "x"); });
  }
  rig.apply([](auto& state) {  // both in one turn
    state.put("office/1", "c");
    state.put("office/2", "d");
    state.put("office/1", "e");
  });
  EXPECT_EQ(early.told(3), "office/1=a@2 office/1=c@9 office/1=e@11");
  Observing late(rig.port(), "office");
  EXPECT_EQ(late.told(1), "office/1=e@11");
  rig.apply([](auto& state) { state.remove("office/1"); });
  EXPECT_EQ(late.told(2), "office/1=e@11 office/2=d@10");
  rig.apply([](auto& state) { state.remove("office/2"); });
  rig.grant(3);
  Caller cid(rig.port(), kCampaign, campaign_bytes("office", 3, "c"));
  ASSERT_EQ(cid.answer().grpc_status(), 0);
  EXPECT_EQ(late.told(3), "office/1=e@11 office/2=d@10 office/3=c@14");
  EXPECT_EQ(early.told(5), "office/1=a@2 office/1=c@9 office/1=e@11 office/2=d@10 office/3=c@14");
}

TEST(Election, observers_of_names_within_names_hear_of_their_own) {
  LineRig rig;
  Observing outer(rig.port(), "a");
  Observing inner(rig.port(), "a/b");
  Observing beside(rig.port(), "a/a");
  Observing after(rig.port(), "a/b0");
  outer.told(0);
  for (Observing* each : {&inner, &beside, &after}) each->told(0);
  // Observers that are not there yet would miss nothing, and hear it at once.
  rig.apply([](auto& state) { state.put("a/b/1", "x"); });
  EXPECT_EQ(outer.told(1), "a/b/1=x@2");
  EXPECT_EQ(inner.told(1), "a/b/1=x@2");
  rig.apply([](auto& state) { state.put("a/a/1", "y"); });
  EXPECT_EQ(beside.told(1), "a/a/1=y@3");
  EXPECT_EQ(after.told(0), "");
}

TEST(Election, a_slow_observer_skips_words_and_ends_at_the_latest) {
  LineRig rig;
  rig.apply([](auto& state) { state.put("office/1", "first"); });
  Observing slow(rig.port(), "office");
  EXPECT_EQ(slow.told(1), "office/1=first@2");
  // Ten times what may wait for it; the client reads nothing meanwhile.
  const std::string large(size_t{1} << 20U, 'x');
  for (int count = 0; count < 40; ++count) {
    rig.apply([&](auto& state) { state.put("office/1", large); });
  }
  rig.apply([](auto& state) { state.put("office/1", "last"); });
  std::string told;
  EXPECT_TRUE(rig.comes([&] {
    told = slow.told(0);
    return told.ends_with("office/1=last@43");
  })) << told.size();
  EXPECT_LT(told.size(), size_t{40} << 20U);  // some were skipped
}

TEST(Election, observers_find_their_leader_in_a_state_that_took_the_place) {
  LineRig rig;
  rig.apply([](auto& state) { state.put("office/1", "a"); });
  Observing observing(rig.port(), "office");
  EXPECT_EQ(observing.told(1), "office/1=a@2");
  auto state = std::make_unique<MachineFixture>();
  for (int count = 0; count < 10; ++count) state->put("other", "y");
  state->put("office/2", "b");
  machine::etcd::CompactionRequest compaction;
  compaction.revision = 12;
  state->apply(machine::etcd::CommandKind::compact, MachineFixture::wire(compaction));
  state->commit();
  state->machine().start_flush();
  state->open();  // nothing recent is in memory
  rig.replace_state(std::move(state));
  EXPECT_EQ(observing.told(2), "office/1=a@2 office/2=b@12");
}

TEST(Election, a_member_takes_so_many_observers_and_no_more) {
  LineRig rig;
  TestWaiters waiters(rig, kObserve);
  for (size_t number = 0; number < kObserversMax; ++number) {
    waiters.add(name_bytes("office" + std::to_string(number)));
  }
  EXPECT_TRUE(waiters.all_wait());
  Observing beyond(rig.port(), "office");
  EXPECT_EQ(beyond.answer().grpc_message(), "etcdserver: too many requests");
  waiters.leave();
  EXPECT_TRUE(rig.comes([&] {
    Observing next(rig.port(), "office");
    return next.waits();
  }));
}

TEST(Election, who_observes_is_told_that_the_server_stops) {
  LineRig rig;
  rig.apply([](auto& state) { state.put("office/1", "a"); });
  Observing observing(rig.port(), "office");
  Observing left(rig.port(), "office");
  observing.told(1);
  left.told(1);
  left.leave();
  rig.on_loop([&] { rig.server().drain(); });
  EXPECT_EQ(observing.answer().grpc_status(), 14);
}

}  // namespace
}  // namespace quorate::front::etcd
