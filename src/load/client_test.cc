#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "load/etcd_driver.h"
#include "load/null_server.h"
#include "load/runner.h"
#include "storage/mvcc/protobuf.h"

namespace quorate::load {
namespace {

// A null server with a thread of its own.
class Serving {
 public:
  explicit Serving(const NullAnswer& answer) {
    auto made = NullServer::listen(0, answer);
    EXPECT_TRUE(made.has_value());
    server_ = std::move(*made);
    thread_ = std::thread([this] {
      while (!over_) {
        server_->turn(std::chrono::milliseconds(1));
        if (drop_.exchange(false)) server_->drop_connections();
      }
    });
  }
  ~Serving() {
    over_ = true;
    thread_.join();
  }
  std::vector<std::string> endpoints() const {
    return {"127.0.0.1:" + std::to_string(server_->port())};
  }
  void drop() { drop_ = true; }

 private:
  std::unique_ptr<NullServer> server_;
  std::atomic<bool> over_ = false;
  std::atomic<bool> drop_ = false;
  std::thread thread_;
};

Measurement run_puts(Serving& server, uint32_t connections, uint64_t operations,
                     std::string* first_error = nullptr) {
  Http2Client client({server.endpoints()}, connections);
  EXPECT_TRUE(client.connect(std::chrono::seconds(10)).has_value());
  Plan plan;
  plan.operations = operations;
  plan.outstanding = 100;
  const auto driver = unary_driver(client, put_requests({}), plan.outstanding);
  Observer observer;
  Measurement measured = run(*driver, plan, observer);
  if (first_error != nullptr) *first_error = driver->first_error();
  return measured;
}

TEST(ClientTest, EveryCallIsAnsweredOnce) {
  Serving server({});
  const Measurement measured = run_puts(server, 3, 20'000);
  EXPECT_EQ(measured.ok, 20'000U);
  EXPECT_EQ(measured.failed, 0U);
  EXPECT_EQ(measured.in_window(), 20'000U);
}

TEST(ClientTest, AStatusThatIsNotZeroIsAnErrorWithItsText) {
  NullAnswer answer;
  answer.status = 14;
  answer.text = "etcdserver: no leader";
  answer.fail_one_in = 10;
  Serving server(answer);
  std::string first_error;
  const Measurement measured = run_puts(server, 2, 5'000, &first_error);
  EXPECT_EQ(measured.ok, 4'500U);
  EXPECT_EQ(measured.failed, 500U);
  EXPECT_EQ(measured.outcomes[static_cast<size_t>(Outcome::unavailable)], 500U);
  EXPECT_EQ(first_error, "Unavailable: etcdserver: no leader");
}

TEST(ClientTest, AnswersThatAreTooSmallAreWrong) {
  NullAnswer answer;
  answer.bytes = 200;  // less than a value
  Serving server(answer);
  Http2Client client({server.endpoints()}, 1);
  ASSERT_TRUE(client.connect(std::chrono::seconds(10)).has_value());
  Plan plan;
  plan.operations = 100;
  const auto driver = unary_driver(client, range_requests({}, {}), plan.outstanding);
  Observer observer;
  const Measurement measured = run(*driver, plan, observer);
  EXPECT_EQ(measured.ok, 0U);
  EXPECT_EQ(measured.outcomes[static_cast<size_t>(Outcome::wrong_answer)], 100U);
}

TEST(ClientTest, LargeAnswersComeThroughWhole) {
  NullAnswer answer;
  answer.bytes = 300'000;
  Serving server(answer);
  Http2Client client({server.endpoints()}, 2);
  ASSERT_TRUE(client.connect(std::chrono::seconds(10)).has_value());
  struct Handler final : CallHandler {
    void on_message(Call&, std::string_view message) override {
      messages.push_back(message.size());
    }
    void on_end(Call& call, Outcome outcome, std::string_view) override {
      EXPECT_EQ(outcome, Outcome::ok);
      EXPECT_EQ(call.answer_bytes, 300'005U);
      ++ended;
    }
    std::vector<size_t> messages;
    int ended = 0;
  } handler;
  for (uint64_t tag = 0; tag < 50; ++tag) client.start("/a/b", "x", handler, tag, true);
  while (handler.ended < 50) client.turn(std::chrono::milliseconds(10));
  EXPECT_EQ(handler.messages, std::vector<size_t>(50, 300'000));
}

TEST(ClientTest, LostConnectionsAreCountedAndTriedAgain) {
  Serving server({});
  Http2Client client({server.endpoints()}, 4);
  ASSERT_TRUE(client.connect(std::chrono::seconds(10)).has_value());
  Plan plan;
  plan.warm_up = Duration{};
  plan.measured = std::chrono::seconds(1);
  plan.outstanding = 50;
  const auto driver = unary_driver(client, put_requests({}), plan.outstanding);
  struct Dropper final : Observer {
    explicit Dropper(Serving& at) : server(at) {}
    void on_progress(const Progress&) override { server.drop(); }
    Serving& server;
  } observer(server);
  const Measurement measured = run(*driver, plan, observer);
  EXPECT_GE(client.connections_lost(), 4U);
  EXPECT_EQ(measured.issued, measured.ok + measured.failed);
  EXPECT_EQ(measured.failed, measured.outcomes[static_cast<size_t>(Outcome::connection_lost)]);
  EXPECT_GT(measured.ok, 0U);
  EXPECT_TRUE(client.connect(std::chrono::seconds(10)).has_value());
}

TEST(ClientTest, NobodyThereIsSaidSo) {
  Http2Client client({{"127.0.0.1:1"}}, 2);
  const auto connected = client.connect(std::chrono::milliseconds(200));
  ASSERT_FALSE(connected.has_value());
  EXPECT_NE(connected.error().text.find("127.0.0.1:1: Connection refused"), std::string::npos);
}

TEST(RequestsTest, KeysHaveEightDigits) {
  EXPECT_EQ(key_text("bench/", 0), "bench/00000000");
  EXPECT_EQ(key_text("", 1234567), "01234567");
  EXPECT_EQ(key_text("a", 99999999), "a99999999");
}

TEST(RequestsTest, SequentialPutsTouchEachKeyOnce) {
  KeySpace space;
  space.keys = 100;
  space.order = KeyOrder::sequential;
  const auto puts = put_requests(space);
  std::map<std::string, int> seen;
  for (uint64_t sequence = 0; sequence < 200; ++sequence) {
    std::string message;
    puts->make({sequence, {}, 0}, message);
    protobuf::Reader reader(message);
    ASSERT_TRUE(reader.next());
    ++seen[std::string(reader.bytes())];
    ASSERT_TRUE(reader.next());
    EXPECT_EQ(reader.bytes().size(), 256U);
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.ok());
  }
  EXPECT_EQ(seen.size(), 100U);
  for (const auto& [key, times] : seen) EXPECT_EQ(times, 2) << key;
}

// A swap that was told a revision compares with it next time.
TEST(RequestsTest, SwapsLearnFromAnswers) {
  const auto swaps = swap_requests({}, 2, 0);
  const auto compared = [&] {
    std::string message;
    swaps->make({0, {}, 1}, message);
    protobuf::Reader reader(message);
    EXPECT_TRUE(reader.next());
    protobuf::Reader compare(reader.bytes());
    int64_t revision = -1;
    while (compare.next()) {
      if (compare.field() == protobuf::varint_field(6)) revision = compare.signed_number();
    }
    return revision;
  };
  EXPECT_EQ(compared(), 0);
  std::string header;
  protobuf::write_number(3, 77, header);
  std::string won;
  protobuf::write_present(1, header, won);
  protobuf::write_number(2, 1, won);
  EXPECT_EQ(swaps->judge(1, won).kind, 0);
  EXPECT_EQ(compared(), 77);
  // Lost: the answer brings the key as it is.
  std::string row;
  protobuf::write_number(3, 80, row);
  std::string range;
  protobuf::write_present(2, row, range);
  std::string response;
  protobuf::write_present(1, range, response);
  std::string lost;
  protobuf::write_present(1, header, lost);
  protobuf::write_present(3, response, lost);
  EXPECT_EQ(swaps->judge(1, lost).kind, 1);
  EXPECT_EQ(swaps->judge(1, lost).outcome, Outcome::ok);
  EXPECT_EQ(compared(), 80);
  EXPECT_EQ(swaps->judge(1, "").outcome, Outcome::wrong_answer);
}

}  // namespace
}  // namespace quorate::load
