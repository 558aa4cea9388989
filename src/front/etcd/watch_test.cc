// The rules of the Watch service, each over a socket.
#include <algorithm>

#include "front/etcd/test_watch_rig.h"

namespace quorate::front::etcd {
namespace {

using etcdserverpb::WatchResponse;
using machine::etcd::MachineFixture;
using std::chrono::milliseconds;
using Texts = std::vector<std::string>;

machine::etcd::TxnRequest txn_of(std::vector<machine::etcd::RequestOp> operations) {
  machine::etcd::TxnRequest request;
  request.success = std::move(operations);
  return request;
}
machine::etcd::RequestOp put_op(std::string_view key, std::string_view value) {
  machine::etcd::PutRequest put;
  put.key = key;
  put.value = value;
  return {put};
}

TEST(Watch, created_comes_first_and_events_follow_as_they_happen) {
  WatchRig rig;
  rig.put("a", "0");
  WatchClient client(rig.port());
  const WatchResponse created = client.created(watch_of("a"));
  EXPECT_TRUE(created.created());
  EXPECT_FALSE(created.canceled());
  EXPECT_EQ(created.watch_id(), 0);
  EXPECT_EQ(created.header().revision(), 2);
  EXPECT_EQ(created.header().cluster_id(), 0x11U);
  EXPECT_EQ(created.header().raft_term(), 4U);
  rig.put("b", "no");
  rig.put("a", "1");
  const WatchResponse response = client.next();
  EXPECT_EQ(texts_of(response), Texts{"PUT a=1@4"});
  EXPECT_EQ(response.header().revision(), 4);
  EXPECT_EQ(response.events(0).kv().version(), 2);
  EXPECT_EQ(response.events(0).kv().create_revision(), 2);
  rig.apply([](MachineFixture& state) { state.remove("a"); });
  EXPECT_EQ(texts_of(client.next()), Texts{"DELETE a@5"});
  rig.apply([](MachineFixture& state) { state.remove("a"); });
  EXPECT_TRUE(client.silent());
}

TEST(Watch, a_revision_is_one_response_and_a_turn_may_hold_several) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a", "c"));
  rig.apply([](MachineFixture& state) {
    state.txn(txn_of({put_op("b", "1"), put_op("a", "2"), put_op("c", "3")}));
    state.remove("a", "z");
  });
  EXPECT_EQ(texts_of(client.next()), (Texts{"PUT b=1@2", "PUT a=2@2", "DELETE a@3", "DELETE b@3"}));
  EXPECT_TRUE(client.silent());
}

TEST(Watch, previous_values_come_when_asked_for) {
  WatchRig rig;
  rig.put("a", "1");
  WatchClient client(rig.port());
  auto request = watch_of("a", everything());
  request.set_prev_kv(true);
  client.created(request);
  client.created(watch_of("a", everything()));
  rig.apply([](MachineFixture& state) {
    state.put("a", "2");
    state.put("new", "x");
    state.remove("a");
    state.put("a", "3");
  });
  const WatchResponse first = client.next();
  const WatchResponse second = client.next();
  const WatchResponse& with = first.watch_id() == 0 ? first : second;
  const WatchResponse& without = first.watch_id() == 0 ? second : first;
  EXPECT_EQ(texts_of(with),
            (Texts{"PUT a=2@3 before 1", "PUT new=x@4", "DELETE a@5 before 2", "PUT a=3@6"}));
  EXPECT_EQ(texts_of(without), (Texts{"PUT a=2@3", "PUT new=x@4", "DELETE a@5", "PUT a=3@6"}));
}

TEST(Watch, a_put_that_brings_a_key_to_life_has_no_previous_value) {
  WatchRig rig;
  rig.put("a", "1");
  WatchClient client(rig.port());
  auto request = watch_of("a");
  request.set_prev_kv(true);
  client.created(request);
  rig.apply([](MachineFixture& state) {  // at the revision before, the key is there
    machine::etcd::TxnRequest txn;
    txn.success = {{machine::etcd::DeleteRangeRequest{"a", {}, false}},
                   {machine::etcd::PutRequest{"a", "2"}}};
    state.txn(txn);
    state.put("a", "3");
  });
  EXPECT_EQ(texts_of(client.next()),
            (Texts{"DELETE a@3 before 1", "PUT a=2@3", "PUT a=3@4 before 2"}));
}

TEST(Watch, history_is_read_back_and_joins_what_happens_now) {
  WatchRig rig;
  for (int i = 2; i <= 6; ++i) rig.put("k", std::to_string(i));
  WatchClient client(rig.port());
  client.created(watch_of("k", {}, 3));
  EXPECT_EQ(texts_of(client.next()), (Texts{"PUT k=3@3", "PUT k=4@4", "PUT k=5@5", "PUT k=6@6"}));
  rig.put("k", "7");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT k=7@7"});
}

TEST(Watch, a_long_history_comes_in_bounded_batches) {
  WatchRig rig;
  rig.apply([](MachineFixture& state) {
    for (int i = 0; i < 9500; ++i) state.put("k" + std::to_string(i % 7), std::to_string(i));
  });
  WatchClient client(rig.port());
  client.created(watch_of("k", "l", 2));
  int64_t next = 2;
  int responses = 0;
  while (next < 9502) {
    const WatchResponse response = client.next();
    ASSERT_GT(response.events_size(), 0);
    ASSERT_LE(response.events_size(), kRevisionsPerStepMax);
    ++responses;
    for (const auto& event : response.events()) ASSERT_EQ(event.kv().mod_revision(), next++);
  }
  EXPECT_GE(responses, 10);
  EXPECT_EQ(rig.counts().slow_watchers, 0U);
}

TEST(Watch, ids_are_given_taken_and_refused) {
  WatchRig rig;
  WatchClient client(rig.port());
  auto request = watch_of("a");
  EXPECT_EQ(client.created(request).watch_id(), 0);
  request.set_watch_id(1);
  EXPECT_EQ(client.created(request).watch_id(), 1);
  const WatchResponse twice = client.created(request);
  EXPECT_TRUE(twice.created());
  EXPECT_TRUE(twice.canceled());
  EXPECT_EQ(twice.watch_id(), -1);
  EXPECT_EQ(twice.cancel_reason(), "mvcc: duplicate watch ID provided on the WatchStream");
  request.set_watch_id(0);
  EXPECT_EQ(client.created(request).watch_id(), 2);
  client.cancel(1);
  const WatchResponse canceled = client.next();
  EXPECT_TRUE(canceled.canceled());
  EXPECT_EQ(canceled.watch_id(), 1);
  EXPECT_EQ(canceled.header().revision(), 1);
  client.cancel(77);  // unknown: nothing is said
  EXPECT_TRUE(client.silent());
  rig.put("a", "1");
  std::vector<int64_t> ids = {client.next().watch_id(), client.next().watch_id()};
  std::ranges::sort(ids);
  EXPECT_EQ(ids, (std::vector<int64_t>{0, 2}));
  EXPECT_TRUE(client.silent());
}

TEST(Watch, empty_ranges_and_impossible_revisions_are_refused) {
  WatchRig rig;
  WatchClient client(rig.port());
  for (const auto& [first, end] : {std::pair("b", "a"), std::pair("b", "b")}) {
    const WatchResponse refused = client.created(watch_of(first, end));
    EXPECT_TRUE(refused.created() && refused.canceled());
    EXPECT_EQ(refused.watch_id(), -1);
    EXPECT_EQ(refused.cancel_reason(), "mvcc: watcher range is empty");
  }
  EXPECT_EQ(client.created(watch_of("a", {}, -1)).cancel_reason(),
            "etcdserver: mvcc: required revision has been compacted");
  // The empty key is the smallest: with the end of everything it is everything.
  EXPECT_FALSE(client.created(watch_of("", everything())).canceled());
  rig.put("x", "1");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT x=1@2"});
}

TEST(Watch, what_was_compacted_away_cannot_be_watched_from_the_border_on_it_can) {
  WatchRig rig;
  rig.apply([](MachineFixture& state) {
    state.put("a", "2");
    state.put("b", "3");
    state.remove("a");
    state.put("b", "5");
    state.compact(4);
  });
  rig.put("b", "6");
  WatchClient client(rig.port());
  EXPECT_FALSE(client.created(watch_of("a", everything(), 3)).canceled());
  const WatchResponse canceled = client.next();
  EXPECT_TRUE(canceled.canceled());
  EXPECT_FALSE(canceled.created());
  EXPECT_EQ(canceled.compact_revision(), 4);
  EXPECT_EQ(canceled.header().revision(), 0);
  EXPECT_EQ(canceled.cancel_reason(), "");
  auto request = watch_of("a", everything(), 4);
  request.set_prev_kv(true);
  client.created(request);
  // The value before revision 4 is compacted; the one before 5 is at 4, which can be read.
  EXPECT_EQ(texts_of(client.next()),
            (Texts{"DELETE a@4", "PUT b=5@5 before 3", "PUT b=6@6 before 5"}));
}

TEST(Watch, a_compaction_in_the_turn_of_its_changes_takes_nothing_from_live_watchers) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  rig.apply([](MachineFixture& state) {
    for (int i = 2; i < 10; ++i) state.put("a", std::to_string(i));
    state.compact(9);
    state.commit();
  });
  EXPECT_EQ(client.next().events_size(), 8);
}

