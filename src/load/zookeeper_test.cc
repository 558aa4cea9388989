#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "load/runner.h"
#include "load/zookeeper_driver.h"
#include "load/zookeeper_wire.h"

namespace quorate::load {
namespace {

using namespace std::string_literals;

std::string number(uint64_t value, unsigned bytes) {
  std::string text;
  for (unsigned left = bytes; left > 0; --left) {
    text.push_back(static_cast<char>(value >> (8 * (left - 1))));
  }
  return text;
}

std::string framed(const std::string& body) { return number(body.size(), 4) + body; }

TEST(ZookeeperWire, RequestsAreTheBytesOfTheProtocol) {
  std::string output;
  zookeeper::append_get(output, 7, "/a");
  EXPECT_EQ(output, "\0\0\0\x0f\0\0\0\x07\0\0\0\x04\0\0\0\x02/a\0"s);
  output.clear();
  zookeeper::append_set(output, 8, "/a", "xyz");
  EXPECT_EQ(output, "\0\0\0\x19\0\0\0\x08\0\0\0\x05\0\0\0\x02/a\0\0\0\x03xyz\xff\xff\xff\xff"s);
  output.clear();
  zookeeper::append_create(output, 9, "/a", "");
  EXPECT_EQ(output,
            "\0\0\0\x31\0\0\0\x09\0\0\0\x01\0\0\0\x02/a\0\0\0\0\0\0\0\x01\0\0\0\x1f\0\0\0\x05world"
            "\0\0\0\x06"
            "anyone\0\0\0\0"s);
  output.clear();
  zookeeper::append_connect(output, std::chrono::seconds(40));
  EXPECT_EQ(output, framed(number(0, 4) + number(0, 8) + number(40000, 4) + number(0, 8) +
                           number(16, 4) + std::string(16, '\0') + "\0"s));
}

TEST(ZookeeperWire, FramesAreHostile) {
  std::string_view frame;
  std::string_view input("\0\0\0", 3);
  EXPECT_EQ(zookeeper::take_frame(input, frame), zookeeper::Cut::partial);
  const std::string two = framed("ab") + framed("");
  input = std::string_view(two).substr(0, 5);
  EXPECT_EQ(zookeeper::take_frame(input, frame), zookeeper::Cut::partial);
  input = two;
  EXPECT_EQ(zookeeper::take_frame(input, frame), zookeeper::Cut::whole);
  EXPECT_EQ(frame, "ab");
  EXPECT_EQ(zookeeper::take_frame(input, frame), zookeeper::Cut::whole);
  EXPECT_TRUE(frame.empty() && input.empty());
  input = "\xff\xff\xff\xff";
  EXPECT_EQ(zookeeper::take_frame(input, frame), zookeeper::Cut::malformed);
  input = "\x7f\xff\xff\xff";
  EXPECT_EQ(zookeeper::take_frame(input, frame), zookeeper::Cut::malformed);
}

TEST(ZookeeperWire, RepliesAreHostile) {
  const std::string head = number(7, 4) + number(1, 8);
  EXPECT_FALSE(zookeeper::read_reply(head));
  const std::string refused = head + number(static_cast<uint32_t>(-101), 4);
  const auto reply = zookeeper::read_reply(refused);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->number, 7);
  EXPECT_EQ(zookeeper::error_text(reply->error), "NoNode (-101)");
  const std::string stat(zookeeper::kStatBytes, '\0');
  EXPECT_EQ(zookeeper::read_data(number(3, 4) + "xyz" + stat), "xyz");
  EXPECT_FALSE(zookeeper::read_data(number(4, 4) + "xyz" + stat));
  EXPECT_FALSE(zookeeper::read_data(number(0xffffffff, 4) + "xyz" + stat));
  EXPECT_FALSE(zookeeper::grants_session(number(0, 4) + number(0, 4) + std::string(28, '\0')));
  EXPECT_TRUE(zookeeper::grants_session(number(0, 4) + number(4000, 4) + std::string(28, '\0')));
}

// Speaks just enough to one session: grants it and creates, then answers by a rule.
class FakeServer {
 public:
  enum class Manner : uint8_t { good, refuses, short_data, wrong_number, leaves };
  explicit FakeServer(Manner manner) : manner_(manner) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this] { serve(); });
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() {
    thread_.join();
    ::close(listener_);
  }
  const std::string& endpoint() const { return endpoint_; }

 private:
  void serve() {
    const int client = ::accept(listener_, nullptr, nullptr);
    std::string input;
    std::string chunk(65536, '\0');
    bool greeted = false;
    for (;;) {
      const ssize_t count = ::recv(client, chunk.data(), chunk.size(), 0);
      if (count <= 0) break;
      input.append(chunk.data(), static_cast<size_t>(count));
      std::string output;
      std::string_view rest = input;
      std::string_view frame;
      bool goes_on = true;
      while (goes_on && zookeeper::take_frame(rest, frame) == zookeeper::Cut::whole) {
        goes_on = answer(frame, std::exchange(greeted, true), output);
      }
      input.erase(0, input.size() - rest.size());
      if (::send(client, output.data(), output.size(), MSG_NOSIGNAL) < 0 || !goes_on) break;
    }
    ::close(client);
  }

  bool answer(std::string_view frame, bool greeted, std::string& output) const {
    if (!greeted) {
      output += framed(number(0, 4) + number(40000, 4) + number(1, 8) + number(16, 4) +
                       std::string(16, 'p'));
      return true;
    }
    const char operation = frame[7];
    const std::string stat(zookeeper::kStatBytes, '\0');
    std::string head(frame.substr(0, 4));
    std::string error = number(0, 4);
    std::string body = operation == 1 ? number(1, 4) + "/" : stat;
    if (operation == 4) body = number(256, 4) + std::string(256, 'v') + stat;
    if (operation != 1) {
      if (manner_ == Manner::leaves) return false;
      if (manner_ == Manner::wrong_number) head = number(0x7000, 4);
      if (manner_ == Manner::short_data) body.pop_back();
      if (manner_ == Manner::refuses) {
        error = number(static_cast<uint32_t>(-101), 4);
        body.clear();
      }
    }
    output += framed(head + number(1, 8) + error + body);
    return true;
  }

  Manner manner_;
  int listener_ = -1;
  std::string endpoint_;
  std::thread thread_;
};

