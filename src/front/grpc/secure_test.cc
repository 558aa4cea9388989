// TLS in front of the gRPC server: real sockets, real handshakes, and clients that misbehave.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/log.h"
#include "front/etcd/test_loop.h"
#include "front/grpc/client.h"
#include "front/grpc/ferry.h"
#include "front/grpc/limits.h"
#include "front/grpc/server.h"
#include "front/grpc/test_client.h"
#include "world/tls/test_authority.h"
#include "world/tls/tls.h"

namespace quorate::front::grpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SecureTest : public testing::Test {
 protected:
  SecureTest() {
    world::TlsOptions demanding = options(authority_.make("n1"));
    demanding.certificate_demanded = demanding.identifying = true;
    demanding.protocols = {"h2", "http/1.1"};
    demanding_ = make(demanding);
    alice_ = make(options(authority_.make("alice")));
    nobody_ = make(options({}));
    ServerOptions server_options;
    server_options.message_bytes_max = size_t{8} << 20U;
    server_options.pages = [this](CallId call, const PageRequest&) {
      server_->answer_page(call, 200, "text/plain", "a page\n");
    };
    server_ = std::make_unique<Server>(*loop_, *loop_, server_options);
    server_->add_unary("test", "Echo", [this](CallId call, std::string_view message) {
      server_->answer(call, "", Bytes(message));
    });
    server_->add_unary("test", "WhoAmI", [this](CallId call, std::string_view) {
      ++asked_;
      server_->answer(call, server_->peer_common_name(call), Bytes());
    });
    ferries_ = std::make_unique<Ferries>(*server_, *loop_, loop_.client_loops());
    port_ = listen({demanding_.get(), false});
    either_port_ = listen({demanding_.get(), true});
    plain_port_ = listen({});
    loop_.start();
  }
  ~SecureTest() override {
    loop_.stop();
    ferries_.reset();
    server_.reset();
  }

  world::TlsOptions options(const world::CertificateFiles& files) {
    world::TlsOptions made;
    made.certificate_file = files.certificate;
    made.key_file = files.key;
    made.authorities_file = authority_.authority_file();
    return made;
  }
  static std::unique_ptr<world::Security> make(world::TlsOptions wanted) {
    auto made = world::make_tls(std::move(wanted));
    EXPECT_TRUE(made) << made.error().text;
    return std::move(*made);
  }
  uint16_t listen(Door door) {
    auto port = server_->listen("127.0.0.1:0", door);
    EXPECT_TRUE(port) << port.error().text;
    return *port;
  }
  static std::string secured(uint16_t port) { return "https://localhost:" + std::to_string(port); }
  Result<std::unique_ptr<Client>> connect_as(world::Security* who, const std::string& address) {
    return connect(address, seconds(10), who);
  }
  Answer call_as(world::Security* who, const std::string& address, std::string_view path,
                 std::string_view message = "") {
    auto client = connect_as(who, address);
    EXPECT_TRUE(client) << client.error().text;
    return client ? (*client)->call(path, message, seconds(10)) : Answer{};
  }

  world::TestAuthority authority_{"test authority"};
  std::unique_ptr<world::Security> demanding_;
  std::unique_ptr<world::Security> alice_;
  std::unique_ptr<world::Security> nobody_;
  etcd::LoopThread loop_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Ferries> ferries_;
  uint16_t port_ = 0;
  uint16_t either_port_ = 0;
  uint16_t plain_port_ = 0;
  int asked_ = 0;
};

TEST_F(SecureTest, calls_know_whose_certificate_their_connection_showed) {
  EXPECT_EQ(call_as(alice_.get(), secured(port_), "/test/WhoAmI").body, "alice");
  const std::string plain = "127.0.0.1:" + std::to_string(plain_port_);
  const Answer answer = call_as(nullptr, plain, "/test/WhoAmI");
  EXPECT_EQ(answer.fate, Fate::answered);
  EXPECT_EQ(answer.body, "");
}

