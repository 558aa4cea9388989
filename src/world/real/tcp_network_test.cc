#include "world/real/tcp_network.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <optional>

#include "base/log.h"
#include "world/real/inquirer.h"
#include "world/real/test_ports.h"
#include "world/real/wire.h"

namespace quorate::world {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string logged;

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

int raw_connection(uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port);
  EXPECT_EQ(::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return descriptor;
}

void raw_send(int descriptor, std::string_view bytes) {
  EXPECT_EQ(::send(descriptor, bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

std::string frame_text(Lane lane, std::string_view payload) {
  const FrameHeaderBytes header = encode_frame_header(lane, false, Bytes(payload));
  return std::string(reinterpret_cast<const char*>(header.data()), header.size()) +
         std::string(payload);
}

struct Witness : Network::Receiver {
  void on_connected(NodeId) override { ++connects; }
  void on_disconnected(NodeId) override { ++disconnects; }
  void on_frame(NodeId peer, Bytes frame) override {
    from = peer;
    frames.push_back(std::move(frame));
    if (action) action();
  }
  void on_bulk_sent(NodeId) override {
    ++bulk_sent;
    if (bulk_action) bulk_action();
  }
  int connects = 0;
  int disconnects = 0;
  int bulk_sent = 0;
  NodeId from;
  std::vector<Bytes> frames;
  std::function<void()> action;
  std::function<void()> bulk_action;
};

class Tcp : public ::testing::Test {
 protected:
  Tcp() {
    logged.clear();
    set_log_sink([](LogLevel, std::string_view text) { logged += std::string(text) + "\n"; });
    loop_->at_turn_end([this] {
      if (until_ && until_()) loop_->stop();
    });
  }
  ~Tcp() override { set_log_sink(nullptr); }

  std::unique_ptr<TcpNetwork> open(uint64_t self, uint16_t port, uint64_t cluster = 77) {
    auto opened = make_tcp_network(
        *loop_, {.self = NodeId{self}, .cluster_id = cluster, .listen = {at(port)}});
    EXPECT_TRUE(opened.has_value());
    return std::move(*opened);
  }
  static std::string at(uint16_t port) { return "127.0.0.1:" + std::to_string(port); }
  // Runs the loop until the condition holds; false when that takes too long.
  bool run_until(std::function<bool()> condition, Duration patience = seconds(10)) {
    until_ = std::move(condition);
    loop_->post([] {});  // a first turn, for conditions that hold already
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
  void run_for(Duration duration) {
    run_until([] { return false; }, duration);
  }
  // What the other end says until it closes or falls silent.
  std::string raw_receive(int descriptor) {
    std::string all;
    char block[4096];
    run_until([&] {
      const ssize_t count = ::recv(descriptor, block, sizeof block, MSG_DONTWAIT);
      if (count > 0) all.append(block, static_cast<size_t>(count));
      const bool ended = count == 0 || (count < 0 && errno != EAGAIN);
      if (!ended) loop_->at(loop_->now() + milliseconds(1), [] {});
      return ended;
    });
    return all;
  }
  static Hello greeting(uint64_t self, uint64_t expected, uint64_t cluster = 77) {
    return {.cluster_id = cluster, .self = NodeId{self}, .expected = NodeId{expected}};
  }

  std::unique_ptr<EventLoop> loop_ = make_event_loop();
  std::function<bool()> until_;
  uint16_t port_one_ = free_port();
  uint16_t port_two_ = free_port();
};

// Two connected members.
class TcpPair : public Tcp {
 protected:
  TcpPair() {
    one_ = open(1, port_one_);
    two_ = open(2, port_two_);
    one_->set_peer(NodeId{2}, {at(port_two_)});
    two_->set_peer(NodeId{1}, {at(port_one_)});
    one_->start(at_one_);
    two_->start(at_two_);
    EXPECT_TRUE(run_until([this] { return at_one_.connects == 1 && at_two_.connects == 1; }));
  }
  Witness at_one_;
  Witness at_two_;
  std::unique_ptr<TcpNetwork> one_;
  std::unique_ptr<TcpNetwork> two_;
};

TEST_F(TcpPair, FramesArriveWholeAndInOrderBothWays) {
  for (int frame = 0; frame < 1000; ++frame) {
    const std::string text = std::to_string(frame) + std::string(static_cast<size_t>(frame), 'x');
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::normal, Bytes(text)));
    EXPECT_TRUE(two_->send(NodeId{1}, Lane::urgent, Bytes(text)));
  }
  EXPECT_TRUE(
      run_until([this] { return at_one_.frames.size() == 1000 && at_two_.frames.size() == 1000; }));
  for (int frame = 0; frame < 1000; ++frame) {
    const std::string text = std::to_string(frame) + std::string(static_cast<size_t>(frame), 'x');
    EXPECT_EQ(at_two_.frames[static_cast<size_t>(frame)].view(), text);
    EXPECT_EQ(at_one_.frames[static_cast<size_t>(frame)].view(), text);
  }
  EXPECT_EQ(at_two_.from, NodeId{1});
  EXPECT_GT(one_->metrics().bytes_sent, 500'000U);
  EXPECT_EQ(one_->metrics().bytes_sent, two_->metrics().bytes_received);
}

TEST_F(TcpPair, AFrameSentByALaterHookLeavesWithoutAnyOtherEvent) {
  bool sent = false;
  loop_->at_turn_end([&] {
    if (sent) return;
    sent = true;
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string_view("x"))));
  });
  EXPECT_TRUE(run_until([this] { return at_two_.frames.size() == 1; }, seconds(20)));
}

TEST_F(TcpPair, AHugeFramePasses) {
  std::string text(kFrameBytesMax, 'h');
  text.back() = 'e';
  EXPECT_TRUE(one_->send(NodeId{2}, Lane::normal, Bytes::adopt(std::string(text))));
  EXPECT_FALSE(one_->send(NodeId{2}, Lane::normal, Bytes(std::string_view("no room"))));
  EXPECT_EQ(one_->metrics().frames_dropped, 1U);
  EXPECT_TRUE(run_until([this] { return !at_two_.frames.empty(); }));
  EXPECT_TRUE(at_two_.frames.front().view() == text);
}

TEST_F(TcpPair, UrgentOvertakesBulk) {
  constexpr int kChunks = 60;
  const Bytes chunk(std::string(size_t{256} << 10U, 'b'));
  for (int frame = 0; frame < kChunks; ++frame) {
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::bulk, chunk));
  }
  size_t sent_before_urgent = 0;
  at_one_.bulk_action = [&] {
    if (at_one_.bulk_sent != 3) return;
    // The receiver reads in this very thread, so what it has not read is in the kernel or here.
    sent_before_urgent = at_two_.frames.size();
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string_view("urgent"))));
  };
  EXPECT_TRUE(run_until([&] { return at_two_.frames.size() == kChunks + 1; }));
  EXPECT_EQ(at_one_.bulk_sent, kChunks);
  size_t position = 0;
  while (at_two_.frames[position].size() != 6) ++position;
  EXPECT_LT(position, kChunks - 10U) << "urgent waited for the bulk queued before it";
}

