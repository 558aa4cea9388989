#include "front/etcd/lease_service.h"

#include <algorithm>

#include "machine/etcd/lease_messages.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::QueryKind;
using node::LeaseLife;
using node::LeaseOutcome;
using node::LeaseWish;

namespace {

constexpr std::string_view kService = "etcdserverpb.Lease";
// Answers that a client has not taken; whoever renews without reading gains nothing by it.
constexpr size_t kUnsentBytesMax = size_t{1} << 20U;
// Renewals of one stream without an answer: etcd's clients send one for each lease they hold.
constexpr size_t kUnansweredMax = 16384;

}  // namespace

LeaseService::LeaseService(Api& api, Quota& quota)
    : api_(api), quota_(quota), id_prefix_(api.service().status().self.value << 48U) {
  using Handler = void (LeaseService::*)(CallId, std::string_view);
  const auto add = [this](std::string_view name, Handler handler) {
    api_.server().add_unary(kService, name, [this, handler](CallId call, std::string_view message) {
      if (api_.admit(call)) (this->*handler)(call, message);
    });
  };
  add("LeaseGrant", &LeaseService::on_grant);
  add("LeaseRevoke", &LeaseService::on_revoke);
  add("LeaseTimeToLive", &LeaseService::on_time_to_live);
  api_.server().add_unary(kService, "LeaseLeases", [this](CallId call, std::string_view) {
    if (api_.admit(call) && api_.permit(call, Api::Rights::user)) on_leases(call);
  });
  api_.server().add_stream(kService, "LeaseKeepAlive", *this);
}

// The member, the time it is, and a count: no two members choose the same, and none does so again
// after a restart, unless it grants more than a quarter of a million leases a second for long.
int64_t LeaseService::choose_id() {
  const auto milliseconds = static_cast<uint64_t>(api_.executor().wall_nanoseconds() / 1'000'000);
  const uint64_t now = (milliseconds & ((uint64_t{1} << 40U) - 1)) << 8U;
  last_id_ = std::max(now, last_id_ + 1);
  const uint64_t id = id_prefix_ | (last_id_ & ((uint64_t{1} << 48U) - 1));
  return std::max<int64_t>(static_cast<int64_t>(id & static_cast<uint64_t>(INT64_MAX)), 1);
}

void LeaseService::on_grant(CallId call, std::string_view message) {
  auto request = machine::etcd::decode_lease_grant_request(message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (request->id == 0) request->id = choose_id();
  request->ttl = std::max(request->ttl, api_.options().lease_seconds_min);
  std::string wire;
  encode(*request, wire);
  if (quota_.admit(call, kLeaseCost)) api_.propose(call, CommandKind::lease_grant, wire);
}

void LeaseService::on_revoke(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_lease_revoke_request(message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  std::string wire;
  encode(machine::etcd::LeaseRevokeRequest{request->id, 0}, wire);
  api_.propose(call, CommandKind::lease_revoke, wire);
}

void LeaseService::on_time_to_live(CallId call, std::string_view message) {
  const auto request = machine::etcd::decode_lease_time_to_live_request(message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (!api_.permit(call, Api::Rights::user)) return;
  api_.service().ask_lease(LeaseWish::look, request->id, api_.deadline(call),
                           [this, tether = api_.tether(), call](const LeaseOutcome& outcome) {
                             Api* api = tether.get();
                             if (api == nullptr || !api->server().alive(call)) return;
                             if (const auto* life = std::get_if<LeaseLife>(&outcome)) {
                               return answer_time_to_live(call, *life);
                             }
                             const auto why = std::get<node::RefusedOutcome>(outcome).why;
                             api->refuse(call, api->refusal(call, why));
                           });
}

void LeaseService::answer_time_to_live(CallId call, const LeaseLife& life) {
  const auto request =
      machine::etcd::decode_lease_time_to_live_request(api_.server().message(call));
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  machine::Reply keys;
  if (request->keys && life.found) {
    if (const auto error = api_.denied_lease(call, request->id, machine::etcd::Access::read)) {
      return api_.refuse(call, *error);
    }
    std::string wire;
    encode(*request, wire);
    api_.service().query(machine::etcd::make_query(QueryKind::lease_keys, wire), keys);
  }
  std::string head;
  api_.header().write(api_.revision(), api_.service().round(), head);
  write_number(2, static_cast<uint64_t>(request->id), head);
  write_number(3, static_cast<uint64_t>(life.found ? life.left_seconds : -1), head);
  write_number(4, static_cast<uint64_t>(life.granted_seconds), head);
  api_.server().answer(call, head, keys.body);
}

// What this member has applied, without asking anybody: as etcd does it.
void LeaseService::on_leases(CallId call) {
  machine::Reply reply;
  api_.service().query(machine::etcd::make_query(QueryKind::leases, {}), reply);
  if (reply.code == machine::kStateUnavailable) return api_.refuse(call, ApiError::unhealthy);
  api_.answer(call, reply.revision, reply.body);
}

// ---- The stream of renewals.

void LeaseService::on_message(CallId call, std::string_view message) {
  Stream& stream = streams_[key_of(call)];
  if (!api_.admit(call)) return;
  const auto request = machine::etcd::decode_lease_keep_alive_request(message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  if (stream.unanswered >= kUnansweredMax || api_.server().unsent_bytes(call) > kUnsentBytesMax) {
    return api_.refuse(call, ApiError::too_many_requests);
  }
  if (const auto error = api_.denied_lease(call, request->id, machine::etcd::Access::write)) {
    return api_.refuse(call, *error);
  }
  ++stream.unanswered;
  // From before the renewal: whoever compares revisions must not find the lease alive at one that
  // may be later.
  const int64_t revision = api_.revision();
  const Time until = api_.deadline(call);
  api_.service().ask_lease(LeaseWish::renew, request->id, until,
                           [this, tether = api_.tether(), call, lease = request->id,
                            revision](const LeaseOutcome& outcome) {
                             if (tether.get() != nullptr)
                               on_renewed(call, lease, revision, outcome);
                           });
}

void LeaseService::on_renewed(CallId call, int64_t lease, int64_t revision,
                              const LeaseOutcome& outcome) {
  const auto place = streams_.find(key_of(call));
  if (place == streams_.end() || !api_.server().alive(call)) return;
  --place->second.unanswered;
  const auto* life = std::get_if<LeaseLife>(&outcome);
  if (life == nullptr) {
    const auto why = std::get<node::RefusedOutcome>(outcome).why;
    return api_.refuse(call, api_.refusal(call, why));
  }
  std::string head;
  api_.header().write(revision, api_.service().round(), head);
  write_number(2, static_cast<uint64_t>(lease), head);
  write_number(3, static_cast<uint64_t>(life->found ? life->granted_seconds : 0), head);
  api_.server().send(call, head, Bytes());
  if (life->found) ++api_.counts().leases_renewed;
  const bool over = place->second.half_closed && place->second.unanswered == 0;
  if (over) api_.server().finish(call, {});
}

void LeaseService::on_half_close(CallId call) {
  Stream& stream = streams_[key_of(call)];
  stream.half_closed = true;
  if (stream.unanswered == 0) api_.server().finish(call, {});
}

void LeaseService::on_closed(CallId call) { streams_.erase(key_of(call)); }

}  // namespace quorate::front::etcd
