// The membership calls over a socket, written and read by the protobuf library.
#include <gtest/gtest.h>

#include "etcd.pb.h"
#include "front/etcd/fake_service.h"
#include "front/etcd/server.h"
#include "front/etcd/test_loop.h"
#include "front/grpc/test_client.h"
#include "quorate.pb.h"

namespace quorate::front::etcd {
namespace {

using grpc::TestAnswer;
using grpc::TestClient;
using node::ChangeKind;
using node::RefusedWhy;

constexpr std::string_view kMoveLeader = "/etcdserverpb.Maintenance/MoveLeader";
constexpr uint64_t kNewId = 0x99;

class MembersTest : public testing::Test {
 protected:
  MembersTest() : service_(*loop_) {
    EtcdOptions options;
    options.name = "n1";
    options.version = "3.7.1";
    options.request_timeout = std::chrono::milliseconds(700);
    options.new_member_id = [this](const std::vector<std::string>& urls, int64_t nanoseconds) {
      hashed_ = urls;
      nanoseconds_ = nanoseconds;
      return kNewId;
    };
    options.client_loops = loop_.client_loops();
    server_ = make_etcd_server(*loop_, *loop_, service_, options);
    service_.members[0].connected_since = loop_->now();
    auto port = server_->listen("127.0.0.1:0");
    EXPECT_TRUE(port) << port.error().text;
    loop_.start();
    client_ = std::make_unique<TestClient>(*port);
  }
  ~MembersTest() override {
    loop_.stop();
    server_.reset();
  }
  void on_loop(const std::function<void()>& task) { loop_.run(task); }
  template <class Response>
  Response call(std::string_view path, const google::protobuf::Message& request) {
    const TestAnswer answer = client_->call(path, request.SerializeAsString());
    EXPECT_EQ(answer.grpc_status(), 0) << answer.grpc_message();
    Response response;
    EXPECT_TRUE(response.ParseFromString(answer.first_message()));
    return response;
  }
  std::string error(std::string_view path, const google::protobuf::Message& request) {
    const TestAnswer answer = client_->call(path, request.SerializeAsString());
    return std::to_string(answer.grpc_status()) + " " + answer.grpc_message();
  }
  node::MemberChange last_change() {
    node::MemberChange change;
    on_loop([&] {
      if (!service_.changes.empty()) change = service_.changes.back();
    });
    return change;
  }
  static std::string name_of(std::string_view method) {
    return "/etcdserverpb.Cluster/" + std::string(method);
  }

