// The whole front over loopback sockets: real event loop, fake node, a client that misbehaves.
#include "front/etcd/server.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <thread>

#include "base/codec.h"
#include "front/etcd/fake_service.h"
#include "front/etcd/test_loop.h"
#include "front/etcd/wire.h"
#include "front/grpc/limits.h"
#include "front/grpc/test_client.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {
namespace {

using grpc::Headers;
using grpc::TestAnswer;
using grpc::TestClient;
using grpc::TestSocket;
using machine::etcd::encode;
using machine::etcd::PutRequest;
using machine::etcd::RangeRequest;
using std::chrono::milliseconds;

constexpr std::string_view kPut = "/etcdserverpb.KV/Put";
constexpr std::string_view kRange = "/etcdserverpb.KV/Range";
constexpr std::string_view kTxn = "/etcdserverpb.KV/Txn";

template <class Request>
std::string wire(const Request& request) {
  std::string out;
  encode(request, out);
  return out;
}
std::string put_bytes(std::string_view key, std::string_view value) {
  PutRequest request;
  request.key = key;
  request.value = value;
  return wire(request);
}
std::string range_bytes(std::string_view key, bool serializable) {
  RangeRequest request;
  request.key = key;
  request.serializable = serializable;
  return wire(request);
}

class EtcdServerTest : public testing::Test {
 protected:
  EtcdServerTest() : service_(*loop_) {
    EtcdOptions options;
    options.name = "n1";
    options.advertise_client_urls = {"http://10.0.0.1:2379"};
    options.version = "3.6.4";
    options.request_timeout = std::chrono::seconds(3);
    options.client_loops = loop_.client_loops();
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    auto port = server_->listen("127.0.0.1:0");
    EXPECT_TRUE(port) << port.error().text;
    port_ = *port;
    loop_.start();
  }
  ~EtcdServerTest() override {
    loop_.stop();
    server_.reset();
  }
  void on_loop(const std::function<void()>& task) { loop_.run(task); }
  // Until so many calls wait in the service; a busy machine takes its time.
  void pump_until_held(TestClient& client, size_t count) {
    size_t held = 0;
    for (int turn = 0; turn < 2000 && held < count; ++turn) {
      client.pump(milliseconds(5));
      on_loop([&] { held = service_.held.size(); });
    }
    ASSERT_EQ(held, count);
  }
  std::string page(const std::string& request) {
    TestSocket socket(port_);
    socket.send(request);
    return socket.receive_until("");
  }

  LoopThread loop_;
  FakeService service_;
  std::unique_ptr<EtcdServer> server_;
  uint16_t port_ = 0;
};

TEST_F(EtcdServerTest, put_goes_into_the_log_and_the_reply_gets_a_header) {
  on_loop([&] {
    service_.write_reply.revision = 12;
    service_.write_reply.body = Bytes(std::string_view("\x12\x00", 2));  // an empty prev_kv
  });
  TestClient client(port_);
  const TestAnswer answer = client.call(kPut, put_bytes("k", "v"));
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.headers.at(":status"), "200");
  EXPECT_EQ(answer.headers.at("content-type"), "application/grpc");
  const std::string body = answer.first_message();
  const auto response = machine::etcd::decode_put_response(body);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header.cluster_id, 0x11U);
  EXPECT_EQ(response->header.member_id, 0x22U);
  EXPECT_EQ(response->header.revision, 12);
  EXPECT_EQ(response->header.raft_term, 4U);
  EXPECT_TRUE(response->prev_kv);
  on_loop([&] {
    const Bytes expected =
        machine::etcd::make_command(machine::etcd::CommandKind::put, put_bytes("k", "v"));
    EXPECT_EQ(service_.commands.back(), expected);
  });
}

TEST_F(EtcdServerTest, range_takes_the_barrier_unless_serializable) {
  on_loop([&] { service_.query_reply.revision = 5; });
  TestClient client(port_);
  EXPECT_EQ(client.call(kRange, range_bytes("k", true)).grpc_status(), 0);
  on_loop([&] { EXPECT_EQ(service_.barriers, 0U); });
  const TestAnswer answer = client.call(kRange, range_bytes("k", false));
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(machine::etcd::decode_range_response(answer.first_message())->header.revision, 5);
  on_loop([&] {
    EXPECT_EQ(service_.barriers, 1U);
    ASSERT_EQ(service_.queries.size(), 2U);
    EXPECT_EQ(service_.queries[1],
              machine::etcd::make_query(machine::etcd::QueryKind::range, range_bytes("k", false)));
  });
}

