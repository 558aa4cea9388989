// front/etcd/request_checks.h: what etcd refuses before a request reaches the log.
//
// Pure functions of the request. The order of the checks is etcd's, because a request with two
// faults must name the same one.
#pragma once

#include <cstddef>
#include <optional>

#include "front/etcd/errors.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

std::optional<ApiError> check_range(const machine::etcd::RangeRequest& request);
std::optional<ApiError> check_put(const machine::etcd::PutRequest& request);
std::optional<ApiError> check_delete_range(const machine::etcd::DeleteRangeRequest& request);
// Sizes and every operation, then the duplicate keys.
std::optional<ApiError> check_txn(const machine::etcd::TxnRequest& request, size_t operations_max);

// A transaction of plain ranges changes nothing and stays out of the log. A nested one is always
// taken for a write, as etcd does.
bool reads_only(const machine::etcd::TxnRequest& request);
// Only for one that reads only: none of its ranges asks for linearizability.
bool serializable(const machine::etcd::TxnRequest& request);

}  // namespace quorate::front::etcd