TEST(Watch, a_start_in_the_future_is_waited_for_in_silence) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a", {}, 4));
  rig.put("a", "2");
  rig.put("a", "3");
  client.ask_progress();
  EXPECT_TRUE(client.silent());
  rig.put("a", "4");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT a=4@4"});
  client.ask_progress();
  EXPECT_EQ(client.next().header().revision(), 4);
}

TEST(Watch, filters_leave_out_and_empty_responses_are_not_sent) {
  WatchRig rig;
  WatchClient client(rig.port());
  auto request = watch_of("a");
  request.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  client.created(request);
  rig.put("a", "1");
  EXPECT_TRUE(client.silent());
  rig.apply([](MachineFixture& state) { state.remove("a"); });
  EXPECT_EQ(texts_of(client.next()), Texts{"DELETE a@3"});
  request.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  request.set_start_revision(1);
  client.created(request);
  EXPECT_TRUE(client.silent());
}

TEST(Watch, progress_on_request_is_one_answer_for_the_stream_behind_all_events) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.ask_progress();  // about nobody
  EXPECT_TRUE(client.silent());
  client.created(watch_of("a"));
  client.created(watch_of("b"));
  rig.apply([](MachineFixture& state) {
    for (int i = 2; i < 500; ++i) state.put("a", std::to_string(i));
  });
  client.ask_progress();
  EXPECT_EQ(client.next().events_size(), 498);
  const WatchResponse progress = client.next();
  EXPECT_EQ(progress.watch_id(), -1);
  EXPECT_EQ(progress.events_size(), 0);
  EXPECT_FALSE(progress.created() || progress.canceled());
  EXPECT_EQ(progress.header().revision(), 499);
  EXPECT_TRUE(client.silent());
}

