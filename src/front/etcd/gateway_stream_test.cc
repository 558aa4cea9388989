// Streams of the JSON gateway, each over a socket: HTTP/1.1 and HTTP/2, a machine in memory.
#include <array>
#include <charconv>

#include "base/base64.h"
#include "front/etcd/test_line_rig.h"
#include "front/grpc/limits.h"

namespace quorate::front::etcd {
namespace {

using grpc::Headers;
using grpc::TestClient;
using grpc::TestSocket;

std::string post_head(std::string_view path, std::string_view more = {}) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(more);
}
std::string post(std::string_view path, std::string_view body, std::string_view more = {}) {
  return post_head(path, more) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}
std::string chunk(std::string_view text) {
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), text.size(), 16).ptr;
  return std::string(digits.begin(), end) + "\r\n" + std::string(text) + "\r\n";
}
std::string encoded(std::string_view text) {
  std::string out;
  append_base64(text, out);
  return out;
}
std::string watch_of(std::string_view key) {
  return R"({"create_request":{"key":")" + encoded(key) + R"("}})";
}
std::string lock_of(std::string_view name, int lease) {
  return R"({"name":")" + encoded(name) + R"(","lease":")" + std::to_string(lease) + R"("})";
}
// Answers without the header of the response, which is the same in all of them but for a number.
std::string plain(std::string text) {
  size_t at = 0;
  while ((at = text.find(R"("header":{)", at)) != std::string::npos) {
    size_t end = text.find('}', at) + 1;
    if (end < text.size() && text[end] == ',') ++end;
    text.erase(at, end - at);
  }
  return text;
}
// What a chunked body holds, as far as it has come.
std::string unchunked(std::string_view answer) {
  std::string body;
  const size_t head = answer.find("\r\n\r\n");
  if (head == std::string_view::npos) return body;
  answer.remove_prefix(head + 4);
  while (true) {
    const size_t line = answer.find("\r\n");
    if (line == std::string_view::npos) return body;
    size_t size = 0;
    std::from_chars(answer.data(), answer.data() + line, size, 16);
    if (size == 0 || answer.size() < line + 2 + size) return body;
    body += answer.substr(line + 2, size);
    answer.remove_prefix(std::min(answer.size(), line + 2 + size + 2));
  }
}

constexpr std::string_view kCreated = R"({"result":{"created":true}})";

TEST(GatewayStreams, a_watch_is_told_of_changes_line_by_line) {
  LineRig rig;
  TestSocket socket(rig.port());
  socket.send(post("/v3/watch", watch_of("a")));
  std::string answer = socket.receive_until("true}}\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"));
  EXPECT_NE(answer.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
  EXPECT_NE(answer.find("Access-Control-Allow-Origin: *\r\n"), std::string::npos);
  rig.apply([](auto& state) { state.put("b", "no"); });
  rig.apply([](auto& state) { state.put("a", "1"); });
  answer += socket.receive_until("]}}\n\r\n");
  rig.apply([](auto& state) { state.remove("a"); });
  answer += socket.receive_until("]}}\n\r\n");
  EXPECT_EQ(plain(unchunked(answer)),
            std::string(kCreated) +
                "\n"
                R"({"result":{"events":[{"kv":{"key":"YQ==","create_revision":"3",)"
                R"("mod_revision":"3","version":"1","value":"MQ=="}}]}})"
                "\n"
                R"({"result":{"events":[{"type":"DELETE","kv":{"key":"YQ==",)"
                R"("mod_revision":"4"}}]}})"
                "\n");
}