TEST_F(EtcdServerTest, a_lease_gets_its_id_and_its_least_time_before_the_log) {
  TestClient client(port_);
  using machine::etcd::LeaseGrantRequest;
  const auto granted = [&](const LeaseGrantRequest& request) {
    EXPECT_EQ(client.call("/etcdserverpb.Lease/LeaseGrant", wire(request)).grpc_status(), 0);
    LeaseGrantRequest seen;
    on_loop([&] {
      const std::string_view command = service_.commands.back().view();
      EXPECT_EQ(command[1], static_cast<char>(machine::etcd::CommandKind::lease_grant));
      seen = *machine::etcd::decode_lease_grant_request(command.substr(2));
    });
    return seen;
  };
  const LeaseGrantRequest first = granted({0, 0});
  const LeaseGrantRequest second = granted({-5, 0});
  EXPECT_EQ(first.ttl, 2);
  EXPECT_EQ(second.ttl, 2);
  EXPECT_GT(first.id, 0);
  EXPECT_GT(second.id, 0);
  EXPECT_NE(first.id, second.id);
  const LeaseGrantRequest own = granted({60, -9});
  EXPECT_EQ(own.ttl, 60);
  EXPECT_EQ(own.id, -9);
}

TEST_F(EtcdServerTest, a_renewal_goes_to_the_leader_and_not_into_the_log) {
  TestClient client(port_);
  const std::string renew = wire(machine::etcd::LeaseKeepAliveRequest{77});
  on_loop([&] { service_.lease_life = {true, 60, 60}; });
  TestAnswer answer = client.call("/etcdserverpb.Lease/LeaseKeepAlive", renew);
  EXPECT_EQ(answer.grpc_status(), 0);  // half-closed: the stream ends well
  std::string body = answer.first_message();
  auto response = machine::etcd::decode_lease_keep_alive_response(body);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->id, 77);
  EXPECT_EQ(response->ttl, 60);
  EXPECT_EQ(response->header.revision, 7);
  on_loop([&] {
    EXPECT_TRUE(service_.commands.empty() ||
                service_.commands.back().view()[1] ==
                    static_cast<char>(machine::etcd::CommandKind::member_attributes));
    ASSERT_EQ(service_.lease_asks.size(), 1U);
    EXPECT_EQ(service_.lease_asks[0], (std::pair(node::LeaseWish::renew, int64_t{77})));
    service_.lease_life = {};
  });
  answer = client.call("/etcdserverpb.Lease/LeaseKeepAlive", renew);  // gone: no error
  EXPECT_EQ(answer.grpc_status(), 0);
  body = answer.first_message();
  EXPECT_EQ(machine::etcd::decode_lease_keep_alive_response(body)->ttl, 0);
  on_loop([&] { service_.lease_refusal = node::RefusedWhy::no_leader; });
  answer = client.call("/etcdserverpb.Lease/LeaseKeepAlive", renew);
  EXPECT_EQ(answer.grpc_status(), 14);
}

TEST_F(EtcdServerTest, time_to_live_is_what_the_leader_says) {
  TestClient client(port_);
  const std::string ask = wire(machine::etcd::LeaseTimeToLiveRequest{77, false});
  on_loop([&] { service_.lease_life = {true, 60, 41}; });
  std::string body = client.call("/etcdserverpb.Lease/LeaseTimeToLive", ask).first_message();
  auto response = machine::etcd::decode_lease_time_to_live_response(body);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->id, 77);
  EXPECT_EQ(response->ttl, 41);
  EXPECT_EQ(response->granted_ttl, 60);
  on_loop([&] { service_.lease_life = {}; });
  body = client.call("/etcdserverpb.Lease/LeaseTimeToLive", ask).first_message();
  response = machine::etcd::decode_lease_time_to_live_response(body);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->ttl, -1);
  EXPECT_EQ(response->granted_ttl, 0);
}

