// JSON in front of the gRPC methods, over loopback sockets: HTTP/1.1 and HTTP/2, a fake node.
#include <gtest/gtest.h>

#include <thread>

#include "etcd.pb.h"
#include "front/etcd/fake_service.h"
#include "front/etcd/server.h"
#include "front/etcd/test_loop.h"
#include "front/grpc/test_client.h"

namespace quorate::front::etcd {
namespace {

using grpc::Headers;
using grpc::TestAnswer;
using grpc::TestClient;
using grpc::TestSocket;

class GatewayTest : public testing::Test {
 protected:
  GatewayTest() : service_(*loop_) {
    EtcdOptions options;
    options.name = "n1";
    options.version = "3.7.1";
    options.request_bytes_max = size_t{64} << 10U;
    options.client_loops = loop_.client_loops();
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    auto port = server_->listen("127.0.0.1:0");
    EXPECT_TRUE(port) << port.error().text;
    port_ = *port;
    loop_.start();
    on_loop([&] { service_.write_reply.revision = 12; });
  }
  ~GatewayTest() override {
    loop_.stop();
    server_.reset();
  }
  void on_loop(const std::function<void()>& task) { loop_.run(task); }
  static std::string post_text(std::string_view path, std::string_view body) {
    return "POST " + std::string(path) +
           " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
  }
  // "status body".
  static std::string short_form(const std::string& answer) {
    const size_t body = answer.find("\r\n\r\n");
    if (body == std::string::npos) return answer;
    return answer.substr(9, 4) + answer.substr(body + 4);
  }
  std::string raw(const std::string& request) {
    TestSocket socket(port_);
    socket.send(request);
    return short_form(socket.receive_until(""));
  }
  std::string post(std::string_view path, std::string_view body) {
    return raw(post_text(path, body));
  }