TEST(GatewayStreams, messages_may_come_one_behind_the_other_and_in_pieces) {
  LineRig rig;
  rig.apply([](auto& state) {
    state.put("a", "1");
    state.put("a", "2");
  });
  TestSocket socket(rig.port());
  socket.send(post_head("/v3/watch", "Transfer-Encoding: chunked\r\n") + "\r\n");
  const std::string first =
      R"({"create_request":{"key":"YQ==","start_revision":"1","prev_kv":true,)"
      R"("filters":["NODELETE","NOPUT"],"watch_id":"5"}} )"
      R"({"create_request":{"key":"YQ==","start_revision":"3","prev_kv":true,"filters":[1]}})";
  for (const char byte : first) socket.send(chunk(std::string_view(&byte, 1)));
  std::string answer = socket.receive_until("]}}\n\r\n");
  EXPECT_EQ(plain(unchunked(answer)),
            R"({"result":{"watch_id":"5","created":true}})"
            "\n" +
                std::string(kCreated) +
                "\n"
                R"({"result":{"events":[{"kv":{"key":"YQ==","create_revision":"2",)"
                R"("mod_revision":"3","version":"2","value":"Mg=="},"prev_kv":{"key":"YQ==",)"
                R"("create_revision":"2","mod_revision":"2","version":"1","value":"MQ=="}}]}})"
                "\n");
  socket.send(chunk("\n{\"cancel_request\":{\"watch_id\":\"5\"}}\n{\"progress_request\":{}}"));
  answer = socket.receive_until("\"-1\"}}\n\r\n");
  EXPECT_NE(answer.find(R"("watch_id":"5","canceled":true)"), std::string::npos) << answer;
  socket.send("0\r\n\r\n");  // it listens on
  rig.apply([](auto& state) { state.put("a", "3"); });
  EXPECT_NE(socket.receive_until("]}}\n\r\n").find("\"Mw==\""), std::string::npos);
}

TEST(GatewayStreams, what_is_no_message_is_refused_before_and_behind_the_first_answer) {
  LineRig rig;
  for (const std::string body : {"{bad", "[]", "x", R"({"create_request":{"key":"%"}})",
                                 R"({"create_request":{"filters":["NONE"]}})"}) {
    TestSocket socket(rig.port());
    socket.send(post("/v3/watch", body));
    const std::string answer = socket.receive_until("}");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 ")) << body << answer;
    EXPECT_NE(answer.find("\"code\":3,"), std::string::npos) << answer;
  }
  TestSocket late(rig.port());
  late.send(post_head("/v3/watch", "Transfer-Encoding: chunked\r\n") + "\r\n" +
            chunk(watch_of("a")));
  late.receive_until("true}}\n\r\n");
  late.send(chunk("{]"));
  const std::string answer = late.receive_until("");
  EXPECT_NE(answer.find(R"({"error":{"grpc_code":3,"http_code":400,"message":")"),
            std::string::npos)
      << answer;
  EXPECT_TRUE(answer.ends_with("\r\n0\r\n\r\n")) << answer;
}

TEST(GatewayStreams, a_body_that_breaks_behind_the_first_answer_ends_the_connection) {
  LineRig rig;
  TestSocket socket(rig.port());
  socket.send(post_head("/v3/watch", "Transfer-Encoding: chunked\r\n") + "\r\n" +
              chunk(watch_of("a")));
  socket.receive_until("true}}\n\r\n");
  socket.send("nonsense\r\n");
  EXPECT_EQ(socket.receive_until(""), "");
  EXPECT_TRUE(socket.closed());
  TestSocket early(rig.port());
  early.send(post_head("/v3/watch", "Transfer-Encoding: chunked\r\n") + "\r\nnonsense\r\n");
  EXPECT_TRUE(early.receive_until("").starts_with("HTTP/1.1 400 "));
}

TEST(GatewayStreams, renewals_are_answered_each_and_end_with_the_body) {
  LineRig rig;
  rig.on_loop([&] { rig.service().lease_life = {.found = true, .granted_seconds = 60}; });
  TestSocket socket(rig.port());
  socket.send(post("/v3/lease/keepalive", R"({"ID":"5"}{"ID":6})") +
              post("/v3beta/lease/keepalive", "") + "GET /version HTTP/1.0\r\n\r\n");
  const std::string answer = socket.receive_until("");
  EXPECT_EQ(plain(unchunked(answer)),
            "{\"result\":{\"ID\":\"5\",\"TTL\":\"60\"}}\n"
            "{\"result\":{\"ID\":\"6\",\"TTL\":\"60\"}}\n");
  // The next two on the connection: a stream without a message, and a page.
  const size_t next = answer.find("HTTP/1.1 200 OK", 1);
  ASSERT_NE(next, std::string::npos) << answer;
  EXPECT_NE(answer.find("Content-Length: 0\r\n", next), std::string::npos) << answer;
  EXPECT_NE(answer.find("etcdcluster", next), std::string::npos) << answer;
}