TEST_F(EtcdServerTest, large_answers_pass_flow_control) {
  const std::string large(3U << 20U, 'x');
  on_loop([&] { service_.query_reply.body = Bytes(std::string("\x12") + large); });
  TestClient client(port_);
  const TestAnswer answer = client.call(kRange, range_bytes("k", true));
  EXPECT_EQ(answer.grpc_status(), 0);
  const std::string message = answer.first_message();
  EXPECT_TRUE(message.ends_with(large));
}

TEST_F(EtcdServerTest, read_only_transactions_stay_out_of_the_log) {
  machine::etcd::TxnRequest request;
  RangeRequest range;
  range.key = "k";
  request.success = {{range}};
  TestClient client(port_);
  EXPECT_EQ(client.call(kTxn, wire(request)).grpc_status(), 0);
  size_t before = 0;
  on_loop([&] {
    EXPECT_EQ(service_.barriers, 1U);
    EXPECT_EQ(service_.queries.size(), 1U);
    before = service_.commands.size();
  });
  machine::etcd::TxnRequest outer;
  outer.success = {{request}};
  EXPECT_EQ(client.call(kTxn, wire(outer)).grpc_status(), 0);
  on_loop([&] { EXPECT_EQ(service_.commands.size(), before + 1); });
}

struct Refusal {
  std::string_view path;
  std::string message;
  int code;
  const char* text;
};

std::vector<Refusal> refusals() {
  PutRequest value_given;
  value_given.key = "k";
  value_given.value = "v";
  value_given.ignore_value = true;
  PutRequest lease_given;
  lease_given.key = "k";
  lease_given.lease = 5;
  lease_given.ignore_lease = true;
  RangeRequest sorted;
  sorted.key = "k";
  sorted.sort_order = 9;
  PutRequest good;
  good.key = "k";
  machine::etcd::TxnRequest twice;
  twice.success = {{good}, {good}};
  machine::etcd::TxnRequest many;
  many.success.assign(129, {good});
  machine::etcd::TxnRequest hollow;
  hollow.failure.resize(1);
  return {
      {kPut, put_bytes("", "v"), 3, "etcdserver: key is not provided"},
      {kRange, range_bytes("", false), 3, "etcdserver: key is not provided"},
      {"/etcdserverpb.KV/DeleteRange", "", 3, "etcdserver: key is not provided"},
      {kPut, wire(value_given), 3, "etcdserver: value is provided"},
      {kPut, wire(lease_given), 3, "etcdserver: lease is provided"},
      {kRange, wire(sorted), 3, "etcdserver: invalid sort option"},
      {kTxn, wire(twice), 3, "etcdserver: duplicate key given in txn request"},
      {kTxn, wire(many), 3, "etcdserver: too many operations in txn request"},
      {kTxn, wire(hollow), 3, "etcdserver: key not found"},
      {kPut, put_bytes("k", std::string(1572864, 'v')), 3, "etcdserver: request is too large"},
      {kPut, put_bytes("k", std::string(2200000, 'v')), 8,
       "grpc: received message larger than max (2200008 vs. 2097152)"},
      {"/etcdserverpb.KV/Nothing", "", 12, "unknown method Nothing for service etcdserverpb.KV"},
      {"/etcdserverpb.Nobody/Nothing", "", 12, "unknown service etcdserverpb.Nobody"},
      {"/nonsense", "", 12, "malformed method name: \"/nonsense\""},
      {kPut, "\x0a\x7fk", 13, "grpc: error unmarshalling request: the message is malformed"},
  };
}

TEST_F(EtcdServerTest, refusals_have_their_exact_code_and_text) {
  TestClient client(port_);
  size_t published = 0;
  client.call(kRange, range_bytes("k", true));
  on_loop([&] { published = service_.commands.size(); });
  for (const Refusal& each : refusals()) {
    const TestAnswer answer = client.call(each.path, each.message);
    EXPECT_EQ(answer.grpc_status(), each.code) << each.text;
    EXPECT_EQ(answer.grpc_message(), each.text);
  }
  on_loop([&] { EXPECT_EQ(service_.commands.size(), published); });
}

struct OutcomeCase {
  std::optional<node::RefusedWhy> why;  // none: Unknown
  int code;
  const char* text;
};

