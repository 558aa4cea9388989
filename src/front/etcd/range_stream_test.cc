// KV.RangeStream over a socket, of a real machine in memory; judged by what Range answers.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "base/rng.h"
#include "etcd.pb.h"
#include "front/etcd/test_line_rig.h"
#include "front/etcd/test_responses.h"

namespace quorate::front::etcd {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;
using etcdserverpb::RangeStreamResponse;
using grpc::TestAnswer;
using grpc::TestClient;

constexpr std::string_view kRange = "/etcdserverpb.KV/Range";
constexpr std::string_view kStream = "/etcdserverpb.KV/RangeStream";

std::vector<RangeStreamResponse> pieces_of(const TestAnswer& answer) {
  return responses_of<RangeStreamResponse>(answer);
}

RangeResponse merged(const std::vector<RangeStreamResponse>& pieces) {
  RangeStreamResponse all;
  for (const RangeStreamResponse& piece : pieces) all.MergeFrom(piece);
  return all.range_response();
}

RangeRequest everything_request() {
  RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  return request;
}

TestAnswer call(uint16_t port, std::string_view path, const RangeRequest& request) {
  TestClient client(port);
  return client.call(path, request.SerializeAsString());
}

void fill(LineRig& rig, int keys, size_t bytes, char letter = 'v') {
  rig.apply([&](auto& state) {
    for (int i = 0; i < keys; ++i) state.put("k" + std::to_string(i), std::string(bytes, letter));
  });
}

TEST(RangeStream, ItsPiecesTogetherAreWhatRangeAnswers) {
  LineRig rig;
  Rng rng(7);
  fill(rig, 400, 4000);
  rig.apply([&](auto& state) {
    for (int i = 0; i < 300; ++i) {
      const std::string key = "k" + std::to_string(rng.below(400));
      if (rng.below(3) == 0) {
        state.remove(key);
      } else {
        state.put(key, std::string(rng.below(9000), 'w'));
      }
    }
  });
  TestClient client(rig.port());
  int64_t many = 0;
  for (int round = 0; round < 200; ++round) {
    RangeRequest request = everything_request();
    if (rng.below(2) == 0) request.set_key("k" + std::to_string(rng.below(400)));
    if (rng.below(3) == 0) request.set_range_end("k" + std::to_string(rng.below(400)));
    if (rng.below(6) == 0) request.clear_range_end();
    if (rng.below(2) == 0) request.set_limit(static_cast<int64_t>(rng.below(300)) - 1);
    if (rng.below(2) == 0) request.set_revision(static_cast<int64_t>(rng.below(710)));
    request.set_serializable(rng.below(2) == 0);
    request.set_keys_only(rng.below(5) == 0);
    request.set_count_only(rng.below(8) == 0);
    if (rng.below(8) == 0) {  // without an order: Range sorts what the limit left
      request.set_sort_target(RangeRequest::MOD);
      request.clear_limit();
    }
    SCOPED_TRACE(request.ShortDebugString());
    const TestAnswer whole = client.call(kRange, request.SerializeAsString());
    const TestAnswer stream = client.call(kStream, request.SerializeAsString());
    ASSERT_EQ(stream.grpc_status(), whole.grpc_status());
    ASSERT_EQ(stream.grpc_message(), whole.grpc_message());
    if (whole.grpc_status() != 0) continue;
    RangeResponse wanted;
    ASSERT_TRUE(wanted.ParseFromString(whole.first_message()));
    if (request.sort_target() != RangeRequest::KEY) {
      std::ranges::sort(*wanted.mutable_kvs(), {}, &mvccpb::KeyValue::key);
    }
    if (request.count_only()) wanted.set_more(false);
    const auto pieces = pieces_of(stream);
    many += pieces.size() > 1 ? 1 : 0;
    for (const auto& piece : pieces) EXPECT_LT(piece.ByteSizeLong(), size_t{600} << 10U);
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(merged(pieces), wanted));
  }
  EXPECT_GT(many, 20);
}

TEST(RangeStream, OneThatIsCutExactlyAtAPieceStillTellsWhatIsBeyond) {
  LineRig rig;
  fill(rig, 30, size_t{64} << 10U);  // about eight of them make a piece
  for (int64_t limit = 1; limit < 31; ++limit) {
    RangeRequest request = everything_request();
    request.set_limit(limit);
    const RangeResponse all = merged(pieces_of(call(rig.port(), kStream, request)));
    EXPECT_EQ(all.kvs_size(), limit);
    EXPECT_EQ(all.count(), 30);
    EXPECT_EQ(all.more(), limit < 30);
  }
}

