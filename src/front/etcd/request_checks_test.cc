#include "front/etcd/request_checks.h"

#include <gtest/gtest.h>

#include "front/etcd/wire.h"

namespace quorate::front::etcd {
namespace {

using machine::etcd::Compare;
using machine::etcd::DeleteRangeRequest;
using machine::etcd::PutRequest;
using machine::etcd::RangeRequest;
using machine::etcd::RequestOp;
using machine::etcd::TxnRequest;

RequestOp range(std::string_view key, bool serializable_wanted = false) {
  RangeRequest request;
  request.key = key;
  request.serializable = serializable_wanted;
  return {request};
}
RequestOp put(std::string_view key) {
  PutRequest request;
  request.key = key;
  return {request};
}
RequestOp deletion(std::string_view key, std::string_view end = {}) {
  DeleteRangeRequest request;
  request.key = key;
  request.range_end = end;
  return {request};
}
RequestOp nested(std::vector<RequestOp> success, std::vector<RequestOp> failure = {}) {
  TxnRequest request;
  request.success = std::move(success);
  request.failure = std::move(failure);
  return {std::move(request)};
}
TxnRequest txn(std::vector<RequestOp> success, std::vector<RequestOp> failure = {}) {
  return std::get<TxnRequest>(nested(std::move(success), std::move(failure)).request);
}

constexpr size_t kMax = 128;

TEST(CheckRange, key_and_sort_options) {
  RangeRequest request;
  EXPECT_EQ(check_range(request), ApiError::empty_key);
  request.key = "k";
  EXPECT_EQ(check_range(request), std::nullopt);
  for (const int32_t order : {-1, 3, 1000}) {
    request.sort_order = order;
    EXPECT_EQ(check_range(request), ApiError::invalid_sort_option);
  }
  request.sort_order = 2;
  request.sort_target = 4;
  EXPECT_EQ(check_range(request), std::nullopt);
  request.sort_target = 5;
  EXPECT_EQ(check_range(request), ApiError::invalid_sort_option);
  request.key = {};
  EXPECT_EQ(check_range(request), ApiError::empty_key);  // the first fault is named
}

TEST(CheckPut, key_then_value_then_lease) {
  PutRequest request;
  request.ignore_value = true;
  request.value = "v";
  request.ignore_lease = true;
  request.lease = 9;
  EXPECT_EQ(check_put(request), ApiError::empty_key);
  request.key = "k";
  EXPECT_EQ(check_put(request), ApiError::value_provided);
  request.value = {};
  EXPECT_EQ(check_put(request), ApiError::lease_provided);
  request.lease = 0;
  EXPECT_EQ(check_put(request), std::nullopt);
}

TEST(CheckDeleteRange, key) { EXPECT_EQ(check_delete_range({}), ApiError::empty_key); }

TEST(CheckTxn, count_is_that_of_the_longest_list) {
  EXPECT_EQ(check_txn(txn(std::vector<RequestOp>(128, range("k"))), kMax), std::nullopt);
  EXPECT_EQ(check_txn(txn(std::vector<RequestOp>(129, range("k"))), kMax),
            ApiError::too_many_operations);
  TxnRequest compares;
  Compare compare;
  compare.key = "k";
  compares.compare.assign(129, compare);
  EXPECT_EQ(check_txn(compares, kMax), ApiError::too_many_operations);
}

TEST(CheckTxn, nested_transactions_share_what_is_left) {
  // One operation outside leaves 127 inside.
  EXPECT_EQ(check_txn(txn({nested(std::vector<RequestOp>(127, range("k")))}), kMax), std::nullopt);
  EXPECT_EQ(check_txn(txn({nested(std::vector<RequestOp>(128, range("k")))}), kMax),
            ApiError::too_many_operations);
}

TEST(CheckTxn, every_part_is_checked_even_the_branch_not_taken) {
  TxnRequest compares;
  compares.compare.resize(1);
  EXPECT_EQ(check_txn(compares, kMax), ApiError::empty_key);
  EXPECT_EQ(check_txn(txn({}, {put("")}), kMax), ApiError::empty_key);
  EXPECT_EQ(check_txn(txn({RequestOp{}}), kMax), ApiError::key_not_found);
  EXPECT_EQ(check_txn(txn({}, {nested({}, {range("")})}), kMax), ApiError::empty_key);
  EXPECT_EQ(check_txn(txn({}), kMax), std::nullopt);
}

struct DuplicateCase {
  const char* name;
  TxnRequest request;
  bool duplicate;
};

std::vector<DuplicateCase> duplicate_cases() {
  using namespace std::string_view_literals;
  return {
      {"put twice", txn({put("a"), put("a")}), true},
      {"two keys", txn({put("a"), put("b")}), false},
      {"other branch", txn({put("a")}, {put("a")}), false},
      {"failure branch", txn({}, {put("a"), put("a")}), true},
      {"put and point delete", txn({put("a"), deletion("a")}), true},
      {"delete before put", txn({deletion("a"), put("a")}), true},
      {"point delete of a longer key", txn({put("ab"), deletion("a")}), false},
      {"inside a range", txn({put("b"), deletion("a", "c")}), true},
      {"end is exclusive", txn({put("c"), deletion("a", "c")}), false},
      {"start is inclusive", txn({put("a"), deletion("a", "c")}), true},
      {"from key passes, as in etcd", txn({put("zz"), deletion("a", "\0"sv)}), false},
      {"below from key", txn({put("a"), deletion("b", "\0"sv)}), false},
      {"empty range", txn({put("b"), deletion("c", "a")}), false},
      {"overlapping deletes", txn({deletion("a", "d"), deletion("b", "z")}), false},
      {"joined deletes", txn({deletion("a", "c"), deletion("c", "e"), put("c")}), true},
      {"gap between deletes", txn({deletion("a", "b"), deletion("c", "d"), put("bb")}), false},
      {"nested put and put", txn({nested({put("a")}), put("a")}), true},
      {"nested put and delete", txn({nested({put("a")}), deletion("a")}), true},
      {"nested delete and put", txn({nested({deletion("a")}), put("a")}), true},
      {"nested branches exclude each other", txn({nested({put("a")}, {put("a")})}), false},
      {"two nested", txn({nested({put("a")}), nested({put("a")})}), true},
      {"two nested, other branches", txn({nested({put("a")}), nested({}, {put("a")})}), true},
      {"deep", txn({nested({nested({put("a")})}), put("a")}), true},
      {"inside nested", txn({nested({put("a"), put("a")})}), true},
      {"delete then nested put", txn({nested({deletion("a")}), nested({put("a")})}), true},
      {"ranges do not count", txn({put("a"), range("a"), range("a")}), false},
  };
}

TEST(CheckTxn, duplicate_keys) {
  for (const DuplicateCase& each : duplicate_cases()) {
    const auto expected =
        each.duplicate ? std::optional(ApiError::duplicate_key) : std::optional<ApiError>();
    EXPECT_EQ(check_txn(each.request, kMax), expected) << each.name;
  }
}

TEST(ReadsOnly, nested_transactions_are_writes) {
  EXPECT_TRUE(reads_only(txn({range("a")}, {range("b")})));
  EXPECT_TRUE(reads_only(txn({})));
  EXPECT_FALSE(reads_only(txn({range("a")}, {put("b")})));
  EXPECT_FALSE(reads_only(txn({nested({range("a")})})));
  EXPECT_TRUE(serializable(txn({range("a", true)}, {range("b", true)})));
  EXPECT_FALSE(serializable(txn({range("a", true)}, {range("b")})));
  EXPECT_TRUE(serializable(txn({})));
}

TEST(Wire, header_and_fields) {
  std::string out;
  HeaderWriter(1, 300).write(2, 3, out);
  EXPECT_EQ(out, std::string("\x0a\x09\x08\x01\x10\xac\x02\x18\x02\x20\x03"));
  out.clear();
  HeaderWriter(UINT64_MAX, UINT64_MAX).write(INT64_MAX, UINT64_MAX, out);
  EXPECT_EQ(static_cast<size_t>(out[1]), out.size() - 2);
  std::string message;
  write_text(1, "name", message);
  write_number(2, 77, message);
  EXPECT_EQ(read_field(message, 1)->text, "name");
  EXPECT_EQ(read_field(message, 2)->number, 77U);
  EXPECT_EQ(read_field(message, 3)->number, 0U);
  for (size_t size = 1; size < message.size(); ++size) {
    if (size == 6) continue;  // the end of the first field
    EXPECT_FALSE(read_field(std::string_view(message).substr(0, size), 1)) << size;
  }
  EXPECT_FALSE(read_field("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 1));
}

}  // namespace
}  // namespace quorate::front::etcd
