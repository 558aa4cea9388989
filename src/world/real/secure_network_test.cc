// Members that trust each other by certificates, and those that must not.
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "base/log.h"
#include "world/real/inquirer.h"
#include "world/real/tcp_network.h"
#include "world/real/test_ports.h"
#include "world/tls/test_authority.h"
#include "world/tls/tls.h"

namespace quorate::world {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string logged;

struct Witness : Network::Receiver {
  void on_connected(NodeId) override { ++connects; }
  void on_disconnected(NodeId) override { ++disconnects; }
  void on_frame(NodeId, Bytes frame) override { frames.push_back(std::move(frame)); }
  void on_bulk_sent(NodeId) override { ++bulk_sent; }
  int connects = 0;
  int disconnects = 0;
  int bulk_sent = 0;
  std::vector<Bytes> frames;
};

class SecureNetwork : public testing::Test {
 protected:
  SecureNetwork() {
    logged.clear();
    set_log_sink([](LogLevel level, std::string_view text) {
      if (level >= LogLevel::warn) logged += std::string(text) + "\n";
    });
    loop_->at_turn_end([this] {
      if (until_ && until_()) loop_->stop();
    });
  }
  ~SecureNetwork() override { set_log_sink(nullptr); }

  TlsOptions options(TestAuthority& authority, const std::string& name) {
    const CertificateFiles files = authority.make(name);
    TlsOptions made;
    made.subject = "peers";
    made.certificate_file = files.certificate;
    made.key_file = files.key;
    made.authorities_file = authority.authority_file();
    made.certificate_demanded = true;
    return made;
  }
  std::unique_ptr<Security> make(TlsOptions wanted) {
    auto made = make_tls(std::move(wanted));
    EXPECT_TRUE(made) << made.error().text;
    return std::move(*made);
  }
  std::string at(uint16_t port, bool secure = true) {
    return (secure ? "https://127.0.0.1:" : "127.0.0.1:") + std::to_string(port);
  }
  std::unique_ptr<TcpNetwork> open(uint64_t self, const std::string& listen, Security* security) {
    auto opened = make_tcp_network(
        *loop_, {.self = NodeId{self}, .cluster_id = 7, .listen = {listen}, .security = security});
    EXPECT_TRUE(opened) << opened.error().text;
    return std::move(*opened);
  }
  // Member 1 dials member 2, each at the address that the other one believes in.
  void open_both(const std::string& one_listens, Security* of_one, const std::string& two_listens,
                 Security* of_two, const std::string& one_dials) {
    one_ = open(1, one_listens, of_one);
    two_ = open(2, two_listens, of_two);
    one_->set_peer(NodeId{2}, {one_dials});
    two_->set_peer(NodeId{1}, {one_listens});
    one_->start(at_one_);
    two_->start(at_two_);
  }
  bool run_until(std::function<bool()> condition, Duration patience = seconds(10)) {
    until_ = std::move(condition);
    loop_->post([] {});
    bool late = false;
    const TimerId timer = loop_->at(loop_->now() + patience, [&] {
      late = true;
      loop_->stop();
    });
    loop_->run();
    loop_->cancel(timer);
    until_ = nullptr;
    return !late;
  }
  void expect_apart(const std::string& why_one, const std::string& why_two) {
    EXPECT_TRUE(run_until([&] {
      return logged.find(why_one) != std::string::npos && logged.find(why_two) != std::string::npos;
    })) << logged;
    EXPECT_EQ(at_one_.connects + at_two_.connects, 0);
  }

  std::unique_ptr<EventLoop> loop_ = make_event_loop();
  std::function<bool()> until_;
  TestAuthority authority_{"cluster authority"};
  TestAuthority stranger_{"somebody else"};
  const uint16_t port_one_ = free_port();
  const uint16_t port_two_ = free_port();
  std::vector<std::unique_ptr<Security>> kept_;
  Witness at_one_;
  Witness at_two_;
  std::unique_ptr<TcpNetwork> one_;
  std::unique_ptr<TcpNetwork> two_;
};

TEST_F(SecureNetwork, frames_of_all_lanes_and_sizes_arrive_unchanged) {
  const auto of_one = make(options(authority_, "n1"));
  const auto of_two = make(options(authority_, "n2"));
  open_both(at(port_one_), of_one.get(), at(port_two_), of_two.get(), at(port_two_));
  ASSERT_TRUE(run_until([this] { return at_one_.connects == 1 && at_two_.connects == 1; }))
      << logged;
  std::string large(size_t{3} << 20U, 'l');
  for (size_t place = 0; place < large.size(); place += 991) {
    large[place] = static_cast<char>(place);
  }
  loop_->post([&] {
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::normal, Bytes(large)));
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::bulk, Bytes(large)));
    for (int count = 0; count < 500; ++count) {
      EXPECT_TRUE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string(20, 'u'))));
      EXPECT_TRUE(two_->send(NodeId{1}, Lane::normal, Bytes(std::string(1000, 'n'))));
    }
  });
  ASSERT_TRUE(run_until([this] {
    return at_two_.frames.size() == 502 && at_one_.frames.size() == 500 && at_one_.bulk_sent == 1;
  })) << at_two_.frames.size()
      << " " << at_one_.frames.size() << " " << logged;
  size_t whole = 0;
  for (const Bytes& frame : at_two_.frames) whole += frame.view() == large ? 1 : 0;
  EXPECT_EQ(whole, 2U);
  EXPECT_EQ(at_two_.frames.front().size(), 20U) << "what is urgent goes first";
  EXPECT_EQ(at_two_.disconnects, 0);
  EXPECT_GT(one_->metrics().bytes_sent, 2 * large.size());
}