struct Seen {
  Measurement measurement;
  std::string error;
};

Seen load_on(FakeServer::Manner manner, bool reads) {
  const FakeServer server(manner);
  ZookeeperLoad load;
  load.endpoints = {server.endpoint()};
  load.sessions = 1;
  load.space.keys = 10;
  load.reads = reads;
  const auto driver = zookeeper_driver(load);
  const auto prepared = driver->prepare();
  EXPECT_TRUE(prepared) << prepared.error().text;
  Plan plan;
  plan.outstanding = 4;
  plan.warm_up = {};
  plan.measured = std::chrono::milliseconds(200);
  Observer observer;
  Seen seen;
  seen.measurement = run(*driver, plan, observer);
  seen.error = driver->first_error();
  return seen;
}

TEST(ZookeeperDriver, CountsWhatWasDone) {
  for (const bool reads : {false, true}) {
    const Seen seen = load_on(FakeServer::Manner::good, reads);
    EXPECT_GT(seen.measurement.ok, 10U);
    EXPECT_EQ(seen.measurement.failed, 0U);
    EXPECT_EQ(seen.measurement.issued, seen.measurement.ok);
    EXPECT_EQ(seen.error, "");
  }
}

TEST(ZookeeperDriver, AnErrorIsNoResult) {
  const Seen refused = load_on(FakeServer::Manner::refuses, true);
  EXPECT_EQ(refused.measurement.ok, 0U);
  EXPECT_GT(refused.measurement.failed, 0U);
  EXPECT_EQ(refused.error, "NoNode (-101)");
  EXPECT_EQ(load_on(FakeServer::Manner::short_data, true).measurement.ok, 0U);
  EXPECT_EQ(load_on(FakeServer::Manner::short_data, false).measurement.ok, 0U);
}

TEST(ZookeeperDriver, ALostSessionLosesWhatWasUnderWay) {
  for (const auto manner : {FakeServer::Manner::leaves, FakeServer::Manner::wrong_number}) {
    const Seen seen = load_on(manner, false);
    EXPECT_EQ(seen.measurement.ok, 0U);
    EXPECT_EQ(seen.measurement.issued, seen.measurement.failed);
    EXPECT_GT(seen.measurement.failed, 0U);
    EXPECT_NE(seen.error, "");
  }
}

TEST(ZookeeperDriver, NobodyThereIsSaid) {
  ZookeeperLoad load;
  load.endpoints = {"127.0.0.1:1"};
  const auto prepared = zookeeper_driver(load)->prepare();
  EXPECT_FALSE(prepared);
}

}  // namespace
}  // namespace quorate::load