TEST_F(EtcdServerTest, outcomes_of_the_node_become_the_words_of_the_api) {
  using node::RefusedWhy;
  const std::vector<OutcomeCase> cases = {
      {RefusedWhy::no_leader, 14, "etcdserver: no leader"},
      {RefusedWhy::leader_changed, 14, "etcdserver: leader changed"},
      {RefusedWhy::too_many_requests, 2, "etcdserver: too many requests"},
      {RefusedWhy::too_large, 3, "etcdserver: request is too large"},
      {RefusedWhy::stopping, 14, "etcdserver: server stopped"},
      {RefusedWhy::timed_out, 14, "etcdserver: request timed out"},
      {std::nullopt, 14, "etcdserver: request timed out"}};
  TestClient client(port_);
  for (const OutcomeCase& each : cases) {
    on_loop([&] {
      service_.refusal = each.why;
      service_.unknown = !each.why;
      service_.barrier_refusal = each.why;
    });
    const TestAnswer answer = client.call(kPut, put_bytes("k", "v"));
    EXPECT_EQ(answer.grpc_status(), each.code);
    EXPECT_EQ(answer.grpc_message(), each.text);
    if (!each.why) continue;
    EXPECT_EQ(client.call(kRange, range_bytes("k", false)).grpc_message(), each.text);
  }
  on_loop([&] { service_.leader_id = NodeId{}; });
  EXPECT_EQ(client.call(kPut, put_bytes("k", "v")).grpc_message(),
            "etcdserver: request timed out, possibly due to previous leader failure");
}

TEST_F(EtcdServerTest, codes_of_the_machine_become_the_words_of_the_api) {
  using machine::etcd::Code;
  const std::vector<std::tuple<Code, int, const char*>> cases = {
      {Code::compacted, 11, "etcdserver: mvcc: required revision has been compacted"},
      {Code::future_revision, 11, "etcdserver: mvcc: required revision is a future revision"},
      {Code::key_not_found, 3, "etcdserver: key not found"},
      {Code::lease_not_found, 5, "etcdserver: requested lease not found"},
      {Code::no_space, 8, "etcdserver: mvcc: database space exceeded"}};
  TestClient client(port_);
  for (const auto& [code, number, text] : cases) {
    on_loop([&, wanted = code] {
      service_.write_reply.code = static_cast<uint16_t>(wanted);
      service_.query_reply.code = static_cast<uint16_t>(wanted);
    });
    EXPECT_EQ(client.call(kPut, put_bytes("k", "v")).grpc_status(), number);
    EXPECT_EQ(client.call(kRange, range_bytes("k", true)).grpc_message(), text);
    EXPECT_EQ(client.call("/etcdserverpb.KV/Compact", "\x08\x05").grpc_message(), text);
  }
}

TEST_F(EtcdServerTest, a_physical_compaction_is_answered_when_the_rows_are_gone) {
  constexpr std::string_view kCompact = "/etcdserverpb.KV/Compact";
  const std::string physically = "\x08\x05\x10\x01";
  TestClient client(port_);
  on_loop([&] { service_.fake_machine().busy = true; });
  EXPECT_EQ(client.call(kCompact, "\x08\x05").grpc_status(), 0) << "this one does not wait";
  loop_->post([&] {
    loop_->at(loop_->now() + milliseconds(100), [&] { service_.fake_machine().busy = false; });
  });
  const auto started = std::chrono::steady_clock::now();
  EXPECT_EQ(client.call(kCompact, physically).grpc_status(), 0);
  EXPECT_GE(std::chrono::steady_clock::now() - started, milliseconds(90));
  on_loop([&] {
    service_.write_reply.code = static_cast<uint16_t>(machine::etcd::Code::compacted);
    service_.fake_machine().busy = true;
  });
  EXPECT_EQ(client.call(kCompact, physically).grpc_status(), 11);
}

