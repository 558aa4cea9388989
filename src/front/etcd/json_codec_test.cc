// The translation between JSON and protobuf, judged by the protobuf library.
#include "front/etcd/json_codec.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "auth.pb.h"
#include "election.pb.h"
#include "etcd.pb.h"
#include "lock.pb.h"

namespace quorate::front::etcd {
namespace {

FieldKind kind_of(const auto& field) {
  using Described = std::decay_t<decltype(field)>;
  const std::pair<typename Described::Type, FieldKind> kinds[] = {
      {Described::TYPE_BOOL, FieldKind::flag},
      {Described::TYPE_UINT32, FieldKind::uint32},
      {Described::TYPE_INT64, FieldKind::int64},
      {Described::TYPE_UINT64, FieldKind::uint64},
      {Described::TYPE_STRING, FieldKind::text},
      {Described::TYPE_BYTES, FieldKind::bytes},
      {Described::TYPE_ENUM, FieldKind::enumeration},
      {Described::TYPE_MESSAGE, FieldKind::message}};
  for (const auto& [type, kind] : kinds) {
    if (field.type() == type) return kind;
  }
  ADD_FAILURE() << field.name() << " has a type that the table does not know";
  return FieldKind::message;
}

void compare_field(const JsonField& ours, const auto& field) {
  EXPECT_EQ(ours.name, field.name());
  EXPECT_EQ(ours.kind, kind_of(field));
  EXPECT_EQ(ours.repeated, field.is_repeated());
  EXPECT_EQ(ours.one_of, field.real_containing_oneof() != nullptr);
  if (ours.kind == FieldKind::message) {
    EXPECT_EQ(name_of(ours.message), field.message_type()->name());
  }
  if (ours.kind != FieldKind::enumeration) return;
  ASSERT_EQ(static_cast<int>(ours.names.size()), field.enum_type()->value_count());
  for (int number = 0; number < field.enum_type()->value_count(); ++number) {
    EXPECT_EQ(ours.names[static_cast<size_t>(number)],
              field.enum_type()->FindValueByNumber(number)->name());
  }
}

constexpr const char* kPackages[] = {"etcdserverpb.", "mvccpb.", "v3lockpb.", "v3electionpb.",
                                     "authpb."};

// All files that are linked in: naming one message of each sees to that.
const auto* pool() {
  const void* linked[] = {v3lockpb::LockRequest::descriptor(),
                          v3electionpb::LeaderKey::descriptor()};
  EXPECT_EQ(std::ranges::count(linked, nullptr), 0);
  return etcdserverpb::RangeRequest::descriptor()->file()->pool();
}
auto find_message(const std::string& name) -> decltype(pool()->FindMessageTypeByName(name)) {
  for (const char* package : kPackages) {
    if (const auto* found = pool()->FindMessageTypeByName(package + name)) return found;
  }
  return nullptr;
}

TEST(JsonMessages, the_table_is_that_of_the_proto_file) {
  for (size_t number = 1; number <= json_message_count(); ++number) {
    const auto id = static_cast<MessageId>(number);
    const std::string name(name_of(id));
    SCOPED_TRACE(name);
    const auto* message = find_message(name);
    ASSERT_NE(message, nullptr);
    ASSERT_EQ(static_cast<int>(fields_of(id).size()), message->field_count());
    for (const JsonField& ours : fields_of(id)) {
      const auto* field = message->FindFieldByNumber(static_cast<int>(ours.number));
      ASSERT_NE(field, nullptr) << ours.name;
      compare_field(ours, *field);
    }
  }
}

TEST(JsonMessages, every_route_is_a_method_with_fields_of_its_own_messages) {
  for (const JsonRoute& route : json_routes()) {
    const std::string method(route.method);
    SCOPED_TRACE(method);
    const size_t slash = method.find('/');
    const std::string name = method.substr(0, slash);
    const auto* service =
        pool()->FindServiceByName(name.contains('.') ? name : "etcdserverpb." + name);
    ASSERT_NE(service, nullptr);
    const auto* found = service->FindMethodByName(method.substr(slash + 1));
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->server_streaming(), route.stream != JsonStream::none);
    EXPECT_EQ(found->client_streaming(), route.stream == JsonStream::both);
    // Messages with the same fields share a row of the table.
    const auto* request = found->input_type();
    const auto* response = found->output_type();
    ASSERT_EQ(static_cast<int>(fields_of(route.request).size()), request->field_count());
    ASSERT_EQ(static_cast<int>(fields_of(route.response).size()), response->field_count());
    for (const JsonField& ours : fields_of(route.request)) {
      compare_field(ours, *request->FindFieldByNumber(static_cast<int>(ours.number)));
    }
    for (const JsonField& ours : fields_of(route.response)) {
      compare_field(ours, *response->FindFieldByNumber(static_cast<int>(ours.number)));
    }
  }
}

std::string fault_of(MessageId id, std::string_view json) {
  std::string message;
  return json_to_message(id, json, message).value_or("");
}

template <class Proto>
Proto parse(MessageId id, std::string_view json) {
  std::string message;
  const auto fault = json_to_message(id, json, message);
  EXPECT_FALSE(fault) << *fault;
  Proto proto;
  EXPECT_TRUE(proto.ParseFromString(message));
  return proto;
}

TEST(JsonCodec, reads_every_form_that_clients_write) {
  const auto range = parse<etcdserverpb::RangeRequest>(
      MessageId::range_request,
      R"( {"key":"Zm9v","rangeEnd":"_-8","limit":"7","revision":9,"sort_order":"DESCEND",
           "sortTarget":3,"serializable":true,"keys_only":false,"min_mod_revision":1e3,
           "count_only":null,"unknown":{"a":[1,{"b":null}]},"more":[[]]} )");
  EXPECT_EQ(range.key(), "foo");
  EXPECT_EQ(range.range_end(), "\xff\xef");
  EXPECT_EQ(range.limit(), 7);
  EXPECT_EQ(range.revision(), 9);
  EXPECT_EQ(range.sort_order(), etcdserverpb::RangeRequest::DESCEND);
  EXPECT_EQ(range.sort_target(), etcdserverpb::RangeRequest::MOD);
  EXPECT_TRUE(range.serializable());
  EXPECT_EQ(range.min_mod_revision(), 1000);
  const auto lowest = parse<etcdserverpb::PutRequest>(MessageId::put_request,
                                                      R"({"lease":"-9223372036854775808"})");
  EXPECT_EQ(lowest.lease(), INT64_MIN);
  const auto highest = parse<etcdserverpb::MoveLeaderRequest>(
      MessageId::move_leader_request, R"({"targetID":18446744073709551615})");
  EXPECT_EQ(highest.targetid(), UINT64_MAX);
  for (const char* nothing : {"", " \n", "{}", R"({"key":null})", R"({"key":""})"}) {
    std::string message = "x";
    EXPECT_FALSE(json_to_message(MessageId::range_request, nothing, message)) << nothing;
    EXPECT_EQ(message, "") << nothing;
  }
}