TEST_F(SecureNetwork, another_authority_is_trusted_by_neither_side) {
  const auto of_one = make(options(stranger_, "n1"));
  const auto of_two = make(options(authority_, "n2"));
  open_both(at(port_one_), of_one.get(), at(port_two_), of_two.get(), at(port_two_));
  expect_apart("cannot trust member 2", "gave up a connection from 127.0.0.1");
  EXPECT_NE(logged.find("no authority that is trusted here"), std::string::npos) << logged;
}

TEST_F(SecureNetwork, a_certificate_of_another_authority_is_refused_by_who_is_dialled) {
  TlsOptions mixed = options(stranger_, "n1");
  mixed.authorities_file =
      authority_.authority_file();  // believes in the cluster, is no part of it
  const auto of_one = make(mixed);
  const auto of_two = make(options(authority_, "n2"));
  open_both(at(port_one_), of_one.get(), at(port_two_), of_two.get(), at(port_two_));
  expect_apart("does not know the authority that issued our certificate",
               "before its hello: TLS: its certificate (common name \"n1\"");
}

TEST_F(SecureNetwork, only_allowed_names_are_members) {
  const auto of_one = make(options(authority_, "client"));
  TlsOptions strict = options(authority_, "n2");
  strict.allowed_names = {"n1", "n2"};
  const auto of_two = make(strict);
  open_both(at(port_one_), of_one.get(), at(port_two_), of_two.get(), at(port_two_));
  expect_apart("refuses our certificate", "none of those that are allowed here");
}

TEST_F(SecureNetwork, plain_and_secured_do_not_meet_by_accident) {
  const auto of_two = make(options(authority_, "n2"));
  open_both(at(port_one_, false), nullptr, at(port_two_), of_two.get(), at(port_two_, false));
  expect_apart("what it sent is not TLS", "gave up a connection");
  logged.clear();
  one_.reset();
  two_.reset();
  const auto of_one = make(options(authority_, "n1"));
  open_both(at(port_one_), of_one.get(), at(port_two_, false), nullptr, at(port_two_));
  expect_apart("it speaks TLS, and this peer URL is plain", "gave up a connection");
}

TEST_F(SecureNetwork, without_being_told_how_nothing_is_dialled) {
  const auto of_two = make(options(authority_, "n2"));
  open_both(at(port_one_, false), nullptr, at(port_two_), of_two.get(), at(port_two_));
  expect_apart("restart this member with --peer-trusted-ca-file", "has to be reached by TLS");
}

TEST_F(SecureNetwork, who_asks_is_judged_too) {
  const auto of_one = make(options(authority_, "n1"));
  const auto of_two = make(options(authority_, "n2"));
  const auto of_stranger = make(options(stranger_, "n3"));
  two_ = open(2, at(port_two_), of_two.get());
  two_->set_introduction(Bytes(std::string(50'000, 'i')));
  two_->start(at_two_);
  std::vector<Result<Bytes>> answers;
  const auto ask = [&](Inquirer& inquirer, const std::string& address) {
    const size_t before = answers.size();
    inquirer.ask(address, [&](Result<Bytes> told) { answers.push_back(std::move(told)); });
    EXPECT_TRUE(run_until([&] { return answers.size() > before; }));
  };
  Inquirer friendly(*loop_, of_one.get());
  ask(friendly, at(port_two_));
  ASSERT_TRUE(answers[0]) << answers[0].error().text;
  EXPECT_EQ(answers[0]->str(), std::string(50'000, 'i'));
  Inquirer foreign(*loop_, of_stranger.get());
  ask(foreign, at(port_two_));
  ASSERT_FALSE(answers[1]);
  EXPECT_NE(answers[1].error().text.find("no authority that is trusted"), std::string::npos);
  Inquirer plain(*loop_);
  ask(plain, at(port_two_));
  ASSERT_FALSE(answers[2]);
  EXPECT_NE(answers[2].error().text.find("by TLS"), std::string::npos);
  ask(plain, at(port_two_, false));
  EXPECT_FALSE(answers[3]);
}

}  // namespace
}  // namespace quorate::world
