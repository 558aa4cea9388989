#include "front/etcd/errors.h"

#include "base/check.h"

namespace quorate::front::etcd {

using grpc::Code;

grpc::Status status_of(ApiError error) {
  switch (error) {
    case ApiError::empty_key:
      return {Code::invalid_argument, "etcdserver: key is not provided"};
    case ApiError::key_not_found:
      return {Code::invalid_argument, "etcdserver: key not found"};
    case ApiError::value_provided:
      return {Code::invalid_argument, "etcdserver: value is provided"};
    case ApiError::lease_provided:
      return {Code::invalid_argument, "etcdserver: lease is provided"};
    case ApiError::too_many_operations:
      return {Code::invalid_argument, "etcdserver: too many operations in txn request"};
    case ApiError::duplicate_key:
      return {Code::invalid_argument, "etcdserver: duplicate key given in txn request"};
    case ApiError::invalid_client_version:
      return {Code::invalid_argument, "etcdserver: invalid client api version"};
    case ApiError::invalid_sort_option:
      return {Code::invalid_argument, "etcdserver: invalid sort option"};
    case ApiError::request_too_large:
      return {Code::invalid_argument, "etcdserver: request is too large"};
    case ApiError::compacted:
      return {Code::out_of_range, "etcdserver: mvcc: required revision has been compacted"};
    case ApiError::future_revision:
      return {Code::out_of_range, "etcdserver: mvcc: required revision is a future revision"};
    case ApiError::no_space:
      return {Code::resource_exhausted, "etcdserver: mvcc: database space exceeded"};
    case ApiError::too_many_requests:
      // On etcd's wire this is Unknown, since its table holds the client's form of the error.
      return {Code::unknown, "etcdserver: too many requests"};
    case ApiError::lease_not_found:
      return {Code::not_found, "etcdserver: requested lease not found"};
    case ApiError::no_leader:
      return {Code::unavailable, "etcdserver: no leader"};
    case ApiError::leader_changed:
      return {Code::unavailable, "etcdserver: leader changed"};
    case ApiError::stopped:
      return {Code::unavailable, "etcdserver: server stopped"};
    case ApiError::timed_out:
      return {Code::unavailable, "etcdserver: request timed out"};
    case ApiError::timed_out_leader_failed:
      return {Code::unavailable,
              "etcdserver: request timed out, possibly due to previous leader failure"};
    case ApiError::deadline_exceeded:
      return {Code::deadline_exceeded, "context deadline exceeded"};
    case ApiError::malformed_request:
      return {Code::internal, "grpc: error unmarshalling request: the message is malformed"};
    case ApiError::unknown_health_service:
      return {Code::not_found, "unknown service"};
  }
  CHECK(false, "every error has a status");
}

}  // namespace quorate::front::etcd
