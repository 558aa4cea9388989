// The hand-written wire form against the protobuf library, both ways, and against noise.
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "etcd.pb.h"
#include "machine/etcd/lease_messages.h"
#include "machine/etcd/messages.h"
#include "machine/etcd/watch_messages.h"

namespace quorate::machine::etcd {
namespace {

namespace pb = etcdserverpb;
using google::protobuf::util::MessageDifferencer;

std::string random_bytes(Rng& rng) {
  std::string text(rng.below(4) == 0 ? rng.below(300) : rng.below(6), '\0');
  for (char& byte : text) byte = static_cast<char>(rng.below(256));
  return text;
}

int64_t random_number(Rng& rng) {
  switch (rng.below(5)) {
    case 0:
      return 0;
    case 1:
      return static_cast<int64_t>(rng.below(200));
    case 2:
      return -static_cast<int64_t>(rng.below(200));
    case 3:
      return static_cast<int64_t>(rng.next());
    default:
      return rng.below(2) == 0 ? INT64_MAX : INT64_MIN;
  }
}

int random_enum(Rng& rng) {  // unknown and negative values too
  return static_cast<int>(rng.below(10)) - 2;
}

void fill(Rng& rng, pb::RangeRequest& request) {
  request.set_key(random_bytes(rng));
  request.set_range_end(random_bytes(rng));
  request.set_limit(random_number(rng));
  request.set_revision(random_number(rng));
  request.set_sort_order(static_cast<pb::RangeRequest::SortOrder>(random_enum(rng)));
  request.set_sort_target(static_cast<pb::RangeRequest::SortTarget>(random_enum(rng)));
  request.set_serializable(rng.below(2) == 0);
  request.set_keys_only(rng.below(2) == 0);
  request.set_count_only(rng.below(2) == 0);
  request.set_min_mod_revision(random_number(rng));
  request.set_max_mod_revision(random_number(rng));
  request.set_min_create_revision(random_number(rng));
  request.set_max_create_revision(random_number(rng));
}

void fill(Rng& rng, pb::PutRequest& request) {
  request.set_key(random_bytes(rng));
  request.set_value(random_bytes(rng));
  request.set_lease(random_number(rng));
  request.set_prev_kv(rng.below(2) == 0);
  request.set_ignore_value(rng.below(2) == 0);
  request.set_ignore_lease(rng.below(2) == 0);
}

void fill(Rng& rng, pb::DeleteRangeRequest& request) {
  request.set_key(random_bytes(rng));
  request.set_range_end(random_bytes(rng));
  request.set_prev_kv(rng.below(2) == 0);
}

void fill(Rng& rng, pb::CompactionRequest& request) {
  request.set_revision(random_number(rng));
  request.set_physical(rng.below(2) == 0);
}

void fill(Rng& rng, mvccpb::KeyValue& pair) {
  pair.set_key(random_bytes(rng));
  pair.set_create_revision(random_number(rng));
  pair.set_mod_revision(random_number(rng));
  pair.set_version(random_number(rng));
  pair.set_value(random_bytes(rng));
  pair.set_lease(random_number(rng));
}

void fill(Rng& rng, pb::Compare& compare) {
  compare.set_result(static_cast<pb::Compare::CompareResult>(random_enum(rng)));
  const int target = random_enum(rng);
  compare.set_target(static_cast<pb::Compare::CompareTarget>(target));
  compare.set_key(random_bytes(rng));
  compare.set_range_end(random_bytes(rng));
  switch (target) {  // as clients write it: the member the target asks about
    case 0:
      compare.set_version(random_number(rng));
      break;
    case 1:
      compare.set_create_revision(random_number(rng));
      break;
    case 2:
      compare.set_mod_revision(random_number(rng));
      break;
    case 3:
      compare.set_value(random_bytes(rng));
      break;
    case 4:
      compare.set_lease(random_number(rng));
      break;
    default:
      break;
  }
}

void fill(Rng& rng, pb::TxnRequest& request, int depth);

void fill(Rng& rng, pb::RequestOp& operation, int depth) {
  switch (rng.below(depth > 3 ? 4 : 5)) {
    case 0:
      fill(rng, *operation.mutable_request_range());
      break;
    case 1:
      fill(rng, *operation.mutable_request_put());
      break;
    case 2:
      fill(rng, *operation.mutable_request_delete_range());
      break;
    case 3:
      break;
    default:
      fill(rng, *operation.mutable_request_txn(), depth + 1);
      break;
  }
}

void fill(Rng& rng, pb::TxnRequest& request, int depth) {
  for (uint64_t i = rng.below(4); i > 0; --i) fill(rng, *request.add_compare());
  for (uint64_t i = rng.below(4); i > 0; --i) fill(rng, *request.add_success(), depth);
  for (uint64_t i = rng.below(4); i > 0; --i) fill(rng, *request.add_failure(), depth);
}
void fill(Rng& rng, pb::TxnRequest& request) { fill(rng, request, 0); }

void fill(Rng& rng, pb::ResponseHeader& header) {
  header.set_cluster_id(rng.next());
  header.set_member_id(rng.next());
  header.set_revision(random_number(rng));
  header.set_raft_term(rng.next());
}

// Library -> ours -> library must be the same message.
template <class Message, class Decode>
void round_trip(uint64_t seed, const Decode& decode) {
  Rng rng(seed);
  for (int i = 0; i < 2000; ++i) {
    Message message;
    fill(rng, message);
    const std::string wire = message.SerializeAsString();
    const auto ours = decode(wire);
    ASSERT_TRUE(ours) << message.ShortDebugString();
    std::string again;
    encode(*ours, again);
    Message back;
    ASSERT_TRUE(back.ParseFromString(again));
    ASSERT_TRUE(MessageDifferencer::Equals(message, back)) << message.ShortDebugString() << "\n"
                                                           << back.ShortDebugString();
  }
}

TEST(Wire, RoundTripsThroughTheLibrary) {
  round_trip<pb::RangeRequest>(1, decode_range_request);
  round_trip<pb::PutRequest>(2, decode_put_request);
  round_trip<pb::DeleteRangeRequest>(3, decode_delete_range_request);
  round_trip<pb::TxnRequest>(4, decode_txn_request);
  round_trip<pb::CompactionRequest>(5, decode_compaction_request);
  round_trip<mvccpb::KeyValue>(6, decode_key_value);
}

// Damaged bytes: nothing may crash, and what both accept both must read the same way.
template <class Message, class Decode>
void damaged(uint64_t seed, const Decode& decode) {
  Rng rng(seed);
  int accepted = 0;
  for (int i = 0; i < 4000; ++i) {
    Message message;
    fill(rng, message);
    std::string wire = message.SerializeAsString();
    if (rng.below(2) == 0) wire.resize(rng.below(wire.size() + 1));
    for (uint64_t n = rng.below(4); n > 0 && !wire.empty(); --n) {
      wire[rng.below(wire.size())] = static_cast<char>(rng.below(256));
    }
    const auto ours = decode(wire);
    Message theirs;
    if (!ours || !theirs.ParseFromString(wire)) continue;
    ++accepted;
    if constexpr (!std::is_same_v<Message, pb::TxnRequest>) {
      std::string again;
      encode(*ours, again);
      Message back;
      ASSERT_TRUE(back.ParseFromString(again));
      theirs.DiscardUnknownFields();
      ASSERT_TRUE(MessageDifferencer::Equals(theirs, back)) << theirs.ShortDebugString();
    }
  }
  ASSERT_GT(accepted, 20);
}

TEST(Wire, ReadsDamagedBytesLikeTheLibraryOrRefusesThem) {
  damaged<pb::RangeRequest>(11, decode_range_request);
  damaged<pb::PutRequest>(12, decode_put_request);
  damaged<pb::DeleteRangeRequest>(13, decode_delete_range_request);
  damaged<pb::TxnRequest>(14, decode_txn_request);
  damaged<pb::CompactionRequest>(15, decode_compaction_request);
  damaged<mvccpb::KeyValue>(16, decode_key_value);
}

TEST(Wire, NoiseNeverCrashes) {
  Rng rng(21);
  for (int i = 0; i < 50000; ++i) {
    const std::string noise = random_bytes(rng);
    (void)decode_range_request(noise);
    (void)decode_txn_request(noise);
    (void)decode_txn_response(noise);
    (void)decode_range_response(noise);
    (void)decode_key_value(noise);
  }
}

TEST(Wire, TruncatedMessagesAreRefusedOrShorter) {
  pb::PutRequest put;
  put.set_key("key");
  put.set_value("value");
  const std::string wire = put.SerializeAsString();
  for (size_t size = 0; size < wire.size(); ++size) {
    const auto ours = decode_put_request(std::string_view(wire).substr(0, size));
    EXPECT_EQ(ours.has_value(), size == 0 || size == 5) << size;  // whole fields only
  }
}

TEST(Wire, LastMemberOfAOneofCountsAndTheSameMemberIsMerged) {
  pb::RequestOp first;
  first.mutable_request_put()->set_key("a");
  pb::RequestOp second;
  second.mutable_request_put()->set_value("b");
  pb::RequestOp third;
  third.mutable_request_range()->set_key("c");
  const auto wrap = [](const std::string& operation) {
    std::string wire("\x12");
    wire.push_back(static_cast<char>(operation.size()));
    return wire + operation;
  };
  std::string wire = wrap(first.SerializeAsString() + second.SerializeAsString());
  auto txn = decode_txn_request(wire);
  ASSERT_TRUE(txn);
  const auto& put = std::get<PutRequest>(txn->success.at(0).request);
  EXPECT_EQ(put.key, "a");
  EXPECT_EQ(put.value, "b");
  wire = wrap(first.SerializeAsString() + third.SerializeAsString());
  txn = decode_txn_request(wire);
  ASSERT_TRUE(txn);
  EXPECT_EQ(std::get<RangeRequest>(txn->success.at(0).request).key, "c");
}

TEST(Wire, AComparisonWithAnotherTargetsMemberComparesWithZero) {
  pb::TxnRequest request;
  pb::Compare& compare = *request.add_compare();
  compare.set_target(pb::Compare::MOD);
  compare.set_version(7);
  const std::string wire = request.SerializeAsString();
  const auto ours = decode_txn_request(wire);
  ASSERT_TRUE(ours);
  EXPECT_EQ(ours->compare.at(0).number, 0);
}

TEST(Wire, NestingIsBounded) {
  pb::TxnRequest request;
  for (int depth = 1; depth <= kTxnDepthMax + 1; ++depth) {
    const std::string wire = request.SerializeAsString();
    EXPECT_EQ(decode_txn_request(wire).has_value(), depth <= kTxnDepthMax) << depth;
    pb::TxnRequest outer;
    *outer.add_success()->mutable_request_txn() = request;
    request = outer;
  }
}

TEST(Wire, UnknownFieldsOfEveryWireTypeAreSkipped) {
  std::string wire("\x0a\x01k");
  wire += std::string("\xf8\x01\x05", 3);               // 31, varint
  wire += std::string("\xf9\x01\0\0\0\0\0\0\0\0", 10);  // 31, fixed64
  wire += std::string("\xfa\x01\x02zz", 5);             // 31, bytes
  wire += std::string("\xfb\x01\x08\x01\xfc\x01", 6);   // 31, group
  wire += std::string("\xfd\x01\0\0\0\0", 6);           // 31, fixed32
  wire += std::string("\x12\x01v");
  const auto put = decode_put_request(wire);
  ASSERT_TRUE(put);
  EXPECT_EQ(put->key, "k");
  EXPECT_EQ(put->value, "v");
  pb::PutRequest theirs;
  EXPECT_TRUE(theirs.ParseFromString(wire));
  EXPECT_FALSE(decode_put_request(std::string_view("\x0b\x0a\x01k", 4)));  // group never ends
  EXPECT_FALSE(decode_put_request(std::string_view("\x0c", 1)));           // or never began
  EXPECT_FALSE(decode_put_request(std::string_view("\x02\x01k", 3)));      // field number 0
}

TEST(Wire, ResponsesReadBack) {
  Rng rng(31);
  for (int i = 0; i < 500; ++i) {
    pb::TxnResponse message;
    fill(rng, *message.mutable_header());
    message.set_succeeded(true);
    pb::RangeResponse& range = *message.add_responses()->mutable_response_range();
    fill(rng, *range.add_kvs());
    fill(rng, *range.add_kvs());
    range.set_more(true);
    range.set_count(random_number(rng));
    fill(rng, *message.add_responses()->mutable_response_put()->mutable_prev_kv());
    pb::DeleteRangeResponse& removed = *message.add_responses()->mutable_response_delete_range();
    removed.set_deleted(3);
    fill(rng, *removed.add_prev_kvs());
    message.add_responses()->mutable_response_txn()->mutable_header()->set_revision(9);
    const std::string wire = message.SerializeAsString();
    const auto ours = decode_txn_response(wire);
    ASSERT_TRUE(ours);
    EXPECT_EQ(ours->header.cluster_id, message.header().cluster_id());
    EXPECT_EQ(ours->header.revision, message.header().revision());
    EXPECT_TRUE(ours->succeeded);
    ASSERT_EQ(ours->responses.size(), 4U);
    const auto& ours_range = std::get<RangeResponse>(ours->responses[0].response);
    ASSERT_EQ(ours_range.kvs.size(), 2U);
    EXPECT_EQ(ours_range.kvs[1].value, range.kvs(1).value());
    EXPECT_EQ(ours_range.count, range.count());
    EXPECT_TRUE(ours_range.more);
    const auto& ours_put = std::get<PutResponse>(ours->responses[1].response);
    ASSERT_TRUE(ours_put.prev_kv);
    EXPECT_EQ(ours_put.prev_kv->lease, message.responses(1).response_put().prev_kv().lease());
    const auto& ours_removed = std::get<DeleteRangeResponse>(ours->responses[2].response);
    EXPECT_EQ(ours_removed.deleted, 3);
    ASSERT_EQ(ours_removed.prev_kvs.size(), 1U);
    EXPECT_EQ(ours_removed.prev_kvs[0].key, removed.prev_kvs(0).key());
    EXPECT_EQ(std::get<TxnResponse>(ours->responses[3].response).header.revision, 9);
    std::string header;
    encode(ours->header, header);
    pb::ResponseHeader back;
    ASSERT_TRUE(back.ParseFromString(header));
    EXPECT_TRUE(MessageDifferencer::Equals(message.header(), back));
  }
}

TEST(Wire, LeaseRequestsRoundTripThroughTheLibrary) {
  Rng rng(32);
  for (int i = 0; i < 500; ++i) {
    std::string wire;
    const LeaseGrantRequest grant{random_number(rng), random_number(rng)};
    encode(grant, wire);
    pb::LeaseGrantRequest grant_back;
    ASSERT_TRUE(grant_back.ParseFromString(wire));
    EXPECT_EQ(grant_back.ttl(), grant.ttl);
    EXPECT_EQ(grant_back.id(), grant.id);
    EXPECT_EQ(decode_lease_grant_request(grant_back.SerializeAsString())->id, grant.id);

    LeaseCheckpointRequest checkpoint;
    for (uint64_t n = rng.below(4); n > 0; --n) {
      checkpoint.checkpoints.push_back({random_number(rng), random_number(rng), 0});
    }
    wire.clear();
    encode(checkpoint, wire);
    pb::LeaseCheckpointRequest checkpoint_back;
    ASSERT_TRUE(checkpoint_back.ParseFromString(wire));
    const auto again = decode_lease_checkpoint_request(checkpoint_back.SerializeAsString());
    ASSERT_TRUE(again);
    ASSERT_EQ(again->checkpoints.size(), checkpoint.checkpoints.size());
    for (size_t n = 0; n < checkpoint.checkpoints.size(); ++n) {
      EXPECT_EQ(again->checkpoints[n].id, checkpoint.checkpoints[n].id);
      EXPECT_EQ(again->checkpoints[n].remaining_ttl, checkpoint.checkpoints[n].remaining_ttl);
    }

    const LeaseTimeToLiveRequest ask{random_number(rng), rng.below(2) == 0};
    wire.clear();
    encode(ask, wire);
    pb::LeaseTimeToLiveRequest ask_back;
    ASSERT_TRUE(ask_back.ParseFromString(wire));
    EXPECT_EQ(ask_back.keys(), ask.keys);
    EXPECT_EQ(decode_lease_time_to_live_request(wire)->id, ask.id);
    EXPECT_EQ(decode_lease_time_to_live_request(wire)->keys, ask.keys);

    wire.clear();
    encode(LeaseRevokeRequest{ask.id, 0}, wire);
    EXPECT_EQ(decode_lease_revoke_request(wire)->id, ask.id);
    EXPECT_EQ(decode_lease_keep_alive_request(wire)->id, ask.id);
    if (!wire.empty()) wire.pop_back();
    const auto damaged = decode_lease_revoke_request(wire);
    EXPECT_TRUE(wire.empty() ? damaged.has_value() : !damaged.has_value());
  }
}

TEST(Wire, LeaseResponsesReadBack) {
  Rng rng(33);
  for (int i = 0; i < 200; ++i) {
    pb::LeaseTimeToLiveResponse life;
    fill(rng, *life.mutable_header());
    life.set_id(random_number(rng));
    life.set_ttl(random_number(rng));
    life.set_grantedttl(random_number(rng));
    life.add_keys("a");
    life.add_keys("");
    const std::string life_wire = life.SerializeAsString();
    const auto ours = decode_lease_time_to_live_response(life_wire);
    ASSERT_TRUE(ours);
    EXPECT_EQ(ours->header.raft_term, life.header().raft_term());
    EXPECT_EQ(ours->id, life.id());
    EXPECT_EQ(ours->ttl, life.ttl());
    EXPECT_EQ(ours->granted_ttl, life.grantedttl());
    EXPECT_EQ(ours->keys, (std::vector<std::string_view>{"a", ""}));

    pb::LeaseLeasesResponse list;
    for (int n = 0; n < 3; ++n) list.add_leases()->set_id(random_number(rng));
    const auto our_list = decode_lease_leases_response(list.SerializeAsString());
    ASSERT_TRUE(our_list);
    ASSERT_EQ(our_list->leases.size(), 3U);
    for (int n = 0; n < 3; ++n) {
      EXPECT_EQ(our_list->leases[static_cast<size_t>(n)], list.leases(n).id());
    }

    pb::LeaseGrantResponse grant;
    grant.set_id(life.id());
    grant.set_ttl(life.ttl());
    grant.set_error("no");
    const std::string grant_wire = grant.SerializeAsString();
    EXPECT_EQ(decode_lease_grant_response(grant_wire)->ttl, life.ttl());
    EXPECT_EQ(decode_lease_grant_response(grant_wire)->error, "no");
    pb::LeaseKeepAliveResponse alive;
    alive.set_id(life.id());
    alive.set_ttl(life.ttl());
    EXPECT_EQ(decode_lease_keep_alive_response(alive.SerializeAsString())->ttl, life.ttl());
    EXPECT_FALSE(decode_lease_keep_alive_response("\x0a"));
  }
}

void fill(Rng& rng, pb::WatchCreateRequest& request) {
  request.set_key(random_bytes(rng));
  request.set_range_end(random_bytes(rng));
  request.set_start_revision(random_number(rng));
  request.set_progress_notify(rng.below(2) == 0);
  for (uint64_t count = rng.below(4); count > 0; --count) {
    request.add_filters(static_cast<pb::WatchCreateRequest::FilterType>(random_enum(rng)));
  }
  request.set_prev_kv(rng.below(2) == 0);
  request.set_watch_id(random_number(rng));
  request.set_fragment(rng.below(2) == 0);
}

void expect_same(const WatchCreateRequest& ours, const pb::WatchCreateRequest& theirs) {
  const auto has = [&](pb::WatchCreateRequest::FilterType filter) {
    return std::ranges::find(theirs.filters(), filter) != theirs.filters().end();
  };
  EXPECT_EQ(ours.key, theirs.key());
  EXPECT_EQ(ours.range_end, theirs.range_end());
  EXPECT_EQ(ours.start_revision, theirs.start_revision());
  EXPECT_EQ(ours.progress_notify, theirs.progress_notify());
  EXPECT_EQ(ours.no_put, has(pb::WatchCreateRequest::NOPUT));
  EXPECT_EQ(ours.no_delete, has(pb::WatchCreateRequest::NODELETE));
  EXPECT_EQ(ours.prev_kv, theirs.prev_kv());
  EXPECT_EQ(ours.watch_id, theirs.watch_id());
  EXPECT_EQ(ours.fragment, theirs.fragment());
}

TEST(Wire, WatchRequestsAreReadAsTheLibraryWritesThem) {
  Rng rng(91);
  for (int i = 0; i < 2000; ++i) {
    pb::WatchRequest request;
    fill(rng, *request.mutable_create_request());
    const std::string bytes = request.SerializeAsString();
    const auto decoded = decode_watch_request(bytes);
    ASSERT_TRUE(decoded && std::holds_alternative<WatchCreateRequest>(*decoded));
    expect_same(std::get<WatchCreateRequest>(*decoded), request.create_request());
    // Cut or altered it may be anything, but reading it does no harm.
    static_cast<void>(
        decode_watch_request(std::string_view(bytes).substr(0, rng.below(bytes.size()))));
    std::string altered = bytes;
    altered[rng.below(altered.size())] = static_cast<char>(rng.below(256));
    static_cast<void>(decode_watch_request(altered));
  }
  pb::WatchRequest request;
  request.mutable_cancel_request()->set_watch_id(-7);
  std::string bytes = request.SerializeAsString();
  EXPECT_EQ(std::get<WatchCancelRequest>(*decode_watch_request(bytes)).watch_id, -7);
  request.mutable_progress_request();
  bytes = request.SerializeAsString();
  EXPECT_TRUE(std::holds_alternative<WatchProgressRequest>(*decode_watch_request(bytes)));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(*decode_watch_request("")));
  // Filters one by one, as older writers send them; a packed list that ends within a number.
  const auto single = decode_watch_request(std::string_view("\x0a\x04\x28\x01\x28\x00", 6));
  EXPECT_TRUE(std::get<WatchCreateRequest>(*single).no_put);
  EXPECT_TRUE(std::get<WatchCreateRequest>(*single).no_delete);
  EXPECT_FALSE(decode_watch_request(std::string_view("\x0a\x03\x2a\x01\x80", 5)));
}

}  // namespace
}  // namespace quorate::machine::etcd
