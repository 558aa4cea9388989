#include "front/etcd/errors.h"

#include "base/check.h"

namespace quorate::front::etcd {

using grpc::Code;

namespace {

struct ErrorText {
  ApiError error;
  Code code;
  const char* text;
};
constexpr ErrorText kErrors[] = {
    {ApiError::empty_key, Code::invalid_argument, "etcdserver: key is not provided"},
    {ApiError::too_many_operations, Code::invalid_argument,
     "etcdserver: too many operations in txn request"},
    {ApiError::duplicate_key, Code::invalid_argument,
     "etcdserver: duplicate key given in txn request"},
    {ApiError::request_too_large, Code::invalid_argument, "etcdserver: request is too large"},
    {ApiError::compacted, Code::out_of_range,
     "etcdserver: mvcc: required revision has been compacted"},
    {ApiError::future_revision, Code::out_of_range,
     "etcdserver: mvcc: required revision is a future revision"},
    {ApiError::no_space, Code::resource_exhausted, "etcdserver: mvcc: database space exceeded"},
    // On etcd's wire this is Unknown, since its table holds the client's form of the error.
    {ApiError::too_many_requests, Code::unknown, "etcdserver: too many requests"},
    {ApiError::lease_not_found, Code::not_found, "etcdserver: requested lease not found"},
    {ApiError::no_leader, Code::unavailable, "etcdserver: no leader"},
    {ApiError::leader_changed, Code::unavailable, "etcdserver: leader changed"},
    {ApiError::timed_out, Code::unavailable, "etcdserver: request timed out"},
    {ApiError::timed_out_leader_failed, Code::unavailable,
     "etcdserver: request timed out, possibly due to previous leader failure"},
    {ApiError::deadline_exceeded, Code::deadline_exceeded, "context deadline exceeded"},
    {ApiError::malformed_request, Code::internal,
     "grpc: error unmarshalling request: the message is malformed"},
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
    {ApiError::corrupt, Code::data_loss, "etcdserver: corrupt cluster"},
    {ApiError::watch_unread, Code::resource_exhausted,
     "this watch stream asks on while its answers are not read; read them, and open another one"},
    {ApiError::lease_exists, Code::failed_precondition, "etcdserver: lease already exists"},
    {ApiError::lease_too_long, Code::out_of_range, "etcdserver: too large lease TTL"},
    {ApiError::user_empty, Code::invalid_argument, "etcdserver: user name is empty"},
    {ApiError::role_empty, Code::invalid_argument, "etcdserver: role name is empty"},
    {ApiError::user_exists, Code::failed_precondition, "etcdserver: user name already exists"},
    {ApiError::user_not_found, Code::failed_precondition, "etcdserver: user name not found"},
    {ApiError::role_exists, Code::failed_precondition, "etcdserver: role name already exists"},
    {ApiError::role_not_found, Code::failed_precondition, "etcdserver: role name not found"},
    {ApiError::role_not_granted, Code::failed_precondition,
     "etcdserver: role is not granted to the user"},
    {ApiError::permission_not_granted, Code::failed_precondition,
     "etcdserver: permission is not granted to the role"},
    {ApiError::permission_not_given, Code::invalid_argument, "etcdserver: permission not given"},
    {ApiError::invalid_auth_management, Code::invalid_argument,
     "etcdserver: invalid auth management"},
    {ApiError::root_user_missing, Code::failed_precondition,
     "etcdserver: root user does not exist"},
    {ApiError::root_role_missing, Code::failed_precondition,
     "etcdserver: root user does not have root role"},
    {ApiError::auth_not_enabled, Code::failed_precondition,
     "etcdserver: authentication is not enabled"},
    {ApiError::auth_failed, Code::invalid_argument,
     "etcdserver: authentication failed, invalid user ID or password"},
    {ApiError::auth_old_revision, Code::invalid_argument,
     "etcdserver: revision of auth store is old"},
    {ApiError::permission_denied, Code::permission_denied, "etcdserver: permission denied"},
    {ApiError::invalid_auth_token, Code::unauthenticated, "etcdserver: invalid auth token"},
    {ApiError::password_for_none, Code::unknown,
     "auth: authentication failed, password was given for no password user"},
    {ApiError::bad_password, Code::invalid_argument,
     "a password has at most 72 bytes and none of them is zero; choose another one"},
    {ApiError::cannot_sign, Code::unknown, "auth: token signing attempted with verify-only key"},
    {ApiError::unknown_health_service, Code::not_found, "unknown service"},
    {ApiError::key_not_found, Code::invalid_argument, "etcdserver: key not found"},
    {ApiError::value_provided, Code::invalid_argument, "etcdserver: value is provided"},
    {ApiError::lease_provided, Code::invalid_argument, "etcdserver: lease is provided"},
    {ApiError::invalid_client_version, Code::invalid_argument,
     "etcdserver: invalid client api version"},
    {ApiError::invalid_sort_option, Code::invalid_argument, "etcdserver: invalid sort option"},
    {ApiError::range_stream_sorted, Code::unimplemented,
     "RangeStream does not support custom sort orders"},
    {ApiError::range_stream_filtered, Code::unimplemented,
     "RangeStream does not support revision filters"},
    {ApiError::stopped, Code::unavailable, "etcdserver: server stopped"},
    {ApiError::election_session_expired, Code::unknown, "election: session is expired"},
    {ApiError::election_no_leader, Code::unknown, "election: no leader"},
    {ApiError::election_not_leader, Code::unknown, "election: not leader"},
    {ApiError::election_leader_missing, Code::unknown, "\"leader\" field must be provided"},
    {ApiError::lock_session_expired, Code::unknown, "mutex: session is expired"},
};

constexpr const ErrorText* find(ApiError error) {
  for (const ErrorText& each : kErrors) {
    if (each.error == error) return &each;
  }
  return nullptr;
}

constexpr bool every_error_has_a_text() {
  for (uint8_t number = 0; number <= static_cast<uint8_t>(ApiError::lock_session_expired);
       ++number) {
    if (find(ApiError{number}) == nullptr) return false;
  }
  return true;
}
static_assert(every_error_has_a_text());

}  // namespace

grpc::Status status_of(ApiError error) {
  const ErrorText* found = find(error);
  CHECK(found != nullptr, "every error has a status");
  return {found->code, found->text};
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

std::string cancel_reason(ApiError error) {
  const grpc::Status status = status_of(error);
  return "rpc error: code = " + std::string(grpc::code_name(status.code)) +
         " desc = " + status.text;
}

}  // namespace quorate::front::etcd