TEST(GatewayStreams, an_old_client_reads_until_the_connection_closes) {
  LineRig rig;
  rig.on_loop([&] { rig.service().lease_life = {.found = true, .granted_seconds = 60}; });
  TestSocket socket(rig.port());
  socket.send("POST /v3/lease/keepalive HTTP/1.0\r\nContent-Length: 10\r\n\r\n{\"ID\":\"5\"}");
  const std::string answer = socket.receive_until("");
  EXPECT_TRUE(socket.closed());
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
  EXPECT_EQ(plain(answer.substr(answer.find("\r\n\r\n") + 4)),
            "{\"result\":{\"ID\":\"5\",\"TTL\":\"60\"}}\n");
}

TEST(GatewayStreams, http2_carries_the_same) {
  LineRig rig;
  TestClient client(rig.port());
  const Headers headers = {{":method", "POST"},
                           {":scheme", "http"},
                           {":path", "/v3/watch"},
                           {":authority", "x"},
                           {"content-type", "application/json"}};
  const int32_t stream = client.start(headers, watch_of("a") + "{\"progress_", false);
  client.flush();
  const auto comes = [&](std::string_view part) {
    return LineRig::comes([&] {
      client.pump(std::chrono::milliseconds(10));
      return client.answer(stream).body.find(part) != std::string::npos;
    });
  };
  ASSERT_TRUE(comes("true}}\n"));
  EXPECT_EQ(client.answer(stream).headers.at(":status"), "200");
  EXPECT_EQ(client.answer(stream).headers.at("content-type"), "application/json");
  EXPECT_EQ(client.answer(stream).headers.at("access-control-allow-origin"), "*");
  rig.apply([](auto& state) { state.put("a", "1"); });
  ASSERT_TRUE(comes("\"MQ==\""));
  client.send(stream, "request\":{}}{bad", true);
  const auto& answer = client.wait(stream);
  EXPECT_TRUE(answer.ended);
  EXPECT_EQ(answer.headers.count("grpc-status"), 0U);
  EXPECT_NE(answer.body.find("\"-1\"}}\n"), std::string::npos) << answer.body;
  EXPECT_NE(answer.body.find("{\"error\":{\"grpc_code\":3,"), std::string::npos) << answer.body;
}

// Both come at once, so the refusal is known before the first is answered.
TEST(GatewayStreams, a_refusal_comes_behind_the_answers_to_what_was_good) {
  LineRig rig;
  TestClient client(rig.port());
  const Headers headers = {{":method", "POST"},
                           {":scheme", "http"},
                           {":path", "/v3/watch"},
                           {":authority", "x"},
                           {"content-type", "application/json"}};
  const auto& json = client.wait(client.start(headers, watch_of("a") + "{bad"));
  EXPECT_LT(json.body.find("true}}\n"), json.body.find("{\"error\":{\"grpc_code\":3,"))
      << json.body;
  EXPECT_NE(json.body.find("{\"error\":{\"grpc_code\":3,"), std::string::npos) << json.body;
  const std::string create(
      "\x0a\x03\x0a\x01"
      "a",
      5);
  const std::string compressed("\x01\0\0\0\1x", 6);
  const auto& refused =
      client.wait(client.start(TestClient::grpc_headers("/etcdserverpb.Watch/Watch"),
                               TestClient::frame(create) + compressed + TestClient::frame(create)));
  EXPECT_FALSE(refused.first_message().empty());
  EXPECT_EQ(refused.body.size(), grpc::kMessagePrefixBytes + refused.first_message().size());
  EXPECT_EQ(refused.grpc_status(), 13);
  EXPECT_EQ(refused.grpc_message(), "grpc: compressed flag set with identity or empty encoding");
}

TEST(GatewayStreams, a_lock_is_one_answer_and_its_wait_ends_with_the_client) {
  LineRig rig;
  for (int64_t lease = 1; lease <= 3; ++lease) rig.grant(lease);
  TestSocket first(rig.port());
  first.send(post("/v3/lock/lock", lock_of("job", 1)));
  const std::string had = first.receive_until("\"}");
  EXPECT_NE(had.find("Content-Length: "), std::string::npos) << had;
  EXPECT_NE(had.find("\"key\":\"" + encoded("job/1") + "\""), std::string::npos) << had;
  {
    TestSocket leaver(rig.port());
    leaver.send(post("/v3/lock/lock", lock_of("job", 2)));
    EXPECT_TRUE(rig.comes([&] { return rig.holds("job/2"); }));
  }
  EXPECT_TRUE(rig.comes([&] { return !rig.holds("job/2"); }));
  TestSocket third(rig.port());
  third.send(post("/v3/lock/lock", lock_of("job", 3)));
  EXPECT_TRUE(rig.comes([&] { return rig.holds("job/3"); }));
  first.send(post("/v3/lock/unlock", R"({"key":")" + encoded("job/1") + "\"}"));
  EXPECT_NE(third.receive_until("\"}").find(encoded("job/3")), std::string::npos);
}