TEST(Watch, progress_is_told_from_time_to_time_to_those_who_asked_and_heard_nothing) {
  WatchRig rig([](EtcdOptions& options) { options.watch_progress_interval = milliseconds(1); });
  WatchClient client(rig.port());
  auto request = watch_of("a");
  client.created(request);
  request.set_progress_notify(true);
  client.created(request);
  request.set_start_revision(100);
  client.created(request);
  rig.put("b", "1");
  for (int i = 0; i < 3; ++i) {
    const WatchResponse progress = client.next();
    EXPECT_EQ(progress.watch_id(), 1);
    EXPECT_EQ(progress.events_size(), 0);
    EXPECT_EQ(progress.header().revision(), 2);
  }
}

TEST(Watch, large_responses_are_split_for_those_who_can_take_it) {
  WatchRig rig;
  WatchClient client(rig.port());
  auto request = watch_of("k", "l");
  client.created(request);
  request.set_fragment(true);
  client.created(request);
  const std::string value(size_t{250} << 10U, 'v');
  rig.apply([&](MachineFixture& state) {
    state.txn(txn_of({put_op("k1", value), put_op("k2", value), put_op("k3", value),
                      put_op("k4", value), put_op("k5", value)}));
  });
  WatchResponse whole;
  std::vector<WatchResponse> fragments;
  for (int i = 0; i < 4; ++i) {
    WatchResponse response = client.next();
    if (response.watch_id() == 0) whole = response;
    if (response.watch_id() == 1) fragments.push_back(response);
  }
  EXPECT_EQ(whole.events_size(), 5);
  EXPECT_FALSE(whole.fragment());
  ASSERT_EQ(fragments.size(), 3U);
  EXPECT_TRUE(fragments[0].fragment() && fragments[1].fragment());
  EXPECT_FALSE(fragments[2].fragment());
  EXPECT_EQ(fragments[0].events_size() + fragments[1].events_size() + fragments[2].events_size(),
            5);
  EXPECT_EQ(fragments[0].header().revision(), 2);
  EXPECT_EQ(fragments[2].events(0).kv().key(), "k5");
}

