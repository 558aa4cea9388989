// The probes over a loopback socket, against a fake node.
#include "front/etcd/probes.h"

#include <gtest/gtest.h>

#include "front/etcd/fake_service.h"
#include "front/etcd/server.h"
#include "front/etcd/test_loop.h"
#include "front/grpc/test_client.h"

namespace quorate::front::etcd {
namespace {

class ProbesTest : public testing::Test {
 protected:
  ProbesTest() : service_(*loop_) {
    EtcdOptions options;
    options.version = "3.6.4";
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    auto port = server_->listen("127.0.0.1:0");
    EXPECT_TRUE(port) << port.error().text;
    port_ = *port;
    loop_.start();
  }
  ~ProbesTest() override {
    loop_.stop();
    server_.reset();
  }
  void on_loop(const std::function<void()>& task) { loop_.run(task); }
  // "status body".
  std::string get(const std::string& path) {
    grpc::TestSocket socket(port_);
    socket.send("GET " + path + " HTTP/1.0\r\n\r\n");
    const std::string answer = socket.receive_until("");
    const size_t body = answer.find("\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 ")) << answer;
    if (body == std::string::npos) return answer;
    return answer.substr(9, 4) + answer.substr(body + 4);
  }

  LoopThread loop_;
  FakeService service_;
  std::unique_ptr<EtcdServer> server_;
  uint16_t port_ = 0;
};

constexpr std::string_view kAll =
    "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\n";

TEST_F(ProbesTest, a_healthy_member_passes_and_tells_more_when_asked) {
  EXPECT_EQ(get("/livez"), "200 ok\n");
  EXPECT_EQ(get("/readyz"), "200 ok\n");
  EXPECT_EQ(get("/livez?verbose"), "200 [+]serializable_read ok\nok\n");
  EXPECT_EQ(get("/readyz?verbose"), "200 " + std::string(kAll) + "ok\n");
  EXPECT_EQ(get("/readyz?verbose=1&exclude=linearizable_read&exclude=nobody"),
            "200 [+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n");
  EXPECT_EQ(get("/readyz/non_learner?verbose"), "200 [+]non_learner ok\nok\n");
  EXPECT_EQ(get("/livez/serializable_read"), "200 ok\n");
  for (const char* none : {"/livez/linearizable_read", "/readyz/", "/readyzz", "/livez/x"}) {
    EXPECT_TRUE(get(none).starts_with("404 ")) << none;
  }
}

TEST_F(ProbesTest, liveness_costs_no_barrier) {
  EXPECT_EQ(get("/livez"), "200 ok\n");
  EXPECT_EQ(get("/readyz?exclude=linearizable_read"), "200 ok\n");
  on_loop([&] { EXPECT_EQ(service_.barriers, 0U); });
  EXPECT_EQ(get("/readyz/linearizable_read"), "200 ok\n");
  on_loop([&] { EXPECT_EQ(service_.barriers, 1U); });
}

TEST_F(ProbesTest, what_fails_is_named_with_its_reason) {
  on_loop([&] { service_.leader_id = NodeId{}; });
  EXPECT_EQ(get("/livez"), "200 ok\n");
  EXPECT_EQ(get("/readyz"),
            "503 [+]data_corruption ok\n[+]serializable_read ok\n"
            "[-]linearizable_read failed: etcdserver: no leader\n[+]non_learner ok\n\n");
  EXPECT_EQ(get("/readyz?exclude=linearizable_read"), "200 ok\n");
  on_loop([&] {
    service_.leader_id = NodeId{0x22};
    service_.barrier_refusal = node::RefusedWhy::timed_out;
  });
  EXPECT_EQ(get("/readyz/linearizable_read"),
            "503 [-]linearizable_read failed: etcdserver: request timed out\n\n");
  on_loop([&] {
    service_.barrier_refusal.reset();
    service_.learner = true;
  });
  EXPECT_EQ(get("/readyz/non_learner"), "503 [-]non_learner failed: not supported for learner\n\n");
  EXPECT_EQ(get("/livez"), "200 ok\n");
}

TEST_F(ProbesTest, a_lost_store_is_neither_alive_nor_healthy) {
  on_loop([&] { service_.query_reply.code = machine::kStateUnavailable; });
  EXPECT_EQ(get("/livez"), "503 [-]serializable_read failed: etcdserver: unhealthy cluster\n\n");
  EXPECT_TRUE(get("/readyz/linearizable_read").starts_with("503 "));
  EXPECT_EQ(
      get("/health?serializable=true"),
      "503 {\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: unhealthy cluster\"}\n");
  EXPECT_TRUE(get("/health").starts_with("503 "));
  EXPECT_TRUE(get("/health?exclude=NOSPACE").starts_with("503 "));
  on_loop([&] { service_.query_reply.code = 0; });
  EXPECT_TRUE(get("/health?exclude=NOSPACE").starts_with("200 "));
}

}  // namespace
}  // namespace quorate::front::etcd