TEST(GatewayStreams, elections_speak_json) {
  LineRig rig;
  rig.grant(1);
  const auto ask = [&](std::string_view path, std::string_view body) {
    TestSocket socket(rig.port());
    socket.send(post(path, body, "Connection: close\r\n"));
    const std::string answer = socket.receive_until("");
    return answer.substr(9, 4) + plain(answer.substr(answer.find("\r\n\r\n") + 4));
  };
  EXPECT_EQ(ask("/v3/election/leader", R"({"name":"bw=="})"),
            R"(500 {"error":"election: no leader","code":2,"message":"election: no leader"})");
  TestSocket observing(rig.port());
  observing.send(post("/v3/election/observe", R"({"name":"bw=="})"));
  const std::string leader =
      R"({"name":"bw==","key":")" + encoded("o/1") + R"(","rev":"2","lease":"1"})";
  EXPECT_EQ(ask("/v3/election/campaign", R"({"name":"bw==","lease":"1","value":"YQ=="})"),
            "200 {\"leader\":" + leader + "}");
  EXPECT_EQ(ask("/v3/election/proclaim", "{\"value\":\"Yg==\",\"leader\":" + leader + "}"),
            "200 {}");
  const std::string told = observing.receive_until("\"Yg==\",\"lease\":\"1\"}}}\n\r\n");
  EXPECT_NE(told.find("{\"result\":{\"header\":"), std::string::npos) << told;
  EXPECT_EQ(ask("/v3/election/resign", "{\"leader\":" + leader + "}"), "200 {}");
  EXPECT_EQ(ask("/v3beta/election/leader", R"({"name":"bw=="})").substr(0, 4), "500 ");
}

TEST(GatewayStreams, a_time_given_is_kept_to) {
  LineRig rig;
  const std::string soon = "Grpc-Timeout: 100m\r\n";
  TestSocket watching(rig.port());
  watching.send(post("/v3/watch", watch_of("a"), soon));
  const std::string late = watching.receive_until("0\r\n\r\n");
  EXPECT_NE(late.find(R"({"error":{"grpc_code":4,"http_code":504,"message":"context deadline )"
                      R"(exceeded","http_status":"Gateway Timeout","code":4}})"),
            std::string::npos)
      << late;
  TestSocket observing(rig.port());
  observing.send(post("/v3/election/observe", R"({"name":"bw=="})", soon));
  EXPECT_TRUE(observing.receive_until("}").starts_with("HTTP/1.1 504 "));
  TestSocket wrong(rig.port());
  wrong.send(post("/v3/watch", watch_of("a"), "grpc-timeout: soon\r\n"));
  EXPECT_TRUE(wrong.receive_until("}").starts_with("HTTP/1.1 400 "));
}

TEST(GatewayStreams, headers_are_passed_on) {
  LineRig rig;
  rig.on_loop([&] { rig.service().leader_id = NodeId(); });
  TestSocket asking(rig.port());
  asking.send(post("/v3/watch", watch_of("a"), "gRPC-Metadata-HasLeader: true\r\n"));
  const std::string refused = asking.receive_until("}");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503 ")) << refused;
  EXPECT_NE(refused.find("etcdserver: no leader"), std::string::npos) << refused;
  TestSocket other(rig.port());
  other.send(post("/v3/watch", watch_of("a"), "HasLeader: true\r\n"));  // not one of ours
  EXPECT_TRUE(other.receive_until("true}}\n").starts_with("HTTP/1.1 200 "));
}