// Reads revisions first..last of a key, each once and in order, ignoring nothing.
void expect_revisions(WatchClient& client, int64_t first, int64_t last) {
  int64_t next = first;
  while (next <= last) {
    const WatchResponse response = client.next();
    ASSERT_GT(response.events_size(), 0) << "before revision " << next;
    for (const auto& event : response.events()) ASSERT_EQ(event.kv().mod_revision(), next++);
  }
}

// Until it reads, its HTTP/2 window of 64 KiB is all it takes.
TEST(Watch, a_slow_reader_keeps_little_and_misses_nothing) {
  WatchRig rig;
  WatchClient slow(rig.port());
  WatchClient quick(rig.port());
  slow.created(watch_of("a"));
  quick.created(watch_of("a"));
  const std::string value(size_t{100} << 10U, 'v');
  for (int i = 2; i <= 301; ++i) {
    rig.put("a", value);
    if (i % 50 == 0) expect_revisions(quick, i == 50 ? 2 : i - 49, i);
  }
  EXPECT_EQ(rig.counts().slow_watchers, 1U);
  expect_revisions(quick, 301, 301);
  expect_revisions(slow, 2, 301);
  rig.put("a", "end");
  EXPECT_EQ(texts_of(slow.next()), Texts{"PUT a=end@302"});
  EXPECT_EQ(rig.counts().slow_watchers, 0U);
}

TEST(Watch, a_slow_reader_overtaken_by_a_compaction_is_told) {
  WatchRig rig;
  WatchClient slow(rig.port());
  slow.created(watch_of("a"));
  const std::string value(size_t{100} << 10U, 'v');
  for (int i = 2; i <= 201; ++i) rig.put("a", value);
  rig.apply([](MachineFixture& state) { state.compact(200); });
  int64_t next = 2;
  WatchResponse response = slow.next();
  for (; response.events_size() > 0; response = slow.next()) {
    for (const auto& event : response.events()) ASSERT_EQ(event.kv().mod_revision(), next++);
  }
  EXPECT_LT(next, 200);
  EXPECT_TRUE(response.canceled());
  EXPECT_EQ(response.compact_revision(), 200);
  EXPECT_EQ(rig.counts().watchers, 0U);
}

std::unique_ptr<MachineFixture> state_with(int puts, int64_t compacted = 0) {
  auto state = std::make_unique<MachineFixture>();
  for (int i = 2; i < puts + 2; ++i) state->put("a", std::to_string(i));
  if (compacted > 0) state->compact(compacted);
  state->commit();
  state->machine().start_flush();
  state->open();
  return state;
}