  LoopThread loop_;
  FakeService service_;
  std::unique_ptr<EtcdServer> server_;
  std::unique_ptr<TestClient> client_;
  std::vector<std::string> hashed_;
  int64_t nanoseconds_ = 0;
};

TEST_F(MembersTest, AddAnswersWithTheMemberAndAll) {
  on_loop([&] {
    service_.members.push_back({NodeId{kNewId}, {"http://a:1", "http://b:2"}, "", true, false, {}});
  });
  etcdserverpb::MemberAddRequest request;
  request.add_peerurls("http://b:2");
  request.add_peerurls("http://a:1");
  request.set_islearner(true);
  const auto response = call<etcdserverpb::MemberAddResponse>(name_of("MemberAdd"), request);
  EXPECT_EQ(response.header().cluster_id(), 0x11U);
  EXPECT_EQ(response.header().member_id(), 0x22U);
  EXPECT_EQ(response.header().revision(), 0) << "as etcd: the store was not asked";
  EXPECT_EQ(response.header().raft_term(), 4U);
  EXPECT_EQ(response.member().id(), kNewId);
  EXPECT_TRUE(response.member().islearner());
  EXPECT_EQ(response.member().peerurls_size(), 2);
  ASSERT_EQ(response.members_size(), 3);
  EXPECT_EQ(response.members(0).name(), "n1");
  const node::MemberChange change = last_change();
  EXPECT_EQ(change.kind, ChangeKind::add_learner);
  EXPECT_EQ(change.member, NodeId{kNewId});
  EXPECT_EQ(change.urls, (std::vector<std::string>{"http://a:1", "http://b:2"}));
  EXPECT_EQ(hashed_, change.urls);
  EXPECT_GT(nanoseconds_, 1'600'000'000'000'000'000);
}

TEST_F(MembersTest, RemoveUpdateAndPromoteAnswerWithAll) {
  etcdserverpb::MemberRemoveRequest remove;
  remove.set_id(0x33);
  auto removed = call<etcdserverpb::MemberRemoveResponse>(name_of("MemberRemove"), remove);
  EXPECT_EQ(removed.members_size(), 2);
  EXPECT_EQ(last_change().kind, ChangeKind::remove);
  etcdserverpb::MemberUpdateRequest update;
  update.set_id(0x33);
  update.add_peerurls("http://c:3");
  auto updated = call<etcdserverpb::MemberUpdateResponse>(name_of("MemberUpdate"), update);
  EXPECT_EQ(updated.members_size(), 2);
  EXPECT_EQ(last_change().kind, ChangeKind::update);
  EXPECT_EQ(last_change().urls, std::vector<std::string>{"http://c:3"});
  etcdserverpb::MemberPromoteRequest promote;
  promote.set_id(0x33);
  auto promoted = call<etcdserverpb::MemberPromoteResponse>(name_of("MemberPromote"), promote);
  EXPECT_EQ(promoted.members_size(), 2);
  EXPECT_EQ(last_change().kind, ChangeKind::promote);
  EXPECT_EQ(last_change().member, NodeId{0x33});
}

TEST_F(MembersTest, ReplaceNamesBoth) {
  ReplaceRequest request;
  request.set_leaving(0x22);
  request.set_incoming(0x33);
  const auto response = call<ReplaceResponse>("/quorate.Members/Replace", request);
  EXPECT_EQ(response.members_size(), 2);
  const node::MemberChange change = last_change();
  EXPECT_EQ(change.kind, ChangeKind::replace);
  EXPECT_EQ(change.member, NodeId{0x33});
  EXPECT_EQ(change.leaving, NodeId{0x22});
}

TEST_F(MembersTest, RefusalsInEtcdsWords) {
  const std::pair<RefusedWhy, std::string> reasons[] = {
      {RefusedWhy::member_exists, "9 etcdserver: member ID already exist"},
      {RefusedWhy::urls_exist, "9 etcdserver: Peer URLs already exists"},
      {RefusedWhy::member_not_found, "5 etcdserver: member not found"},
      {RefusedWhy::not_learner, "9 etcdserver: can only promote a learner member"},
      {RefusedWhy::too_many_learners, "9 etcdserver: too many learner members in cluster"},
      {RefusedWhy::learner_not_ready,
       "9 etcdserver: can only promote a learner member which is in sync with leader"},
      {RefusedWhy::no_voter_left,
       "2 etcdserver: re-configuration failed due to not enough started members"},
      {RefusedWhy::no_leader, "14 etcdserver: no leader"},
  };
  etcdserverpb::MemberPromoteRequest promote;
  promote.set_id(0x33);
  for (const auto& [why, text] : reasons) {
    on_loop([&, reason = why] { service_.refusal = reason; });
    EXPECT_EQ(error(name_of("MemberPromote"), promote), text);
  }
  on_loop([&] {
    service_.refusal.reset();
    service_.unknown = true;
  });
  EXPECT_EQ(error(name_of("MemberPromote"), promote), "14 etcdserver: request timed out");
}

TEST_F(MembersTest, WhatNeverReachesTheNode) {
  etcdserverpb::MemberAddRequest add;
  add.add_peerurls("nonsense");
  EXPECT_EQ(error(name_of("MemberAdd"), add), "3 etcdserver: given member URLs are invalid");
  add.set_peerurls(0, "http://c:3");
  on_loop([&] {
    service_.members.push_back({NodeId{0x44}, {}, "", false, true, {}});
    service_.members.push_back({NodeId{0x55}, {}, "", false, true, {}});
  });
  EXPECT_EQ(error(name_of("MemberAdd"), add),
            "2 etcdserver: re-configuration failed due to not enough started members");
  on_loop([&] {
    service_.members[2].name = "n3";
    service_.members[3].name = "n4";
  });
  EXPECT_EQ(error(name_of("MemberAdd"), add), "14 etcdserver: unhealthy cluster");
  etcdserverpb::MemberRemoveRequest nobody;
  EXPECT_EQ(error(name_of("MemberRemove"), nobody), "5 etcdserver: member not found");
  on_loop([&] { EXPECT_TRUE(service_.changes.empty()); });
}

TEST_F(MembersTest, ALearnerServesNearlyNothing) {
  on_loop([&] { service_.learner = true; });
  const std::string refused = "9 etcdserver: rpc not supported for learner";
  etcdserverpb::RangeRequest range;
  range.set_key("k");
  EXPECT_EQ(error("/etcdserverpb.KV/Range", range), refused);
  range.set_serializable(true);
  call<etcdserverpb::RangeResponse>("/etcdserverpb.KV/Range", range);
  const etcdserverpb::StatusRequest status;
  EXPECT_TRUE(
      call<etcdserverpb::StatusResponse>("/etcdserverpb.Maintenance/Status", status).islearner());
  etcdserverpb::PutRequest put;
  put.set_key("k");
  EXPECT_EQ(error("/etcdserverpb.KV/Put", put), refused);
  EXPECT_EQ(error(name_of("MemberList"), etcdserverpb::MemberListRequest()), refused);
  EXPECT_EQ(error(kMoveLeader, etcdserverpb::MoveLeaderRequest()), refused);
  EXPECT_EQ(error("/grpc.health.v1.Health/Check", etcdserverpb::StatusRequest()), refused);
}

TEST_F(MembersTest, MoveLeaderAnswersWhenItIsSeen) {
  on_loop([&] { service_.members.push_back({NodeId{0x44}, {}, "n3", false, true, {}}); });
  etcdserverpb::MoveLeaderRequest request;
  request.set_targetid(0x33);
  EXPECT_EQ(error(kMoveLeader, request), "9 etcdserver: bad leader transferee") << "a learner";
  request.set_targetid(0x77);
  EXPECT_EQ(error(kMoveLeader, request), "9 etcdserver: bad leader transferee");
  request.set_targetid(0x22);
  call<etcdserverpb::MoveLeaderResponse>(kMoveLeader, request);
  on_loop([&] {
    EXPECT_TRUE(service_.transfers.empty()) << "it leads already";
    service_.transfer_works = false;
  });
  request.set_targetid(0x44);
  EXPECT_EQ(error(kMoveLeader, request),
            "2 etcdserver: request timed out, leader transfer took too long");
  on_loop([&] {
    EXPECT_GT(service_.transfers.size(), 1U) << "asked again";
    service_.transfer_works = true;
  });
  const auto response = call<etcdserverpb::MoveLeaderResponse>(kMoveLeader, request);
  EXPECT_FALSE(response.has_header());
  request.set_targetid(0x22);
  EXPECT_EQ(error(kMoveLeader, request), "9 etcdserver: not leader");
}

}  // namespace
}  // namespace quorate::front::etcd