TEST(GatewayStreams, a_slow_reader_costs_no_memory_and_misses_nothing) {
  LineRig rig;
  TestSocket socket(rig.port());
  socket.send(post("/v3/watch", watch_of("a")));
  std::string answer = socket.receive_until("true}}\n\r\n");
  const std::string large(size_t{1} << 19U, 'x');
  constexpr int kPuts = 60;  // more than the sockets hold, and what the server keeps for a watcher
  for (int count = 0; count < kPuts; ++count) {
    rig.apply([&](auto& state) { state.put("a", large); });
  }
  rig.apply([](auto& state) { state.put("a", "last"); });
  const std::string end = "\"" + encoded("last") + "\"";
  const auto ended = [&] {
    const size_t tail = answer.size() - std::min(answer.size(), size_t{500});
    return answer.find(end, tail) != std::string::npos;
  };
  while (!ended() && socket.receive_some(answer, std::chrono::seconds(10))) {
  }
  EXPECT_TRUE(ended());
  size_t events = 0;
  for (size_t at = 0; (at = answer.find("mod_revision", at)) != std::string::npos; ++at) ++events;
  EXPECT_EQ(events, static_cast<size_t>(kPuts + 1));
}

TEST(GatewayStreams, watchers_are_told_that_the_server_stops) {
  LineRig rig;
  TestSocket socket(rig.port());
  socket.send(post("/v3/watch", watch_of("a")));
  socket.receive_until("true}}\n\r\n");
  rig.on_loop([&] { rig.server().drain(); });
  EXPECT_NE(socket.receive_until("").find("\"grpc_code\":14,\"http_code\":503"), std::string::npos);
}

TEST(HttpPages, browsers_are_told_what_they_may) {
  LineRig rig([](EtcdOptions& options) { options.cors = {"http://a.example"}; });
  const auto ask = [&](const std::string& line, const std::string& more) {
    TestSocket socket(rig.port());
    socket.send(line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + more + "\r\n");
    return socket.receive_until("");
  };
  const std::string good = "Origin: http://a.example\r\n";
  const std::string allowed = "Access-Control-Allow-Origin: http://a.example\r\n";
  for (const std::string line : {"OPTIONS /v3/kv/put", "OPTIONS /nothing", "GET /version"}) {
    EXPECT_TRUE(ask(line, good).starts_with("HTTP/1.1 200 "));
    EXPECT_NE(ask(line, good).find(allowed), std::string::npos) << ask(line, good);
    EXPECT_EQ(ask(line, "Origin: http://b.example\r\n").find("Access-Control"), std::string::npos);
    EXPECT_EQ(ask(line, "").find("Access-Control"), std::string::npos);
  }
  TestClient client(rig.port());
  const Headers options = {{":method", "OPTIONS"},
                           {":scheme", "http"},
                           {":path", "/v3/watch"},
                           {":authority", "x"},
                           {"origin", "http://a.example"}};
  const auto& answer = client.wait(client.start(options, ""));
  EXPECT_EQ(answer.headers.at(":status"), "200");
  EXPECT_EQ(answer.headers.at("access-control-allow-origin"), "http://a.example");
}

TEST(HttpPages, only_names_that_are_listed_are_answered) {
  LineRig rig([](EtcdOptions& options) { options.host_whitelist = {"good.example"}; });
  const auto status = [&](const std::string& line, const std::string& host) {
    TestSocket socket(rig.port());
    socket.send(line + " HTTP/1.1\r\nConnection: close\r\n" + host +
                "Content-Length: " + (line.starts_with("POST") ? "2\r\n\r\n{}" : "0\r\n\r\n"));
    return socket.receive_until("").substr(9, 3);
  };
  for (const std::string line : {"GET /version", "POST /v3/kv/range", "POST /v3/watch",
                                 "POST /nothing", "OPTIONS /version"}) {
    EXPECT_EQ(status(line, "Host: evil.example\r\n"), "421") << line;
    EXPECT_EQ(status(line, ""), "421") << line;
  }
  EXPECT_EQ(status("GET /version", "Host: good.example:2379\r\n"), "200");
  EXPECT_EQ(status("POST /v3/maintenance/status", "Host: good.example\r\n"), "200");
  TestClient client(rig.port());
  const Headers get = {{":method", "GET"},
                       {":scheme", "http"},
                       {":path", "/version"},
                       {":authority", "evil.example:1"}};
  EXPECT_EQ(client.wait(client.start(get, "")).headers.at(":status"), "421");
  // gRPC clients are no browsers.
  EXPECT_EQ(Caller(rig.port(), "/etcdserverpb.Maintenance/Status", {}).answer().grpc_status(), 0);
}

}  // namespace
}  // namespace quorate::front::etcd
