// Hash and HashKV over a socket, with a node whose machine is a real one.
#include <gtest/gtest.h>

#include "etcd.pb.h"
#include "front/etcd/fake_service.h"
#include "front/etcd/server.h"
#include "front/etcd/test_loop.h"
#include "front/grpc/test_client.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/machine_fixture.h"

namespace quorate::front::etcd {
namespace {

using grpc::TestAnswer;
using grpc::TestClient;

// Queries go to the machine of the fixture.
class MachineService final : public FakeService {
 public:
  using FakeService::FakeService;
  void query(const Bytes& request, machine::Reply& reply) const override {
    ++queried;
    fixture->machine().query(request, reply);
  }
  machine::etcd::MachineFixture* fixture = nullptr;
  mutable int queried = 0;
};

class HashTest : public testing::Test {
 protected:
  HashTest() : service_(*loop_) {
    service_.fixture = &fixture_;
    EtcdOptions options;
    options.version = "3.7.1";
    options.client_loops = loop_.client_loops();
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    auto port = server_->listen("127.0.0.1:0");
    EXPECT_TRUE(port) << port.error().text;
    port_ = *port;
  }
  ~HashTest() override {
    loop_.stop();
    server_.reset();
  }
  void start() {  // from here on the fixture belongs to the loop
    loop_.start();
    client_ = std::make_unique<TestClient>(port_);
  }
  template <class Response>
  Response call(std::string_view method, const google::protobuf::Message& request) {
    const TestAnswer answer = client_->call("/etcdserverpb.Maintenance/" + std::string(method),
                                            request.SerializeAsString());
    EXPECT_EQ(answer.grpc_status(), 0) << answer.grpc_message();
    Response response;
    EXPECT_TRUE(response.ParseFromString(answer.first_message()));
    return response;
  }
  std::string error(int64_t revision) {
    etcdserverpb::HashKVRequest request;
    request.set_revision(revision);
    const TestAnswer answer =
        client_->call("/etcdserverpb.Maintenance/HashKV", request.SerializeAsString());
    return std::to_string(answer.grpc_status()) + " " + answer.grpc_message();
  }

  LoopThread loop_;
  machine::etcd::MachineFixture fixture_;
  MachineService service_;
  std::unique_ptr<EtcdServer> server_;
  uint16_t port_ = 0;
  std::unique_ptr<TestClient> client_;
};

TEST_F(HashTest, NamesTheRevisionAndRefusesWhatCannotBeRead) {
  for (const char* value : {"1", "2", "3", "4"}) fixture_.put("a", value);
  const uint32_t all = fixture_.machine().state_hash();
  fixture_.compact(3);
  const uint32_t left = fixture_.machine().state_hash();
  start();
  const auto now = call<etcdserverpb::HashKVResponse>("HashKV", etcdserverpb::HashKVRequest());
  EXPECT_EQ(now.header().revision(), 5);
  EXPECT_EQ(now.header().member_id(), 0x22U);
  EXPECT_EQ(now.hash_revision(), 5);
  EXPECT_EQ(now.compact_revision(), 3);
  EXPECT_NE(now.hash(), all);
  // Revision 3 is still there for readers of 3, but not seen by one of 5.
  EXPECT_NE(now.hash(), left);
  etcdserverpb::HashKVRequest request;
  request.set_revision(3);
  EXPECT_EQ(call<etcdserverpb::HashKVResponse>("HashKV", request).hash_revision(), 3);
  EXPECT_EQ(error(2), "11 etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(error(6), "11 etcdserver: mvcc: required revision is a future revision");
}

TEST_F(HashTest, NeverCompactedIsMinusOne) {
  start();
  const auto now = call<etcdserverpb::HashKVResponse>("HashKV", etcdserverpb::HashKVRequest());
  EXPECT_EQ(now.compact_revision(), -1);
  EXPECT_EQ(now.hash_revision(), 1);
}

TEST_F(HashTest, ALargeStateIsHashedInSteps) {
  for (int i = 0; i < 20; ++i) fixture_.put("k" + std::to_string(i), std::string(100'000, 'v'));
  fixture_.commit();
  const uint32_t all = fixture_.machine().state_hash();
  start();
  const auto now = call<etcdserverpb::HashKVResponse>("HashKV", etcdserverpb::HashKVRequest());
  EXPECT_EQ(now.hash(), all);
  EXPECT_GT(service_.queried, 4);
}

TEST_F(HashTest, TheOtherHashCoversLeases) {
  fixture_.put("a", "1");
  const uint32_t rows = fixture_.machine().state_hash();
  machine::etcd::LeaseGrantRequest grant{60, 7};
  fixture_.apply(machine::etcd::CommandKind::lease_grant,
                 machine::etcd::MachineFixture::wire(grant));
  EXPECT_EQ(fixture_.machine().state_hash(), rows);
  start();
  const auto keyspace = call<etcdserverpb::HashKVResponse>("HashKV", etcdserverpb::HashKVRequest());
  EXPECT_EQ(keyspace.hash(), rows);
  const auto everything = call<etcdserverpb::HashResponse>("Hash", etcdserverpb::HashRequest());
  EXPECT_EQ(everything.header().revision(), 2);
  EXPECT_NE(everything.hash(), rows);
  EXPECT_NE(everything.hash(), 0U);
}

}  // namespace
}  // namespace quorate::front::etcd
