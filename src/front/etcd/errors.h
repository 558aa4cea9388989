// front/etcd/errors.h: every error the etcd API can answer with, in its exact words.
//
// Clients match on the text as well as on the code, so both are part of the contract. No other
// file of this room spells such a text.
#pragma once

#include <string>
#include <string_view>

#include "front/grpc/status.h"

namespace quorate::front::etcd {

enum class ApiError : uint8_t {
  empty_key,
  key_not_found,
  value_provided,
  lease_provided,
  too_many_operations,
  duplicate_key,
  invalid_client_version,
  invalid_sort_option,
  range_stream_sorted,
  range_stream_filtered,
  request_too_large,
  compacted,
  future_revision,
  no_space,
  too_many_requests,
  lease_not_found,
  lease_exists,
  lease_too_long,
  user_empty,
  role_empty,
  user_exists,
  user_not_found,
  role_exists,
  role_not_found,
  role_not_granted,
  permission_not_granted,
  permission_not_given,
  invalid_auth_management,
  root_user_missing,
  root_role_missing,
  auth_not_enabled,
  auth_failed,
  auth_old_revision,
  permission_denied,
  invalid_auth_token,
  password_for_none,
  bad_password,
  cannot_sign,
  no_leader,
  leader_changed,
  stopped,
  timed_out,
  timed_out_leader_failed,
  deadline_exceeded,
  malformed_request,
  unknown_health_service,
  bad_member_urls,
  member_exists,
  peer_urls_exist,
  member_not_found,
  not_enough_started,
  not_learner,
  learner_not_ready,
  too_many_learners,
  unhealthy,
  not_leader,
  bad_transferee,
  transfer_timed_out,
  not_for_learner,
  watch_unread,
  corrupt,
  election_session_expired,
  election_no_leader,
  election_not_leader,
  election_leader_missing,
  lock_session_expired  // the last one: errors.cc counts up to it
};

grpc::Status status_of(ApiError error);

// Why a watcher is not made; its client is told in a response, and the stream goes on.
enum class WatchRefusal : uint8_t { empty_range, duplicate_id, compacted, too_many };
std::string_view cancel_reason(WatchRefusal refusal);
// The same for an error of who asks: etcd gives it with its code, as Go prints it.
std::string cancel_reason(ApiError error);

}  // namespace quorate::front::etcd