  LoopThread loop_;
  FakeService service_;
  std::unique_ptr<EtcdServer> server_;
  uint16_t port_ = 0;
};

constexpr std::string_view kPutAnswer =
    R"({"header":{"cluster_id":"17","member_id":"34","revision":"12","raft_term":"4"}})";
const std::string kPutDone = "200 " + std::string(kPutAnswer);

TEST_F(GatewayTest, a_put_takes_the_way_of_every_put) {
  on_loop([&] { service_.commands.clear(); });
  EXPECT_EQ(post("/v3/kv/put", R"({"key":"YQ==","value":"Yg=="})"), kPutDone);
  EXPECT_EQ(post("/v3beta/kv/put", R"({"key":"YQ==","value":"Yg=="})"), kPutDone);
  TestClient client(port_);
  etcdserverpb::PutRequest request;
  request.set_key("a");
  request.set_value("b");
  EXPECT_EQ(client.call("/etcdserverpb.KV/Put", request.SerializeAsString()).grpc_status(), 0);
  on_loop([&] {
    ASSERT_EQ(service_.commands.size(), 3U);
    EXPECT_EQ(service_.commands[0].view(), service_.commands[2].view());
    EXPECT_EQ(service_.commands[1].view(), service_.commands[2].view());
  });
}

TEST_F(GatewayTest, http2_carries_the_same) {
  TestClient client(port_);
  const auto post2 = [&](const std::string& path, const std::string& body) -> TestAnswer& {
    const Headers headers = {{":method", "POST"},
                             {":scheme", "http"},
                             {":path", path},
                             {":authority", "x"},
                             {"content-type", "application/json"}};
    return client.wait(client.start(headers, body));
  };
  const TestAnswer& done = post2("/v3/kv/put", R"({"key":"YQ=="})");
  EXPECT_EQ(done.headers.at(":status"), "200");
  EXPECT_EQ(done.headers.at("content-type"), "application/json");
  EXPECT_EQ(done.headers.count("grpc-status"), 0U);
  EXPECT_EQ(done.body, kPutAnswer);
  const TestAnswer& refused = post2("/v3/kv/put", "{}");
  EXPECT_EQ(refused.headers.at(":status"), "400");
  EXPECT_EQ(refused.body, R"({"error":"etcdserver: key is not provided","code":3,)"
                          R"("message":"etcdserver: key is not provided"})");
  EXPECT_EQ(post2("/v3/kv/put", std::string(2000000, ' ')).headers.at(":status"), "413");
  EXPECT_EQ(post2("/v3/nothing", "{}").headers.at(":status"), "415");
  const Headers get = {
      {":method", "GET"}, {":scheme", "http"}, {":path", "/v3/kv/put"}, {":authority", "x"}};
  EXPECT_EQ(client.wait(client.start(get, "")).headers.at(":status"), "501");
}

TEST_F(GatewayTest, reads_and_status) {
  etcdserverpb::RangeResponse response;  // without its header, as the machine answers
  response.add_kvs()->set_key("a");
  response.set_count(1);
  on_loop([&] {
    service_.query_reply.revision = 9;
    service_.query_reply.body = Bytes(response.SerializeAsString());
  });
  EXPECT_EQ(post("/v3/kv/range", R"({"key":"YQ==","serializable":true})"),
            R"(200 {"header":{"cluster_id":"17","member_id":"34","revision":"9","raft_term":"4"},)"
            R"("kvs":[{"key":"YQ=="}],"count":"1"})");
  on_loop([&] { EXPECT_EQ(service_.barriers, 0U); });
  EXPECT_TRUE(post("/v3/kv/range", R"({"key":"YQ=="})").starts_with("200 "));
  on_loop([&] { EXPECT_EQ(service_.barriers, 1U); });
  const std::string status = post("/v3/maintenance/status", "");
  EXPECT_NE(status.find(R"("version":"3.7.1")"), std::string::npos) << status;
  EXPECT_NE(status.find(R"("leader":"34")"), std::string::npos) << status;
  on_loop([&] { service_.query_reply = {}; });
  const std::string members = post("/v3/cluster/member/list", "{}");
  EXPECT_NE(members.find(R"("peerURLs":["http://10.0.0.1:2380"])"), std::string::npos) << members;
  EXPECT_EQ(post("/v3/maintenance/transfer-leadership", R"({"targetID":"34"})"), "200 {}");
}

TEST_F(GatewayTest, errors_have_the_status_of_their_code) {
  EXPECT_EQ(post("/v3/kv/range", "{"),
            R"(400 {"error":"the body is not valid JSON, as seen at byte 2","code":3,)"
            R"("message":"the body is not valid JSON, as seen at byte 2"})");
  EXPECT_TRUE(post("/v3/maintenance/transfer-leadership", "{}").starts_with("400 "));
  EXPECT_TRUE(post("/v3/cluster/member/remove", R"({"ID":"0"})").starts_with("404 "));
  on_loop([&] { service_.refusal = node::RefusedWhy::no_leader; });
  EXPECT_EQ(post("/v3/kv/put", R"({"key":"YQ=="})"),
            R"(503 {"error":"etcdserver: no leader","code":14,"message":"etcdserver: no leader"})");
  on_loop([&] { service_.refusal = node::RefusedWhy::too_many_requests; });
  EXPECT_TRUE(post("/v3/kv/put", R"({"key":"YQ=="})").starts_with("500 "));
  EXPECT_TRUE(post("/v3/kv/nothing", "{}").starts_with("404 "));
  EXPECT_TRUE(raw("GET /v3/kv/put HTTP/1.0\r\n\r\n").starts_with("501 "));
  EXPECT_TRUE(raw("PUT /v3/kv/put HTTP/1.1\r\n\r\n").starts_with("405 "));
}

TEST_F(GatewayTest, bodies_in_chunks_on_request_and_behind_each_other) {
  const std::string head = "POST /v3/kv/put HTTP/1.1\r\nHost: x\r\n";
  const std::string chunks =
      "Transfer-Encoding: chunked\r\n\r\n7\r\n{\"key\":\r\n8;why=not\r\n\"YQ==\"} \r\n0\r\n"
      "Trailer: x\r\n\r\n";
  EXPECT_EQ(raw(head + "Connection: close\r\n" + chunks), kPutDone);
  TestSocket slow(port_);  // one byte at a time
  for (const char byte : head + "Connection: close\r\n" + chunks) {
    slow.send(std::string_view(&byte, 1));
  }
  EXPECT_EQ(short_form(slow.receive_until("")), kPutDone);
  TestSocket asking(port_);
  asking.send(head + "Expect: 100-continue\r\nContent-Length: 14\r\n\r\n");
  EXPECT_EQ(asking.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  asking.send(R"({"key":"YQ=="})");
  EXPECT_EQ(short_form(asking.receive_until("}}")), kPutDone);
  asking.send(head + chunks + "GET /version HTTP/1.0\r\n\r\n");  // the connection is still good
  const std::string both = asking.receive_until("");
  EXPECT_NE(both.find(kPutAnswer), std::string::npos);
  EXPECT_NE(both.find("etcdcluster"), std::string::npos);
}

TEST_F(GatewayTest, bodies_that_lie_or_are_too_large_end_the_connection) {
  const std::string head = "POST /v3/kv/put HTTP/1.1\r\n";
  const auto status = [&](const std::string& rest) { return raw(head + rest).substr(0, 4); };
  EXPECT_EQ(status("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), "400 ");
  EXPECT_EQ(status("Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), "400 ");
  EXPECT_EQ(status("Content-Length: -1\r\n\r\n"), "400 ");
  EXPECT_EQ(status("Content-Length: 99999999999999999999\r\n\r\n"), "400 ");
  EXPECT_EQ(status("Content-Length: 10000000\r\n\r\n"), "413 ");
  EXPECT_EQ(status("Transfer-Encoding: gzip, chunked\r\n\r\n"), "501 ");
  const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(status(chunked + "g\r\n"), "400 ");
  EXPECT_EQ(status(chunked + "fffffffff\r\n"), "400 ");
  EXPECT_EQ(status(chunked + "1\r\n{}\r\n"), "400 ");
  EXPECT_EQ(status(chunked + std::string(300, '0')), "400 ");
  std::string large;
  for (int count = 0; count < 40; ++count) {
    large += "8000\r\n" + std::string(0x8000, ' ') + "\r\n";
  }
  EXPECT_EQ(status(chunked + large), "413 ");
  const std::string page = "GET /version HTTP/1.1\r\n";
  EXPECT_EQ(raw(page + "Content-Length: 20000\r\n\r\n").substr(0, 4), "413 ");
  EXPECT_EQ(raw(page + chunked + "5000\r\n" + std::string(0x5000, ' ')).substr(0, 4), "413 ");
  EXPECT_EQ(raw(page + chunked + "g\r\n").substr(0, 4), "400 ");
  EXPECT_EQ(post("/v3/kv/put", R"({"key":"YQ=="})"), kPutDone);
}

// Patroni asks for /version with the body of its other calls.
TEST_F(GatewayTest, a_page_is_served_whatever_body_comes_with_the_request) {
  const std::string page = "GET /version HTTP/1.1\r\n";
  const std::string next = page + "Connection: close\r\n\r\n";
  const std::string plain = raw(next);
  ASSERT_TRUE(plain.starts_with("200 ")) << plain;
  for (const std::string body : {"Content-Length: 2\r\n\r\n{}", "Content-Length: 0\r\n\r\n",
                                 "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"}) {
    const std::string both = raw(page + body + next);  // what comes behind is a request again
    EXPECT_TRUE(both.starts_with("200 ")) << both;
    EXPECT_TRUE(both.ends_with(plain.substr(4))) << body << both;
  }
}

TEST_F(GatewayTest, a_client_that_leaves_in_the_middle_leaves_nothing) {
  for (int count = 0; count < 20; ++count) {
    TestSocket socket(port_);
    socket.send("POST /v3/kv/put HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"key\"");
  }
  on_loop([&] { service_.hold = true; });
  {
    TestSocket socket(port_);
    socket.send(post_text("/v3/kv/put", R"({"key":"YQ=="})"));
    for (int tries = 0; tries < 500; ++tries) {
      bool held = false;
      on_loop([&] { held = !service_.held.empty(); });
      if (held) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
  on_loop([&] {
    service_.hold = false;
    for (auto& done : service_.held) done(node::Applied{});
    service_.held.clear();
  });
  EXPECT_EQ(post("/v3/kv/put", R"({"key":"YQ=="})"), kPutDone);
}

}  // namespace
}  // namespace quorate::front::etcd
