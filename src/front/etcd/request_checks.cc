#include "front/etcd/request_checks.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

namespace quorate::front::etcd {

using machine::etcd::Compare;
using machine::etcd::DeleteRangeRequest;
using machine::etcd::PutRequest;
using machine::etcd::RangeRequest;
using machine::etcd::RequestOp;
using machine::etcd::TxnRequest;

namespace {

constexpr int32_t kSortOrderLast = 2;
constexpr int32_t kSortTargetLast = 4;

std::optional<ApiError> check_operations(const TxnRequest& request, size_t operations_max);

std::optional<ApiError> check_operation(const RequestOp& operation, size_t operations_max) {
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    return check_range(*range);
  }
  if (const auto* put = std::get_if<PutRequest>(&operation.request)) return check_put(*put);
  if (const auto* deletion = std::get_if<DeleteRangeRequest>(&operation.request)) {
    return check_delete_range(*deletion);
  }
  if (const auto* nested = std::get_if<TxnRequest>(&operation.request)) {
    return check_operations(*nested, operations_max);
  }
  return ApiError::key_not_found;  // the operation was left out
}

std::optional<ApiError> check_operations(const TxnRequest& request, size_t operations_max) {
  const size_t count =
      std::max({request.compare.size(), request.success.size(), request.failure.size()});
  if (count > operations_max) return ApiError::too_many_operations;
  for (const Compare& compare : request.compare) {
    if (compare.key.empty()) return ApiError::empty_key;
  }
  const size_t left = operations_max - count;
  for (const auto* branch : {&request.success, &request.failure}) {
    for (const RequestOp& operation : *branch) {
      if (const auto error = check_operation(operation, left)) return error;
    }
  }
  return std::nullopt;
}

// Key ranges as a union of disjoint half-open intervals. A client may nest many thousand
// deletions into one request, so that looking each put up in a list would be an attack.
class DeletedKeys {
 public:
  // The end "\0", elsewhere "every key from here on", is taken literally and so deletes nothing
  // here: etcd lets such a transaction pass, and its order of operations is well defined.
  void add(const DeleteRangeRequest& deletion) {
    if (deletion.range_end.empty()) {
      insert(std::string(deletion.key), std::string(deletion.key) + '\0');
    } else if (deletion.range_end > deletion.key) {
      insert(std::string(deletion.key), std::string(deletion.range_end));
    }
  }
  void add(const DeletedKeys& other) {
    for (const auto& [start, end] : other.intervals_) insert(start, end);
  }
  bool contains(std::string_view key) const {
    auto behind = intervals_.upper_bound(key);
    return behind != intervals_.begin() && key < std::prev(behind)->second;
  }

 private:
  void insert(std::string start, std::string end) {
    auto position = intervals_.upper_bound(start);
    if (position != intervals_.begin() && std::prev(position)->second >= start) {
      --position;
      start = position->first;
    }
    while (position != intervals_.end() && position->first <= end) {
      end = std::max(end, position->second);
      position = intervals_.erase(position);
    }
    intervals_.emplace(std::move(start), std::move(end));
  }

  std::map<std::string, std::string, std::less<>> intervals_;  // start to exclusive end
};

// What the operations of one list touch, those of nested transactions included.
struct TouchedKeys {
  std::set<std::string_view> puts;
  DeletedKeys deleted;
  bool duplicate = false;
};

TouchedKeys touched_keys(const std::vector<RequestOp>& operations);

// Adds a nested transaction's branches. They exclude each other, so both may put the same key.
void add_nested(const TxnRequest& nested, TouchedKeys& touched) {
  const TouchedKeys success = touched_keys(nested.success);
  const TouchedKeys failure = touched_keys(nested.failure);
  touched.duplicate = touched.duplicate || success.duplicate || failure.duplicate;
  if (touched.duplicate) return;
  const auto conflicts = [&touched](std::string_view key) {
    return touched.puts.contains(key) || touched.deleted.contains(key);
  };
  touched.duplicate =
      std::ranges::any_of(success.puts, conflicts) || std::ranges::any_of(failure.puts, conflicts);
  touched.puts.insert(success.puts.begin(), success.puts.end());
  touched.puts.insert(failure.puts.begin(), failure.puts.end());
  touched.deleted.add(success.deleted);
  touched.deleted.add(failure.deleted);
}

// The deletions of a list come first, then its nested transactions in order, then its puts: the
// rule is about the whole list, but a nested deletion is not held against an earlier nested put,
// which is what etcd does too.
TouchedKeys touched_keys(const std::vector<RequestOp>& operations) {
  TouchedKeys touched;
  for (const RequestOp& operation : operations) {
    const auto* deletion = std::get_if<DeleteRangeRequest>(&operation.request);
    if (deletion != nullptr) touched.deleted.add(*deletion);
  }
  for (const RequestOp& operation : operations) {
    const auto* nested = std::get_if<TxnRequest>(&operation.request);
    if (nested != nullptr) add_nested(*nested, touched);
    if (touched.duplicate) return touched;
  }
  for (const RequestOp& operation : operations) {
    const auto* put = std::get_if<PutRequest>(&operation.request);
    if (put == nullptr) continue;
    if (touched.deleted.contains(put->key) || !touched.puts.insert(put->key).second) {
      touched.duplicate = true;
      return touched;
    }
  }
  return touched;
}

bool all_ranges(const std::vector<RequestOp>& operations, bool serializable_only) {
  return std::ranges::all_of(operations, [serializable_only](const RequestOp& operation) {
    const auto* range = std::get_if<RangeRequest>(&operation.request);
    return range != nullptr && (range->serializable || !serializable_only);
  });
}

}  // namespace

std::optional<ApiError> check_range(const RangeRequest& request) {
  if (request.key.empty()) return ApiError::empty_key;
  const bool order_known = request.sort_order >= 0 && request.sort_order <= kSortOrderLast;
  const bool target_known = request.sort_target >= 0 && request.sort_target <= kSortTargetLast;
  if (!order_known || !target_known) return ApiError::invalid_sort_option;
  return std::nullopt;
}

std::optional<ApiError> check_put(const PutRequest& request) {
  if (request.key.empty()) return ApiError::empty_key;
  if (request.ignore_value && !request.value.empty()) return ApiError::value_provided;
  if (request.ignore_lease && request.lease != 0) return ApiError::lease_provided;
  return std::nullopt;
}

std::optional<ApiError> check_delete_range(const DeleteRangeRequest& request) {
  if (request.key.empty()) return ApiError::empty_key;
  return std::nullopt;
}

std::optional<ApiError> check_txn(const TxnRequest& request, size_t operations_max) {
  if (const auto error = check_operations(request, operations_max)) return error;
  if (touched_keys(request.success).duplicate || touched_keys(request.failure).duplicate) {
    return ApiError::duplicate_key;
  }
  return std::nullopt;
}

bool reads_only(const TxnRequest& request) {
  return all_ranges(request.success, false) && all_ranges(request.failure, false);
}

bool serializable(const TxnRequest& request) {
  return all_ranges(request.success, true) && all_ranges(request.failure, true);
}

}  // namespace quorate::front::etcd