TEST_F(TcpPair, ReconnectsWhenThePeerRestarts) {
  for (int restart = 1; restart <= 3; ++restart) {
    two_.reset();
    EXPECT_TRUE(run_until([&] { return at_one_.disconnects == restart; }));
    EXPECT_FALSE(one_->connected(NodeId{2}));
    EXPECT_FALSE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string_view("lost"))));
    run_for(milliseconds(30));
    two_ = open(2, port_two_);
    two_->set_peer(NodeId{1}, {at(port_one_)});
    two_->start(at_two_);
    EXPECT_TRUE(run_until([&] { return at_one_.connects == restart + 1; }));
    EXPECT_TRUE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string_view("back"))));
    EXPECT_TRUE(run_until([&] { return at_two_.frames.size() == static_cast<size_t>(restart); }));
  }
}

TEST_F(TcpPair, AForgottenPeerIsGoneAndCanComeBack) {
  // From within a callback, where it is hardest.
  at_two_.action = [this] { two_->forget_peer(NodeId{1}); };
  EXPECT_TRUE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string_view("a"))));
  EXPECT_TRUE(one_->send(NodeId{2}, Lane::urgent, Bytes(std::string_view("b"))));
  EXPECT_TRUE(run_until([this] { return at_one_.disconnects == 1; }));
  EXPECT_EQ(at_two_.frames.size(), 1U);
  EXPECT_FALSE(two_->connected(NodeId{1}));
  run_until([] { return logged.find("does not know this member") != std::string::npos; });
  run_for(milliseconds(50));
  EXPECT_EQ(at_one_.connects, 1);
  EXPECT_NE(logged.find("does not know this member"), std::string::npos) << logged;
  two_->set_peer(NodeId{1}, {at(port_one_)});
  EXPECT_TRUE(run_until([this] { return at_one_.connects == 2 && at_two_.connects == 2; }));
  one_->forget_peer(NodeId{2});
  EXPECT_TRUE(run_until([this] { return at_two_.disconnects == 1; }));
  one_->set_peer(NodeId{2}, {"localhost:" + std::to_string(port_two_)});
  EXPECT_TRUE(run_until([this] { return at_one_.connects == 3; }));
}