TEST_F(SecureTest, messages_larger_than_every_buffer_pass) {
  auto client = connect_as(alice_.get(), secured(port_));
  ASSERT_TRUE(client) << client.error().text;
  std::string large(size_t{5} << 20U, 'x');
  for (size_t at = 0; at < large.size(); at += 997) large[at] = static_cast<char>(at);
  std::vector<uint64_t> numbers;
  for (int count = 0; count < 4; ++count) {
    numbers.push_back((*client)->submit("/test/Echo", large, seconds(30)));
  }
  size_t whole = 0;
  while ((*client)->under_way() > 0) {
    for (const Finished& done : (*client)->wait(seconds(30))) {
      EXPECT_EQ(done.answer.fate, Fate::answered) << done.answer.message;
      whole += done.answer.body == large ? 1 : 0;
    }
  }
  EXPECT_EQ(whole, numbers.size());
}

TEST_F(SecureTest, without_a_certificate_nothing_runs_and_the_client_knows_that) {
  for (int round = 0; round < 10; ++round) {
    auto client = connect_as(nobody_.get(), secured(port_));
    if (!client) {
      EXPECT_NE(client.error().text.find("shown none"), std::string::npos) << client.error().text;
      continue;
    }
    const Answer answer = (*client)->call("/test/WhoAmI", "", seconds(10));
    EXPECT_EQ(answer.fate, Fate::not_sent);
    EXPECT_NE(answer.message.find("shown none"), std::string::npos) << answer.message;
  }
  loop_.run([this] {
    EXPECT_EQ(asked_, 0);
    EXPECT_EQ(server_->metrics().handshakes_failed, 10U);
  });
}

TEST_F(SecureTest, a_plain_port_is_no_secret_one) {
  auto client = connect_as(alice_.get(), secured(plain_port_));
  ASSERT_FALSE(client);
  EXPECT_NE(client.error().text.find("is this a TLS port?"), std::string::npos)
      << client.error().text;
  auto unsecured = connect(secured(port_), seconds(1));
  ASSERT_FALSE(unsecured);
  EXPECT_NE(unsecured.error().text.find("by TLS"), std::string::npos);
}

TEST_F(SecureTest, plain_text_is_turned_away_unless_the_port_takes_both) {
  const std::string request = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  TestSocket turned_away(port_);
  turned_away.send(request);
  const std::string refusal = turned_away.receive_until("");
  EXPECT_NE(refusal.find("400 Bad Request"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("use https://"), std::string::npos) << refusal;
  EXPECT_TRUE(turned_away.closed());
  TestSocket taken(either_port_);
  taken.send(request);
  EXPECT_NE(taken.receive_until("").find("a page"), std::string::npos);
  EXPECT_EQ(call_as(alice_.get(), secured(either_port_), "/test/WhoAmI").body, "alice");
  TestClient plain(either_port_);
  EXPECT_EQ(plain.call("/test/WhoAmI", "").grpc_status(), 0);
}

TEST_F(SecureTest, garbage_ends_the_connection_at_once) {
  for (const std::string& garbage :
       {std::string(5, '\x16'), std::string(300'000, 'z'),
        std::string("\x16\x03\x01\x40") + '\0' + std::string(20'000, 1)}) {
    TestSocket socket(port_);
    socket.send(garbage);
    socket.receive_until("never said");
    EXPECT_TRUE(socket.closed());
  }
  EXPECT_EQ(call_as(alice_.get(), secured(port_), "/test/WhoAmI").body, "alice");
}

TEST_F(SecureTest, silent_handshakes_keep_nobody_out_and_end) {
  std::vector<std::unique_ptr<TestSocket>> silent;
  for (size_t count = 0; count < kHandshakesMax; ++count) {
    silent.push_back(std::make_unique<TestSocket>(port_));
  }
  // Everybody has been accepted; the oldest may go from now on.
  std::this_thread::sleep_for(kHandshakePatience + milliseconds(200));
  EXPECT_EQ(call_as(alice_.get(), secured(port_), "/test/WhoAmI").body, "alice");
  loop_.run([this] { EXPECT_LE(server_->metrics().connections, kHandshakesMax); });
  silent.back()->receive_until("never said", seconds(30));
  EXPECT_TRUE(silent.back()->closed());
}

TEST_F(SecureTest, a_client_that_stops_in_the_middle_is_given_up) {
  TestSocket slow(port_);
  slow.send(std::string({0x16, 3, 1, 2, 0, 1, 0, 1, 0x7c}));
  slow.receive_until("never said", seconds(30));
  EXPECT_TRUE(slow.closed());
}

}  // namespace
}  // namespace quorate::front::grpc