TEST_F(EtcdServerTest, request_headers_are_obeyed) {
  TestClient client(port_);
  const std::string put = put_bytes("k", "v");
  EXPECT_EQ(client.call(kPut, put, {{"hasleader", "true"}}).grpc_status(), 0);
  on_loop([&] { service_.leader_id = NodeId{}; });
  EXPECT_EQ(client.call(kPut, put, {{"hasleader", "true"}}).grpc_message(),
            "etcdserver: no leader");
  EXPECT_EQ(client.call(kPut, put, {{"client-api-version", "3.6"}}).grpc_status(), 0);
  EXPECT_EQ(client.call(kPut, put, {{"client-api-version", "\xff\xfe"}}).grpc_message(),
            "etcdserver: invalid client api version");
  EXPECT_EQ(client.call(kPut, put, {{"grpc-timeout", "soon"}}).headers.at(":status"), "400");
  const TestAnswer zipped = client.call(kPut, put, {{"grpc-encoding", "gzip"}});
  EXPECT_EQ(zipped.grpc_status(), 12);
  EXPECT_EQ(zipped.headers.at("grpc-accept-encoding"), "identity");
  std::string flagged = TestClient::frame(put);
  flagged[0] = 1;
  EXPECT_EQ(client.wait(client.start(TestClient::grpc_headers(kPut), flagged)).grpc_status(), 13);
  Headers wrong = TestClient::grpc_headers(kPut);
  wrong[4].second = "application/json";
  EXPECT_EQ(client.wait(client.start(wrong, TestClient::frame(put))).headers.at(":status"), "415");
}

TEST_F(EtcdServerTest, a_deadline_that_passes_is_named) {
  on_loop([&] { service_.hold = true; });
  TestClient client(port_);
  const int32_t stream = client.start(TestClient::grpc_headers(kPut, {{"grpc-timeout", "50m"}}),
                                      TestClient::frame(put_bytes("k", "v")));
  pump_until_held(client, 1);
  on_loop([&] {
    ASSERT_EQ(service_.held.size(), 1U);
    EXPECT_LE(service_.deadlines.back(), loop_->now() + std::chrono::milliseconds(50));
  });
  std::this_thread::sleep_for(milliseconds(60));
  on_loop([&] { service_.held[0](node::Unknown{}); });
  const TestAnswer& answer = client.wait(stream);
  EXPECT_EQ(answer.grpc_status(), 4);
  EXPECT_EQ(answer.grpc_message(), "context deadline exceeded");
}

TEST_F(EtcdServerTest, answers_to_cancelled_calls_go_nowhere) {
  on_loop([&] { service_.hold = true; });
  size_t before = 0;
  on_loop([&] { before = service_.held.size(); });
  {
    TestClient client(port_);
    const int32_t cancelled =
        client.start(TestClient::grpc_headers(kPut), TestClient::frame(put_bytes("a", "v")));
    client.start(TestClient::grpc_headers(kPut), TestClient::frame(put_bytes("b", "v")));
    pump_until_held(client, before + 2);
    client.reset(cancelled, NGHTTP2_CANCEL);
    // The slot of the cancelled call is used anew, and must not get the old answer.
    const int32_t fresh =
        client.start(TestClient::grpc_headers(kPut), TestClient::frame(put_bytes("c", "v")));
    pump_until_held(client, before + 3);
    on_loop([&] {
      ASSERT_EQ(service_.held.size(), before + 3);
      service_.held[before](node::RefusedOutcome{node::RefusedWhy::stopping});
    });
    client.pump(milliseconds(50));
    EXPECT_FALSE(client.answer(fresh).ended);
    on_loop([&] { service_.held[before + 2](node::Applied{Index{1}, {}}); });
    EXPECT_EQ(client.wait(fresh).grpc_status(), 0);
  }
  std::this_thread::sleep_for(milliseconds(30));
  on_loop([&] { service_.held[before + 1](node::Applied{Index{1}, {}}); });  // connection gone
  TestClient again(port_);
  EXPECT_EQ(again.call(kRange, range_bytes("k", true)).grpc_status(), 0);
}

TEST_F(EtcdServerTest, answers_after_the_server_is_gone_are_dropped) {
  if (!loop_.client_loops().empty()) {
    GTEST_SKIP() << "a server goes after its clients' threads have ended, and takes no turn then";
  }
  on_loop([&] { service_.hold = true; });
  TestClient client(port_);
  client.start(TestClient::grpc_headers(kPut), TestClient::frame(put_bytes("k", "v")));
  pump_until_held(client, 1);
  on_loop([&] {
    ASSERT_FALSE(service_.held.empty());
    server_.reset();
    service_.held.back()(node::Applied{Index{1}, {}});
  });
}