TEST(JsonCodec, reads_transactions_within_transactions) {
  const auto txn = parse<etcdserverpb::TxnRequest>(
      MessageId::txn_request,
      R"({"compare":[{"result":"NOT_EQUAL","target":"VERSION","key":"YQ","version":"0"},{}],
          "success":[{"request_put":{"key":"YQ==","value":"Yg=="}},
                     {"requestTxn":{"failure":[{"requestRange":{}},{"request_delete_range":{
                      "key":"YQ==","prev_kv":true}}]}}],"failure":[]})");
  ASSERT_EQ(txn.compare_size(), 2);
  EXPECT_TRUE(txn.compare(0).has_version()) << "zero is said, not left out";
  EXPECT_EQ(txn.compare(0).result(), etcdserverpb::Compare::NOT_EQUAL);
  ASSERT_EQ(txn.success_size(), 2);
  EXPECT_EQ(txn.success(0).request_put().value(), "b");
  ASSERT_EQ(txn.success(1).request_txn().failure_size(), 2);
  EXPECT_TRUE(txn.success(1).request_txn().failure(0).has_request_range());
  EXPECT_TRUE(txn.success(1).request_txn().failure(1).request_delete_range().prev_kv());
  EXPECT_EQ(parse<etcdserverpb::MemberAddRequest>(MessageId::member_add_request,
                                                  R"({"peerURLs":["http://a","http://b"]})")
                .peerurls_size(),
            2);
}

TEST(JsonCodec, refuses_what_is_wrong_or_ambiguous_and_names_it) {
  const auto put = [](std::string_view json) { return fault_of(MessageId::put_request, json); };
  EXPECT_EQ(put(R"({"key":"a"})"), "field \"key\" takes base64");
  EXPECT_EQ(put(R"({"key":"YQ=a"})"), "field \"key\" takes base64");
  EXPECT_EQ(put(R"({"key":"YQ==","key":"Yg=="})"), "field \"key\" takes one value, not two");
  EXPECT_EQ(put(R"({"prev_kv":true,"prevKv":true})"), "field \"prev_kv\" takes one value, not two");
  EXPECT_EQ(put(R"({"prev_kv":"true"})"), "field \"prev_kv\" takes true or false");
  const std::string range_of_type = "field \"lease\" takes an integer within the range of its type";
  for (const char* lease : {"9223372036854775808", "\"9223372036854775808\"", "1.5", "1e30",
                            "\" 1\"", "\"\"", "\"0x1\"", "-9223372036854775809"}) {
    EXPECT_EQ(put("{\"lease\":" + std::string(lease) + "}"), range_of_type) << lease;
  }
  for (const char* json : {"[]", "1", "null", "\"x\"", "true"}) {
    EXPECT_EQ(put(json), "the body is not a JSON object") << json;
  }
  for (const char* json : {"{", "{\"key\"}", "{} {}", "{\"a\":1e999}", "{\"key\":\"\xff\"}", "}"}) {
    EXPECT_TRUE(put(json).starts_with("the body is not valid JSON")) << json << put(json);
  }
  EXPECT_EQ(put(std::string_view("{}\0{}", 5)), "the body is not valid JSON, as seen at byte 3");
  EXPECT_NE(put(R"({"key":{}})"), "");
  EXPECT_NE(put(R"({"key":["YQ=="]})"), "");
  EXPECT_NE(put(R"({"key":1})"), "");
  const auto txn = [](std::string_view json) { return fault_of(MessageId::txn_request, json); };
  EXPECT_NE(txn(R"({"compare":{}})"), "");
  EXPECT_NE(txn(R"({"compare":[null]})"), "");
  EXPECT_NE(txn(R"({"compare":[[]]})"), "");
  EXPECT_NE(txn(R"({"compare":[1]})"), "");
  EXPECT_EQ(txn(R"({"compare":[{"result":"LESSER"}]})"),
            "field \"result\" takes one of the names that the API defines for it");
  EXPECT_NE(txn(R"({"compare":[{"version":1,"value":"YQ=="}]})"), "");
  EXPECT_NE(txn(R"({"success":[{"request_put":{},"request_range":{}}]})"), "");
}

