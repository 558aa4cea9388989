#include "front/etcd/errors.h"

#include "base/check.h"

namespace quorate::front::etcd {

using grpc::Code;

namespace {

struct RarerError {
  ApiError error;
  Code code;
  const char* text;
};
constexpr RarerError kRarerErrors[] = {
    {ApiError::bad_member_urls, Code::invalid_argument,
     "etcdserver: given member URLs are invalid"},
    {ApiError::member_exists, Code::failed_precondition, "etcdserver: member ID already exist"},
    {ApiError::peer_urls_exist, Code::failed_precondition, "etcdserver: Peer URLs already exists"},
    {ApiError::member_not_found, Code::not_found, "etcdserver: member not found"},
    // As with too_many_requests: etcd's table holds the client's form of this error.
    {ApiError::not_enough_started, Code::unknown,
     "etcdserver: re-configuration failed due to not enough started members"},
    {ApiError::not_learner, Code::failed_precondition,
     "etcdserver: can only promote a learner member"},
    {ApiError::learner_not_ready, Code::failed_precondition,
     "etcdserver: can only promote a learner member which is in sync with leader"},
    {ApiError::too_many_learners, Code::failed_precondition,
     "etcdserver: too many learner members in cluster"},
    {ApiError::unhealthy, Code::unavailable, "etcdserver: unhealthy cluster"},
    {ApiError::not_leader, Code::failed_precondition, "etcdserver: not leader"},
    {ApiError::bad_transferee, Code::failed_precondition, "etcdserver: bad leader transferee"},
    {ApiError::transfer_timed_out, Code::unknown,
     "etcdserver: request timed out, leader transfer took too long"},
    {ApiError::not_for_learner, Code::failed_precondition,
     "etcdserver: rpc not supported for learner"},
    {ApiError::watch_unread, Code::resource_exhausted,
     "this watch stream asks on while its answers are not read; read them, and open another one"},
    {ApiError::lease_exists, Code::failed_precondition, "etcdserver: lease already exists"},
    {ApiError::lease_too_long, Code::out_of_range, "etcdserver: too large lease TTL"},
    {ApiError::unknown_health_service, Code::not_found, "unknown service"},
    {ApiError::key_not_found, Code::invalid_argument, "etcdserver: key not found"},
    {ApiError::value_provided, Code::invalid_argument, "etcdserver: value is provided"},
    {ApiError::lease_provided, Code::invalid_argument, "etcdserver: lease is provided"},
    {ApiError::invalid_client_version, Code::invalid_argument,
     "etcdserver: invalid client api version"},
    {ApiError::invalid_sort_option, Code::invalid_argument, "etcdserver: invalid sort option"},
    {ApiError::stopped, Code::unavailable, "etcdserver: server stopped"},
    {ApiError::lock_session_expired, Code::unknown, "mutex: session is expired"},
    {ApiError::election_session_expired, Code::unknown, "election: session is expired"},
    {ApiError::missing_leader, Code::invalid_argument, "\"leader\" field must be provided"},
    {ApiError::election_no_leader, Code::unknown, "election: no leader"},
    {ApiError::election_not_leader, Code::unknown, "election: not leader"},
};

grpc::Status rarer_status(ApiError error) {
  for (const RarerError& each : kRarerErrors) {
    if (each.error == error) return {each.code, each.text};
  }
  CHECK(false, "every error has a status");
}

}  // namespace

grpc::Status status_of(ApiError error) {
  switch (error) {
    case ApiError::empty_key:
      return {Code::invalid_argument, "etcdserver: key is not provided"};
    case ApiError::too_many_operations:
      return {Code::invalid_argument, "etcdserver: too many operations in txn request"};
    case ApiError::duplicate_key:
      return {Code::invalid_argument, "etcdserver: duplicate key given in txn request"};
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
    case ApiError::timed_out:
      return {Code::unavailable, "etcdserver: request timed out"};
    case ApiError::timed_out_leader_failed:
      return {Code::unavailable,
              "etcdserver: request timed out, possibly due to previous leader failure"};
    case ApiError::deadline_exceeded:
      return {Code::deadline_exceeded, "context deadline exceeded"};
    case ApiError::malformed_request:
      return {Code::internal, "grpc: error unmarshalling request: the message is malformed"};
    case ApiError::bad_member_urls:
    case ApiError::member_exists:
    case ApiError::peer_urls_exist:
    case ApiError::member_not_found:
    case ApiError::not_enough_started:
    case ApiError::not_learner:
    case ApiError::learner_not_ready:
    case ApiError::too_many_learners:
    case ApiError::unhealthy:
    case ApiError::not_leader:
    case ApiError::bad_transferee:
    case ApiError::transfer_timed_out:
    case ApiError::not_for_learner:
    case ApiError::lease_exists:
    case ApiError::lease_too_long:
    case ApiError::unknown_health_service:
    case ApiError::key_not_found:
    case ApiError::value_provided:
    case ApiError::lease_provided:
    case ApiError::invalid_client_version:
    case ApiError::invalid_sort_option:
    case ApiError::stopped:
    case ApiError::watch_unread:
    case ApiError::lock_session_expired:
    case ApiError::election_session_expired:
    case ApiError::missing_leader:
    case ApiError::election_no_leader:
    case ApiError::election_not_leader:
      return rarer_status(error);
  }
  CHECK(false, "every error has a status");
}

std::string_view cancel_reason(WatchRefusal refusal) {
  switch (refusal) {
    case WatchRefusal::empty_range:
      return "mvcc: watcher range is empty";
    case WatchRefusal::duplicate_id:
      return "mvcc: duplicate watch ID provided on the WatchStream";
    case WatchRefusal::compacted:
      return "etcdserver: mvcc: required revision has been compacted";
    case WatchRefusal::too_many:
      return "this stream has as many watchers as one may have; cancel some, or open another "
             "stream";
  }
  CHECK(false, "every refusal has a reason");
}

}  // namespace quorate::front::etcd