TEST_F(EtcdServerTest, status_and_member_list) {
  TestClient client(port_);
  const std::string status = client.call("/etcdserverpb.Maintenance/Status", "").first_message();
  EXPECT_EQ(read_field(status, 2)->text, "3.6.4");
  EXPECT_EQ(read_field(status, 3)->number, 4096U);
  EXPECT_EQ(read_field(status, 4)->number, 0x22U);
  EXPECT_EQ(read_field(status, 5)->number, 90U);
  EXPECT_EQ(read_field(status, 6)->number, 4U);
  EXPECT_EQ(read_field(status, 7)->number, 89U);
  EXPECT_EQ(read_field(status, 8)->text, "");
  EXPECT_EQ(read_field(status, 11)->text, "3.6.0");
  EXPECT_EQ(read_field(status, 12)->number, uint64_t{2} << 30U);
  EXPECT_EQ(read_field(read_field(status, 1)->text, 3)->number, 7U);
  const std::string list =
      client.call("/etcdserverpb.Cluster/MemberList", "\x08\x01").first_message();
  EXPECT_EQ(read_field(read_field(list, 1)->text, 3)->number, 0U);  // no revision here
  const std::string_view last = read_field(list, 2)->text;
  EXPECT_EQ(read_field(last, 1)->number, 0x33U);
  EXPECT_EQ(read_field(last, 2)->text, "n2");
  EXPECT_EQ(read_field(last, 3)->text, "http://10.0.0.2:2380");
  EXPECT_EQ(read_field(last, 5)->number, 1U);
  on_loop([&] {
    EXPECT_EQ(service_.barriers, 1U);
    service_.leader_id = NodeId{};
  });
  EXPECT_EQ(client.call("/etcdserverpb.Cluster/MemberList", "").grpc_status(), 0);
  const std::string lost = client.call("/etcdserverpb.Maintenance/Status", "").first_message();
  EXPECT_EQ(read_field(lost, 8)->text, "etcdserver: no leader");
  on_loop([&] { EXPECT_EQ(service_.barriers, 1U); });
}

TEST_F(EtcdServerTest, the_member_publishes_its_attributes_until_applied) {
  on_loop([] {});
  on_loop([&] {
    ASSERT_EQ(service_.commands.size(), 1U);
    machine::etcd::MemberAttributes attributes;
    attributes.id = 0x22;
    attributes.name = "n1";
    attributes.client_urls = {"http://10.0.0.1:2379"};
    EXPECT_EQ(service_.commands[0],
              machine::etcd::make_command(machine::etcd::CommandKind::member_attributes,
                                          machine::etcd::encode_member_attributes(attributes)));
  });
}

TEST_F(EtcdServerTest, health_check_and_watch) {
  TestClient client(port_);
  EXPECT_EQ(client.call("/grpc.health.v1.Health/Check", "").first_message(), "\x08\x01");
  EXPECT_EQ(client.call("/grpc.health.v1.Health/Check", "\x0a\x01x").grpc_status(), 5);
  const int32_t watch =
      client.start(TestClient::grpc_headers("/grpc.health.v1.Health/Watch"), TestClient::frame(""));
  for (int round = 0; round < 400 && client.answer(watch).body.empty(); ++round) {
    client.pump(milliseconds(50));
  }
  EXPECT_EQ(client.answer(watch).first_message(), "\x08\x01");
  EXPECT_FALSE(client.answer(watch).ended);
  on_loop([&] { server_->drain(); });
  const TestAnswer& answer = client.wait(watch);
  EXPECT_TRUE(answer.ended);
  EXPECT_TRUE(answer.body.ends_with("\x08\x02"));
  EXPECT_TRUE(client.goaway);
}

TEST_F(EtcdServerTest, drain_lets_calls_finish_and_then_closes) {
  on_loop([&] { service_.hold = true; });
  TestClient client(port_);
  const int32_t stream =
      client.start(TestClient::grpc_headers(kPut), TestClient::frame(put_bytes("k", "v")));
  pump_until_held(client, 1);
  on_loop([&] { server_->drain(); });
  for (int round = 0; round < 400 && !client.goaway; ++round) client.pump(milliseconds(50));
  EXPECT_TRUE(client.goaway);
  EXPECT_EQ(client.goaway_error, static_cast<uint32_t>(NGHTTP2_NO_ERROR));
  on_loop([&] { service_.held.back()(node::Applied{Index{1}, {}}); });
  EXPECT_EQ(client.wait(stream).grpc_status(), 0);
  for (int round = 0; round < 400 && !client.connection_closed(); ++round) {
    client.pump(milliseconds(50));
  }
  EXPECT_TRUE(client.connection_closed());
}