// A client that takes nothing until it is told to.
class SlowStream {
 public:
  SlowStream(uint16_t port, const RangeRequest& request) : client_(port) {
    stream_ = client_.start(TestClient::grpc_headers(kStream),
                            TestClient::frame(request.SerializeAsString()));
    client_.flush();
  }
  bool begins() {
    for (int i = 0; i < 2000 && client_.answer(stream_).body.empty(); ++i) {
      client_.pump(std::chrono::milliseconds(5));
    }
    return !client_.answer(stream_).body.empty();
  }
  TestAnswer& rest() { return client_.wait(stream_); }

 private:
  TestClient client_;
  int32_t stream_ = 0;
};

TEST(RangeStream, IsOfOneRevisionHoweverLongItTakes) {
  LineRig rig;
  fill(rig, 3000, 1000);
  RangeResponse wanted;
  ASSERT_TRUE(
      wanted.ParseFromString(call(rig.port(), kRange, everything_request()).first_message()));
  SlowStream stream(rig.port(), everything_request());
  ASSERT_TRUE(stream.begins());
  fill(rig, 3500, 5, 'x');
  const RangeResponse all = merged(pieces_of(stream.rest()));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(all, wanted));
}

TEST(RangeStream, EndsWithTheErrorWhenItsRevisionIsCompacted) {
  LineRig rig;
  fill(rig, 3000, 1000);
  SlowStream stream(rig.port(), everything_request());
  ASSERT_TRUE(stream.begins());
  fill(rig, 1, 5, 'x');
  rig.apply([](auto& state) { state.compact(3002); });
  const TestAnswer& answer = stream.rest();
  EXPECT_EQ(answer.grpc_status(), 11);
  EXPECT_EQ(answer.grpc_message(), "etcdserver: mvcc: required revision has been compacted");
}

TEST(RangeStream, RefusesWhatWouldNeedTheWholeRange) {
  LineRig rig;
  const auto refusal = [&](const std::function<void(RangeRequest&)>& change) {
    RangeRequest request = everything_request();
    change(request);
    const TestAnswer answer = call(rig.port(), kStream, request);
    return std::to_string(answer.grpc_status()) + " " + answer.grpc_message();
  };
  const std::string sorted = "12 RangeStream does not support custom sort orders";
  const std::string filtered = "12 RangeStream does not support revision filters";
  EXPECT_EQ(refusal([](auto& it) { it.set_sort_order(RangeRequest::DESCEND); }), sorted);
  EXPECT_EQ(refusal([](auto& it) {
              it.set_sort_order(RangeRequest::ASCEND);
              it.set_sort_target(RangeRequest::VALUE);
            }),
            sorted);
  EXPECT_EQ(refusal([](auto& it) { it.set_sort_order(RangeRequest::ASCEND); }), "0 ");
  EXPECT_EQ(refusal([](auto& it) { it.set_min_mod_revision(1); }), filtered);
  EXPECT_EQ(refusal([](auto& it) { it.set_max_create_revision(1); }), filtered);
  EXPECT_EQ(refusal([](auto& it) { it.clear_key(); }), "3 etcdserver: key is not provided");
  rig.on_loop([&] { rig.service().learner = true; });
  EXPECT_EQ(refusal([](auto& it) { it.set_serializable(true); }),
            "9 etcdserver: rpc not supported for learner");
}

TEST(RangeStream, ThoseThatAreNotReadDoNotBecomeMoreThanItsMaximum) {
  LineRig rig;
  fill(rig, 3000, 1000);
  std::vector<std::unique_ptr<SlowStream>> streams;
  for (int i = 0; i < 256; ++i) {
    streams.push_back(std::make_unique<SlowStream>(rig.port(), everything_request()));
    ASSERT_TRUE(streams.back()->begins());
  }
  const TestAnswer answer = call(rig.port(), kStream, everything_request());
  EXPECT_EQ(answer.grpc_message(), "etcdserver: too many requests");
  streams.clear();
  EXPECT_TRUE(LineRig::comes(
      [&] { return call(rig.port(), kStream, everything_request()).grpc_status() == 0; }));
}

}  // namespace
}  // namespace quorate::front::etcd