TEST_F(Tcp, TriesTheNextAddressWhenOneDoesNotAnswer) {
  auto one = open(1, port_one_);
  auto two = open(2, port_two_);
  Witness at_one;
  Witness at_two;
  one->set_peer(NodeId{2}, {at(free_port()), "no.such.host.invalid:1", at(port_two_)});
  two->set_peer(NodeId{1}, {});
  one->start(at_one);
  two->start(at_two);
  EXPECT_TRUE(run_until([&] { return at_one.connects == 1; }));
}

TEST_F(Tcp, RefusesAnotherClusterAndTheWrongMember) {
  auto one = open(1, port_one_);
  auto foreign = open(2, port_two_, 78);
  Witness at_one;
  Witness at_foreign;
  one->set_peer(NodeId{2}, {at(port_two_)});
  foreign->set_peer(NodeId{1}, {at(port_one_)});
  one->start(at_one);
  foreign->start(at_foreign);
  run_until([] { return logged.find("belongs to another cluster") != std::string::npos; });
  run_for(milliseconds(100));
  EXPECT_EQ(at_one.connects + at_foreign.connects, 0);
  EXPECT_NE(logged.find("belongs to another cluster"), std::string::npos) << logged;
  logged.clear();
  foreign = open(3, free_port());
  foreign.reset();
  auto three = open(3, port_two_);
  three->set_peer(NodeId{1}, {at(port_one_)});
  three->start(at_foreign);
  run_until([] { return logged.find("is not the member looked for") != std::string::npos; });
  run_for(milliseconds(100));
  EXPECT_EQ(at_one.connects + at_foreign.connects, 0);
  EXPECT_NE(logged.find("is not the member looked for"), std::string::npos) << logged;
}

// A member that is spoken to byte by byte.
class TcpRaw : public Tcp {
 protected:
  TcpRaw() {
    two_ = open(2, port_two_);
    two_->set_peer(NodeId{1}, {});
    two_->start(at_two_);
  }
  Witness at_two_;
  std::unique_ptr<TcpNetwork> two_;
};