TEST(Watch, a_newer_state_in_the_place_of_the_old_one_is_read_from_where_the_watcher_was) {
  WatchRig rig;
  for (int i = 2; i < 5; ++i) rig.put("a", std::to_string(i));
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  rig.replace_state(state_with(10));
  EXPECT_EQ(client.next().events_size(), 7);
  rig.put("a", "next");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT a=next@12"});
}

TEST(Watch, an_older_state_never_takes_a_watcher_back) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  for (int i = 2; i < 8; ++i) rig.put("a", std::to_string(i));
  expect_revisions(client, 2, 7);
  rig.replace_state(state_with(3));
  client.ask_progress();
  ASSERT_TRUE(rig.hears(2));  // before it is applied
  rig.put("a", "5");
  rig.put("a", "6");
  rig.put("a", "7");
  client.ask_progress();
  const WatchResponse progress = client.next();
  EXPECT_EQ(progress.watch_id(), -1);
  EXPECT_EQ(progress.header().revision(), 7);
  rig.put("a", "8");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT a=8@8"});
}

TEST(Watch, a_state_that_lacks_what_a_watcher_needs_ends_it) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  client.created(watch_of("a", {}, 10));
  rig.replace_state(state_with(8, 6));
  const WatchResponse canceled = client.next();
  EXPECT_EQ(canceled.watch_id(), 0);
  EXPECT_EQ(canceled.compact_revision(), 6);
  rig.put("a", "10");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT a=10@10"});
}

TEST(Watch, half_close_does_not_end_the_stream_and_a_reset_does) {
  WatchRig rig;
  WatchClient client(rig.port());
  client.created(watch_of("a"));
  client.half_close();
  rig.put("a", "1");
  EXPECT_EQ(texts_of(client.next()), Texts{"PUT a=1@2"});
  client.client().reset(client.stream(), 8);  // CANCEL
  client.client().flush();
  for (int i = 0; i < 100 && rig.counts().streams > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(rig.counts().streams, 0U);
  rig.put("a", "2");
}

TEST(Watch, hasleader_ends_the_stream_when_there_is_none) {
  WatchRig rig([](EtcdOptions& options) { options.election_timeout = milliseconds(20); });
  WatchClient wants(rig.port(), {{"hasleader", "true"}});
  WatchClient plain(rig.port());
  wants.created(watch_of("a"));
  plain.created(watch_of("a"));
  rig.on_loop([&] { rig.service().leader_id = NodeId{}; });
  const grpc::TestAnswer& ended = wants.wait_end();
  EXPECT_EQ(ended.grpc_status(), 14);
  EXPECT_EQ(ended.grpc_message(), "etcdserver: no leader");
  rig.put("a", "1");
  EXPECT_EQ(plain.next().events_size(), 1);
  WatchClient late(rig.port(), {{"hasleader", "true"}});
  EXPECT_EQ(late.wait_end().grpc_message(), "etcdserver: no leader");
}

TEST(Watch, malformed_requests_learners_and_the_end_of_the_server) {
  WatchRig rig;
  WatchClient broken(rig.port());
  broken.client().send(broken.stream(), grpc::TestClient::frame("\x0a\x7f"));
  EXPECT_EQ(broken.wait_end().grpc_status(), 13);
  WatchClient client(rig.port());
  client.send({});  // a request for nothing
  client.created(watch_of("a"));
  rig.on_loop([&] { rig.watch().on_draining(); });
  EXPECT_EQ(client.wait_end().grpc_message(), "etcdserver: server stopped");
  rig.on_loop([&] { rig.service().learner = true; });
  WatchClient learner(rig.port());
  EXPECT_EQ(learner.wait_end().grpc_message(), "etcdserver: rpc not supported for learner");
}

}  // namespace
}  // namespace quorate::front::etcd
