// The quota and the alarms over a socket, written and read by the protobuf library.
#include "front/etcd/quota.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "etcd.pb.h"
#include "front/etcd/alarm_service.h"
#include "front/etcd/fake_service.h"
#include "front/grpc/test_client.h"
#include "machine/etcd/envelope.h"
#include "world/real/event_loop.h"

namespace quorate::front::etcd {
namespace {

using grpc::TestAnswer;
using grpc::TestClient;
using machine::etcd::AlarmAction;
using machine::etcd::AlarmKind;
using machine::etcd::CommandKind;

constexpr std::string_view kNoSpace = "8 etcdserver: mvcc: database space exceeded";
constexpr std::string_view kPut = "/etcdserverpb.KV/Put";

class QuotaTest : public testing::Test {
 protected:
  QuotaTest() : loop_(world::make_event_loop()), service_(*loop_) { start(10'000); }
  ~QuotaTest() override { stop(); }
  void start(uint64_t quota) {
    EtcdOptions options;
    options.version = "3.7.1";
    options.quota_backend_bytes = quota;
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    auto port = server_->listen("127.0.0.1:0");
    EXPECT_TRUE(port) << port.error().text;
    thread_ = std::thread([this] { loop_->run(); });
    client_ = std::make_unique<TestClient>(*port);
    port_ = *port;
  }
  void stop() {
    loop_->stop();
    thread_.join();
    server_.reset();
  }
  void on_loop(std::function<void()> task) {
    std::promise<void> done;
    loop_->post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  std::string call(std::string_view path, const google::protobuf::Message& request) {
    const TestAnswer answer = client_->call(path, request.SerializeAsString());
    return std::to_string(answer.grpc_status()) + " " + answer.grpc_message();
  }
  std::string put(size_t bytes) {
    etcdserverpb::PutRequest request;
    request.set_key("k");
    request.set_value(std::string(bytes, 'v'));
    return call(kPut, request);
  }
  std::vector<CommandKind> proposed() {
    std::vector<CommandKind> kinds;
    on_loop([&] {
      for (const Bytes& command : service_.commands) {
        const CommandKind kind = machine::etcd::open_command(command.view())->kind;
        // Every server tells of itself when it starts.
        if (kind != CommandKind::member_attributes) kinds.push_back(kind);
      }
      service_.commands.clear();
    });
    return kinds;
  }

  std::unique_ptr<world::EventLoop> loop_;
  FakeService service_;  // its store has 4096 bytes
  std::unique_ptr<EtcdServer> server_;
  std::thread thread_;
  std::unique_ptr<TestClient> client_;
  uint16_t port_ = 0;
};

TEST_F(QuotaTest, WithoutRoomTheAlarmGoesIntoTheLogInsteadOfThePut) {
  EXPECT_EQ(put(5'000), "0 ");
  EXPECT_EQ(proposed(), std::vector{CommandKind::put});
  // 4096 in the store, 256 and a key for the put: 5647 reach the quota.
  EXPECT_EQ(put(5'647), kNoSpace);
  std::optional<machine::etcd::AlarmRequest> raised;
  on_loop([&] {
    const auto command = machine::etcd::open_command(service_.commands.back().view());
    raised = machine::etcd::decode_alarm_request(command->request);
  });
  EXPECT_EQ(proposed(), std::vector{CommandKind::alarm});
  ASSERT_TRUE(raised);
  EXPECT_EQ(raised->action, AlarmAction::activate);
  EXPECT_EQ(raised->member, 0x22U);
  EXPECT_EQ(raised->kind, AlarmKind::no_space);
  EXPECT_EQ(put(5'646), "0 ");
  EXPECT_EQ(proposed(), std::vector{CommandKind::put});
}

TEST_F(QuotaTest, AnAlarmThatIsRaisedIsNotRaisedAgain) {
  on_loop([&] { service_.query_reply.body = Bytes(std::string_view("\x12\x04\x08\x22\x10\x01")); });
  EXPECT_EQ(put(6'000), kNoSpace);
  EXPECT_TRUE(proposed().empty());
}

TEST_F(QuotaTest, AnAlarmThatCannotBeRaisedRefusesAllTheSame) {
  on_loop([&] { service_.refusal = node::RefusedWhy::no_leader; });
  EXPECT_EQ(put(6'000), kNoSpace);
}

TEST_F(QuotaTest, OnlyWhatTakesSpaceIsCounted) {
  etcdserverpb::TxnRequest txn;
  auto* deletion = txn.add_success()->mutable_request_delete_range();
  deletion->set_key(std::string(7'000, 'k'));
  EXPECT_EQ(call("/etcdserverpb.KV/Txn", txn), "0 ");
  auto* nested = txn.add_failure()->mutable_request_txn()->add_success();
  nested->mutable_request_put()->set_key("k");
  nested->mutable_request_put()->set_value(std::string(6'000, 'v'));
  EXPECT_EQ(call("/etcdserverpb.KV/Txn", txn), kNoSpace);
  etcdserverpb::DeleteRangeRequest remove;
  remove.set_key(std::string(7'000, 'k'));
  EXPECT_EQ(call("/etcdserverpb.KV/DeleteRange", remove), "0 ");
  etcdserverpb::LeaseGrantRequest grant;
  grant.set_id(5);
  grant.set_ttl(60);
  EXPECT_EQ(call("/etcdserverpb.Lease/LeaseGrant", grant), "0 ");
}

TEST_F(QuotaTest, ALeaseTakesSpaceToo) {
  stop();
  start(4'100);
  etcdserverpb::LeaseGrantRequest grant;
  grant.set_id(5);
  grant.set_ttl(60);
  EXPECT_EQ(call("/etcdserverpb.Lease/LeaseGrant", grant), kNoSpace);
}

TEST_F(QuotaTest, ZeroIsNoLimit) {
  stop();
  start(0);
  EXPECT_EQ(put(1'000'000), "0 ");
}

TEST_F(QuotaTest, StatusAndHealthTellOfAlarms) {
  on_loop([&] {
    service_.query_reply.body =
        Bytes(std::string_view("\x12\x04\x08\x22\x10\x01\x12\x04\x08\x21\x10\x02"));
  });
  const TestAnswer answer = client_->call("/etcdserverpb.Maintenance/Status", "");
  etcdserverpb::StatusResponse status;
  ASSERT_TRUE(status.ParseFromString(answer.first_message()));
  ASSERT_EQ(status.errors_size(), 2);
  EXPECT_EQ(status.errors(0), "memberID:34 alarm:NOSPACE ");
  EXPECT_EQ(status.errors(1), "memberID:33 alarm:CORRUPT ");
  const auto page = [this](const std::string& query) {
    grpc::TestSocket socket(port_);
    socket.send("GET /health" + query + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return socket.receive_until("");
  };
  EXPECT_NE(page("").find(R"({"health":"false","reason":"ALARM NOSPACE"})"), std::string::npos);
  EXPECT_NE(page("?exclude=NOSPACE").find("ALARM CORRUPT"), std::string::npos);
  const std::string both = page("?exclude=NOSPACE&exclude=CORRUPT");
  EXPECT_NE(both.find(R"("health":"true")"), std::string::npos) << both;
}

TEST_F(QuotaTest, AlarmsGoThroughTheLog) {
  on_loop([&] { service_.write_reply.body = Bytes(std::string_view("\x12\x04\x08\x22\x10\x01")); });
  etcdserverpb::AlarmRequest request;
  request.set_action(etcdserverpb::AlarmRequest::ACTIVATE);
  request.set_memberid(0x22);
  request.set_alarm(etcdserverpb::NOSPACE);
  const TestAnswer answer =
      client_->call("/etcdserverpb.Maintenance/Alarm", request.SerializeAsString());
  etcdserverpb::AlarmResponse response;
  ASSERT_TRUE(response.ParseFromString(answer.first_message()));
  ASSERT_EQ(response.alarms_size(), 1);
  EXPECT_EQ(response.alarms(0).memberid(), 0x22U);
  EXPECT_EQ(response.alarms(0).alarm(), etcdserverpb::NOSPACE);
  EXPECT_EQ(response.header().member_id(), 0x22U);
  EXPECT_EQ(proposed(), std::vector{CommandKind::alarm});
  on_loop([&] { service_.write_reply.code = static_cast<uint16_t>(machine::etcd::Code::corrupt); });
  EXPECT_EQ(put(1), "15 etcdserver: corrupt cluster");
}

TEST_F(QuotaTest, DefragmentAnswersWithNothing) {
  constexpr std::string_view kDefragment = "/etcdserverpb.Maintenance/Defragment";
  const TestAnswer answer = client_->call(kDefragment, "");
  EXPECT_EQ(answer.grpc_status(), 0);
  EXPECT_EQ(answer.first_message(), "");
  on_loop([&] {
    EXPECT_EQ(service_.defragmented, 1);
    service_.defragment_works = false;
  });
  EXPECT_EQ(call(kDefragment, etcdserverpb::DefragmentRequest()),
            "14 etcdserver: unhealthy cluster");
  EXPECT_TRUE(proposed().empty()) << "it is a matter of this member alone";
}

}  // namespace
}  // namespace quorate::front::etcd