TEST(JsonCodec, depth_is_bounded_in_known_and_unknown_fields) {
  const auto nested = [](size_t times, std::string_view open, std::string_view close) {
    std::string json;
    for (size_t count = 0; count < times; ++count) json += open;
    for (size_t count = 0; count < times; ++count) json += close;
    return json;
  };
  const auto unknown = [&](size_t times) {
    return fault_of(MessageId::put_request, "{\"x\":" + nested(times, "[", "]") + "}");
  };
  EXPECT_EQ(unknown(kJsonDepthMax - 1), "");
  EXPECT_EQ(unknown(kJsonDepthMax), "the body is nested deeper than 200 levels");
  EXPECT_EQ(unknown(1000000), "the body is nested deeper than 200 levels");
  const std::string open = R"({"success":[{"request_txn":)";
  EXPECT_EQ(
      fault_of(MessageId::txn_request, nested(60, open, "}]}").insert(60 * open.size(), "{}")), "");
  EXPECT_NE(
      fault_of(MessageId::txn_request, nested(80, open, "}]}").insert(80 * open.size(), "{}")), "");
}

TEST(JsonCodec, writes_by_the_conventions) {
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(message_to_json(MessageId::range_response, response.SerializeAsString()), "{}");
  response.mutable_header()->set_cluster_id(UINT64_MAX);
  response.mutable_header()->set_revision(-3);
  for (const char* key : {"a", "ab", "abc"}) response.add_kvs()->set_key(key);
  response.add_kvs();
  response.set_more(true);
  EXPECT_EQ(message_to_json(MessageId::range_response, response.SerializeAsString()),
            R"({"header":{"cluster_id":"18446744073709551615","revision":"-3"},)"
            R"("kvs":[{"key":"YQ=="},{"key":"YWI="},{"key":"YWJj"},{}],"more":true})");
  etcdserverpb::TxnResponse txn;
  txn.add_responses()->mutable_response_put();
  EXPECT_EQ(message_to_json(MessageId::txn_response, txn.SerializeAsString()),
            R"({"responses":[{"response_put":{}}]})");
  etcdserverpb::HashKVResponse hash;
  hash.set_hash(UINT32_MAX);
  EXPECT_EQ(message_to_json(MessageId::hash_kv_response, hash.SerializeAsString()),
            R"({"hash":4294967295})");
  EXPECT_EQ(message_to_json(MessageId::member, "\x12\x04q\"\xff\n"),
            "{\"name\":\"q\\\"\xef\xbf\xbd\\n\"}");
  EXPECT_EQ(message_to_json(MessageId::compare, "\x08\x03\x10\x09"),
            R"({"result":"NOT_EQUAL","target":9})");
}

TEST(JsonCodec, damaged_bodies_are_refused_or_read_but_never_harm) {
  const std::string good =
      R"({"compare":[{"key":"YQ==","version":"1"}],"success":[{"request_put":{"key":"YQ=="}}]})";
  std::mt19937 random(7);
  size_t refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string json = good;
    for (unsigned change = 0; change <= round % 3U; ++change) {
      const size_t at = random() % json.size();
      if (random() % 2 == 0) {
        json[at] = static_cast<char>(random());
      } else {
        json.erase(at, random() % 5);
      }
      if (json.empty()) break;
    }
    std::string message;
    if (json_to_message(MessageId::txn_request, json, message)) {
      ++refused;
    } else {
      etcdserverpb::TxnRequest txn;
      EXPECT_TRUE(txn.ParseFromString(message)) << json;
      message_to_json(MessageId::txn_request, message);
    }
    message_to_json(MessageId::txn_response, json);  // bytes which are no protobuf at all
  }
  EXPECT_GT(refused, 1000U);
}

}  // namespace
}  // namespace quorate::front::etcd