TEST_F(TcpRaw, AnswersAnotherVersionWithItsOwnAndCloses) {
  Hello hello = greeting(1, 2);
  hello.version = kWireVersion + 1;
  const int descriptor = raw_connection(port_two_);
  raw_send(descriptor, encode_hello(hello));
  const std::string answer = raw_receive(descriptor);
  ASSERT_EQ(answer.size(), kHelloBytes);
  const auto decoded = decode_hello(std::span<const uint8_t, kHelloBytes>(
      reinterpret_cast<const uint8_t*>(answer.data()), kHelloBytes));
  EXPECT_EQ(decoded->verdict, Verdict::other_version);
  EXPECT_NE(logged.find("another version"), std::string::npos) << logged;
  ::close(descriptor);
}

TEST_F(TcpRaw, GarbageIsClosedWithoutAWord) {
  const int descriptor = raw_connection(port_two_);
  raw_send(descriptor, "GET / HTTP/1.1\r\nHost: somebody\r\nAccept: */*\r\n\r\n");
  EXPECT_EQ(raw_receive(descriptor), "");
  EXPECT_NE(logged.find("does not speak this protocol"), std::string::npos) << logged;
  ::close(descriptor);
}

TEST_F(TcpPair, WhoAsksGetsTheIntroductionWithoutBeingAMember) {
  two_->set_introduction(Bytes(std::string(50'000, 'i')));
  std::optional<Result<Bytes>> answer;
  Inquirer stranger(*loop_);
  stranger.ask(at(port_two_), [&](Result<Bytes> told) { answer = std::move(told); });
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  ASSERT_TRUE(answer->has_value()) << answer->error().text;
  EXPECT_EQ((*answer)->str(), std::string(50'000, 'i'));
  answer.reset();
  one_->inquire(at(port_two_), [&](Result<Bytes> told) { answer = std::move(told); });
  ASSERT_TRUE(run_until([&] { return answer.has_value(); }));
  EXPECT_TRUE(answer->has_value());
  EXPECT_TRUE(one_->connected(NodeId{2})) << "the members' own connection stands";
  EXPECT_EQ(at_two_.disconnects, 0);
}

TEST_F(Tcp, AQuestionEndsInBoundedTimeWhateverTheOtherSideDoes) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback(port_one_);
  ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 16), 0);
  Inquirer stranger(*loop_);
  std::vector<std::string> errors;
  const auto ask = [&](const std::string& where) {
    stranger.ask(where, [&](Result<Bytes> told) {
      errors.push_back(told ? "answered" : told.error().text);
    });
  };
  const auto serve = [&](std::string_view bytes) {
    run_for(milliseconds(50));
    const int accepted = ::accept(listener, nullptr, nullptr);
    raw_send(accepted, bytes);
    ::close(accepted);
  };
  ask(at(port_two_));  // nobody listens there
  ASSERT_TRUE(run_until([&] { return errors.size() == 1; }));
  ask("no port");
  ASSERT_TRUE(run_until([&] { return errors.size() == 2; }));
  ask(at(port_one_));
  serve("HTTP/1.1 400 Bad Request\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return errors.size() == 3; }));
  EXPECT_NE(errors[2].find("does not speak this protocol"), std::string::npos) << errors[2];
  std::string damaged = encode_introduction(Bytes(std::string_view("members")));
  damaged.back() = 'S';
  ask(at(port_one_));
  serve(damaged);
  ASSERT_TRUE(run_until([&] { return errors.size() == 4; }));
  EXPECT_NE(errors[3].find("damaged"), std::string::npos) << errors[3];
  ask(at(port_one_));
  serve(damaged.substr(0, 20));
  ASSERT_TRUE(run_until([&] { return errors.size() == 5; }));
  ask(at(port_one_));  // taken by the kernel, never answered
  ASSERT_TRUE(run_until([&] { return errors.size() == 6; }, seconds(20)));
  EXPECT_NE(errors[5].find("no answer in time"), std::string::npos) << errors[5];
  {
    Inquirer gone(*loop_);
    gone.ask(at(port_one_), [](const Result<Bytes>&) { FAIL(); });
  }
  run_for(milliseconds(50));
  ::close(listener);
}

TEST_F(TcpRaw, ADamagedFrameBreaksTheConnectionAndIsNotDelivered) {
  const int descriptor = raw_connection(port_two_);
  std::string damaged = frame_text(Lane::normal, "bad");
  damaged.back() = 'D';
  raw_send(descriptor, encode_hello(greeting(1, 2)) + frame_text(Lane::normal, "good") + damaged +
                           frame_text(Lane::normal, "after"));
  EXPECT_TRUE(run_until([this] { return at_two_.disconnects == 1; }));
  ASSERT_EQ(at_two_.frames.size(), 1U);
  EXPECT_EQ(at_two_.frames[0].view(), "good");
  EXPECT_EQ(two_->metrics().frames_damaged, 1U);
  ::close(descriptor);
}

TEST_F(TcpRaw, ANewConnectionOfAPeerReplacesTheOldOne) {
  const int old_one = raw_connection(port_two_);
  raw_send(old_one, encode_hello(greeting(1, 2)));
  EXPECT_TRUE(run_until([this] { return at_two_.connects == 1; }));
  const int new_one = raw_connection(port_two_);
  raw_send(new_one, encode_hello(greeting(1, 2)) + frame_text(Lane::urgent, "new"));
  EXPECT_TRUE(run_until([this] { return at_two_.connects == 2 && !at_two_.frames.empty(); }));
  EXPECT_EQ(at_two_.disconnects, 1);
  EXPECT_TRUE(two_->connected(NodeId{1}));
  EXPECT_EQ(raw_receive(old_one).size(), kHelloBytes);
  ::close(old_one);
  ::close(new_one);
}

TEST_F(TcpRaw, ASilentCallerIsGivenUp) {
  const int descriptor = raw_connection(port_two_);
  const Time start = loop_->now();
  EXPECT_EQ(raw_receive(descriptor), "");
  EXPECT_GE(loop_->now() - start, seconds(2));
  EXPECT_LT(loop_->now() - start, seconds(30));
  ::close(descriptor);
}

TEST_F(TcpRaw, ACrowdOfStrangersDoesNotKeepAMemberOut) {
  std::vector<int> strangers;
  for (int stranger = 0; stranger < 100; ++stranger) {
    strangers.push_back(raw_connection(port_two_));
  }
  run_until([] { return logged.find("floods the peer port") != std::string::npos; });
  EXPECT_NE(logged.find("floods the peer port"), std::string::npos) << logged;
  for (const int stranger : strangers) ::close(stranger);
  const int member = raw_connection(port_two_);
  raw_send(member, encode_hello(greeting(1, 2)));
  EXPECT_TRUE(run_until([this] { return at_two_.connects == 1; }));
  ::close(member);
}

TEST_F(TcpRaw, TheListenerSurvivesRunningOutOfDescriptors) {
  const int early = raw_connection(port_two_);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  run_until([] { return logged.find("raise the limit on open files") != std::string::npos; });
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_NE(logged.find("raise the limit on open files"), std::string::npos) << logged;
  raw_send(early, encode_hello(greeting(1, 2)));
  EXPECT_TRUE(run_until([this] { return at_two_.connects == 1; }));
  ::close(early);
}

TEST_F(Tcp, APortInUseIsNamed) {
  const auto first = open(1, port_one_);
  const auto second =
      make_tcp_network(*loop_, {.self = NodeId{2}, .cluster_id = 1, .listen = {at(port_one_)}});
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().kind, ErrorKind::conflict);
  EXPECT_NE(second.error().text.find(at(port_one_)), std::string::npos);
  EXPECT_NE(second.error().text.find("choose another port"), std::string::npos);
  const auto names = make_tcp_network(
      *loop_,
      {.self = NodeId{2}, .cluster_id = 1, .listen = {"localhost:" + std::to_string(port_two_)}});
  EXPECT_TRUE(names.has_value());
}

}  // namespace
}  // namespace quorate::world