TEST_F(EtcdServerTest, pings_are_answered_while_writes_wait) {
  on_loop([&] { service_.hold = true; });
  TestClient client(port_);
  client.start(TestClient::grpc_headers(kPut), TestClient::frame(put_bytes("k", "v")));
  client.ping();
  for (int round = 0; round < 400 && client.ping_acks == 0; ++round) client.pump(milliseconds(50));
  EXPECT_EQ(client.ping_acks, 1);
}

TEST_F(EtcdServerTest, rapid_resets_end_the_connection) {
  TestClient client(port_);
  for (uint32_t count = 0; count < 3 * grpc::kResetsPerSecondMax && !client.goaway; ++count) {
    const int32_t stream = client.start(TestClient::grpc_headers(kRange), "", false);
    client.flush();
    client.reset(stream, NGHTTP2_CANCEL);
    client.flush();
    if (count % 100 == 0) client.pump(milliseconds(0));
  }
  for (int round = 0; round < 400 && !client.connection_closed(); ++round) {
    client.pump(milliseconds(50));
  }
  EXPECT_TRUE(client.goaway);
  EXPECT_EQ(client.goaway_error, static_cast<uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_TRUE(client.connection_closed());
}

TEST_F(EtcdServerTest, ping_floods_end_the_connection) {
  TestClient client(port_);
  for (uint32_t count = 0; count < 4 * grpc::kControlFramesPerSecondMax && !client.goaway;
       ++count) {
    client.ping();
    if (count % 50 == 0) client.pump(milliseconds(0));
  }
  for (int round = 0; round < 400 && !client.goaway; ++round) client.pump(milliseconds(50));
  EXPECT_EQ(client.goaway_error, static_cast<uint32_t>(NGHTTP2_ENHANCE_YOUR_CALM));
}

TEST_F(EtcdServerTest, too_many_headers_are_refused) {
  TestClient client(port_);
  Headers many;
  for (int count = 0; count < 200; ++count) many.emplace_back("x" + std::to_string(count), "y");
  const TestAnswer answer = client.call(kPut, put_bytes("k", "v"), many);
  EXPECT_EQ(answer.headers.at(":status"), "431");
  EXPECT_EQ(answer.grpc_status(), 8);
}

TEST_F(EtcdServerTest, unfinished_requests_are_told_so) {
  TestClient client(port_);
  std::string body = TestClient::frame(put_bytes("k", "value"));
  body.resize(body.size() - 2);
  EXPECT_EQ(client.wait(client.start(TestClient::grpc_headers(kPut), body)).grpc_status(), 13);
  EXPECT_EQ(client.wait(client.start(TestClient::grpc_headers(kPut), "")).grpc_status(), 13);
}

TEST_F(EtcdServerTest, garbage_harms_nobody_else) {
  constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  uint64_t state = 88172645463325252U;
  for (int round = 0; round < 60; ++round) {
    TestSocket socket(port_);
    std::string noise(round % 3 == 0 ? "" : std::string(kPreface));
    if (round % 3 == 2) noise += std::string("\0\0\0\x04\0\0\0\0\0", 9);
    for (int count = 0; count < 400; ++count) {
      state ^= state << 13U;
      state ^= state >> 7U;
      state ^= state << 17U;
      noise.push_back(static_cast<char>(state));
    }
    socket.send(noise);
    if (round % 5 == 0) socket.receive_until("", milliseconds(20));
  }
  for (size_t size = 0; size < kPreface.size(); size += 5) {
    TestSocket socket(port_);
    socket.send(kPreface.substr(0, size));  // and goes away
  }
  TestClient client(port_);
  EXPECT_EQ(client.call(kPut, put_bytes("k", "v")).grpc_status(), 0);
}

TEST_F(EtcdServerTest, a_slow_reader_stops_being_read_and_loses_nothing) {
  const std::string large(1U << 20U, 'x');
  on_loop([&] { service_.query_reply.body = Bytes(std::string("\x12") + large); });
  TestClient client(port_);
  std::vector<int32_t> streams;
  for (int count = 0; count < 64; ++count) {
    streams.push_back(
        client.start(TestClient::grpc_headers(kRange), TestClient::frame(range_bytes("k", true))));
  }
  client.flush();  // and does not read
  std::this_thread::sleep_for(milliseconds(100));
  TestClient other(port_);
  EXPECT_EQ(other.call(kPut, put_bytes("k", "v")).grpc_status(), 0);
  for (const int32_t stream : streams) {
    const TestAnswer& answer = client.wait(stream);
    EXPECT_EQ(answer.grpc_status(), 0);
    EXPECT_TRUE(answer.body.ends_with(large));
  }
}

TEST_F(EtcdServerTest, pages) {
  EXPECT_TRUE(page("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                  .ends_with("\r\n\r\n{\"health\":\"true\",\"reason\":\"\"}\n"));
  const std::string version = page("GET /version HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(version.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(version.ends_with(
      "\r\n\r\n{\"etcdserver\":\"3.6.4\",\"etcdcluster\":\"3.6.0\",\"storage\":\"3.6.0\"}"));
  on_loop([&] { service_.leader_id = NodeId{}; });
  const std::string sick = page("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(sick.starts_with("HTTP/1.1 503 "));
  EXPECT_TRUE(sick.ends_with("{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n"));
  EXPECT_TRUE(page("GET /health?serializable=true HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(page("GET /nothing HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(page("POST /health HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(page("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(page("GET / HTTP/1.1\r\n" + std::string(40000, 'a')).starts_with("HTTP/1.1 431 "));
  const std::string head = page("HEAD /version HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
  EXPECT_NE(head.find("Content-Length: 62\r\n"), std::string::npos) << head;
}

TEST_F(EtcdServerTest, pages_on_a_kept_connection_and_over_http2) {
  TestSocket socket(port_);
  socket.send("GET /version HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
  const std::string both = socket.receive_until("\"reason\":\"\"}");
  EXPECT_NE(both.find("etcdcluster"), std::string::npos);
  EXPECT_NE(both.find("\"health\":\"true\""), std::string::npos);
  TestClient client(port_);
  const Headers headers = {
      {":method", "GET"}, {":scheme", "http"}, {":path", "/version"}, {":authority", "x"}};
  const TestAnswer& answer = client.wait(client.start(headers, ""));
  EXPECT_EQ(answer.headers.at(":status"), "200");
  EXPECT_NE(answer.body.find("3.6.4"), std::string::npos);
}

TEST_F(EtcdServerTest, metrics) {
  TestClient client(port_);
  client.call(kPut, put_bytes("k", "v"));
  client.call(kPut, put_bytes("", "v"));
  const std::string text = page("GET /metrics HTTP/1.0\r\n\r\n");
  for (const char* line :
       {"\netcd_server_has_leader 1\n", "\netcd_server_is_leader 1\n",
        "\netcd_debugging_mvcc_current_revision 7\n", "\netcd_debugging_mvcc_keys_total 11\n",
        "\netcd_mvcc_db_total_size_in_bytes 4096\n", "\netcd_server_id{server_id=\"22\"} 1\n",
        "grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type="
        "\"unary\"} 2\n",
        "grpc_server_msg_sent_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type="
        "\"unary\"} 1\n",
        "grpc_server_handling_seconds_count{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\","
        "grpc_type=\"unary\"} 2\n",
        "grpc_server_handling_seconds_bucket{grpc_method=\"Watch\",grpc_service="
        "\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\",le=\"+Inf\"} 0\n",
        "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service="
        "\"etcdserverpb.KV\",grpc_type=\"unary\"} 1\n",
        "grpc_server_handled_total{grpc_code=\"InvalidArgument\",grpc_method=\"Put\",",
        "\nprocess_resident_memory_bytes ", "\nprocess_start_time_seconds 1"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line;
  }
}

TEST_F(EtcdServerTest, a_port_in_use_is_named) {
  on_loop([&] {
    const auto second = server_->listen("127.0.0.1:" + std::to_string(port_));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind, ErrorKind::conflict);
    EXPECT_EQ(second.error().text,
              "cannot listen on 127.0.0.1:" + std::to_string(port_) +
                  ": another process uses this port; stop it or choose another address");
    EXPECT_FALSE(server_->listen("nonsense"));
    EXPECT_TRUE(server_->listen("localhost:0"));
    EXPECT_TRUE(server_->listen(":0"));
  });
}

}  // namespace
}  // namespace quorate::front::etcd
