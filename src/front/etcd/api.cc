#include "front/etcd/api.h"

#include <algorithm>
#include <typeinfo>

#include "base/check.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::QueryKind;
using node::RefusedWhy;

namespace {

size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  if (lead >= 0xf0 && lead <= 0xf4) return 4;
  return 0;
}

// Table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF.
bool valid_second(unsigned char lead, unsigned char second) {
  if (lead == 0xe0) return second >= 0xa0 && second <= 0xbf;
  if (lead == 0xed) return second >= 0x80 && second <= 0x9f;
  if (lead == 0xf0) return second >= 0x90 && second <= 0xbf;
  if (lead == 0xf4) return second >= 0x80 && second <= 0x8f;
  return second >= 0x80 && second <= 0xbf;
}

bool valid_utf8(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    const auto lead = static_cast<unsigned char>(text[position]);
    const size_t length = sequence_length(lead);
    if (length == 0 || position + length > text.size()) return false;
    for (size_t offset = 1; offset < length; ++offset) {
      const auto byte = static_cast<unsigned char>(text[position + offset]);
      const bool valid = offset == 1 ? valid_second(lead, byte) : (byte & 0xc0U) == 0x80U;
      if (!valid) return false;
    }
    position += length;
  }
  return true;
}

}  // namespace

std::optional<ApiError> error_of_reply(uint16_t code) {
  if (code == machine::kStateUnavailable) return ApiError::unhealthy;
  switch (static_cast<machine::etcd::Code>(code)) {
    case machine::etcd::Code::ok:
      return std::nullopt;
    case machine::etcd::Code::compacted:
      return ApiError::compacted;
    case machine::etcd::Code::future_revision:
      return ApiError::future_revision;
    case machine::etcd::Code::key_not_found:
      return ApiError::key_not_found;
    case machine::etcd::Code::lease_not_found:
      return ApiError::lease_not_found;
    case machine::etcd::Code::lease_exists:
      return ApiError::lease_exists;
    case machine::etcd::Code::lease_too_long:
      return ApiError::lease_too_long;
    case machine::etcd::Code::no_space:
      return ApiError::no_space;
    case machine::etcd::Code::corrupt:
      return ApiError::corrupt;
    case machine::etcd::Code::user_empty:
      return ApiError::user_empty;
    case machine::etcd::Code::role_empty:
      return ApiError::role_empty;
    case machine::etcd::Code::user_exists:
      return ApiError::user_exists;
    case machine::etcd::Code::user_not_found:
      return ApiError::user_not_found;
    case machine::etcd::Code::role_exists:
      return ApiError::role_exists;
    case machine::etcd::Code::role_not_found:
      return ApiError::role_not_found;
    case machine::etcd::Code::role_not_granted:
      return ApiError::role_not_granted;
    case machine::etcd::Code::permission_not_granted:
      return ApiError::permission_not_granted;
    case machine::etcd::Code::permission_not_given:
      return ApiError::permission_not_given;
    case machine::etcd::Code::invalid_auth_management:
      return ApiError::invalid_auth_management;
    case machine::etcd::Code::root_user_missing:
      return ApiError::root_user_missing;
    case machine::etcd::Code::root_role_missing:
      return ApiError::root_role_missing;
    case machine::etcd::Code::auth_not_enabled:
      return ApiError::auth_not_enabled;
    case machine::etcd::Code::auth_failed:
      return ApiError::auth_failed;
    case machine::etcd::Code::auth_old_revision:
      return ApiError::auth_old_revision;
    case machine::etcd::Code::permission_denied:
      return ApiError::permission_denied;
    case machine::etcd::Code::malformed:
      return ApiError::malformed_request;
  }
  return ApiError::malformed_request;
}

Api::Api(world::Executor& executor, grpc::Server& server, node::Service& service,
         EtcdOptions options)
    : executor_(executor),
      server_(server),
      service_(service),
      options_(std::move(options)),
      header_(service.status().cluster_id, service.status().self.value),
      tether_(*this),
      callers_(executor, server, options_.auth) {}

bool Api::admit(CallId call, Learners learners) {
  const grpc::Call* found = server_.find(call);
  if (found == nullptr) return false;
  if (!found->metadata.version.empty() && !valid_utf8(found->metadata.version)) {
    refuse(call, ApiError::invalid_client_version);
    return false;
  }
  if (learners == Learners::refused && service_.is_learner()) {
    refuse(call, ApiError::not_for_learner);
    return false;
  }
  if (found->metadata.needs_leader && !service_.leader()) {
    refuse(call, ApiError::no_leader);
    return false;
  }
  return true;
}

Time Api::deadline(CallId call) const {
  const Time own = executor_.now() + options_.request_timeout;
  const grpc::Call* found = server_.find(call);
  return found == nullptr ? own : std::min(own, found->deadline);
}

void Api::propose(CallId call, CommandKind kind, std::string_view request) {
  // The envelope adds a few bytes; what does not fit without it is not even copied.
  if (request.size() > options_.request_bytes_max) {
    refuse(call, ApiError::request_too_large);
    return;
  }
  auto made = command_of(call, kind, request);
  if (!made) return refuse(call, made.error());
  Bytes command = std::move(*made);
  if (command.size() > options_.request_bytes_max) {
    refuse(call, ApiError::request_too_large);
    return;
  }
  server_.release_message(call);
  server_.set_tag(call, service_.round());
  service_.propose(std::move(command), deadline(call),
                   [tether = tether_, call](node::Outcome outcome) {
                     if (Api* api = tether.get(); api != nullptr) {
                       api->finish_proposal(call, std::move(outcome));
                     }
                   });
}

void Api::finish_proposal(CallId call, node::Outcome outcome) {
  if (const auto* applied = std::get_if<node::Applied>(&outcome)) {
    answer_reply(call, applied->reply);
  } else if (const auto* refused = std::get_if<node::RefusedOutcome>(&outcome)) {
    refuse(call, refusal(call, refused->why));
  } else {
    refuse(call, timed_out(call));
  }
}

void Api::read(CallId call, QueryKind kind, bool local) {
  if (local) {
    run_query(call, kind);
    return;
  }
  server_.set_tag(call, service_.round());
  const Time until = deadline(call);
  // The kind is part of the closure's type, which keeps the closure small.
  if (kind == QueryKind::range) {
    ranges_.push_back(call);
    service_.read_barrier(until, [tether = tether_, call](std::optional<RefusedWhy> why) {
      if (Api* api = tether.get()) api->finish_barrier(call, QueryKind::range, why);
    });
  } else {
    CHECK(kind == QueryKind::txn, "clients query ranges and transactions");
    service_.read_barrier(until, [tether = tether_, call](std::optional<RefusedWhy> why) {
      if (Api* api = tether.get()) api->finish_barrier(call, QueryKind::txn, why);
    });
  }
}

// What one barrier has let through is answered one after the other. A key lies anywhere in memory,
// so it is asked for a few answers ahead.
void Api::expect_ranges() {
  // Besides the one whose turn it is.
  constexpr size_t kAhead = machine::StateMachine::kExpectedMax - 1;
  if (ranges_.empty()) return;
  ranges_.pop_front();
  if (ranges_expected_ > 0) --ranges_expected_;
  const machine::etcd::EtcdMachine* machine = this->machine();
  if (machine == nullptr) return;
  for (; ranges_expected_ < std::min(ranges_.size(), kAhead); ++ranges_expected_) {
    machine->expect_range(server_.message(ranges_[ranges_expected_]));
  }
}

void Api::finish_barrier(CallId call, QueryKind kind, std::optional<RefusedWhy> why) {
  if (kind == QueryKind::range) expect_ranges();
  if (why) {
    refuse(call, refusal(call, *why));
  } else if (!server_.must_wait(call, kind == QueryKind::range ? range_waiter_ : txn_waiter_)) {
    run_query(call, kind);
  }
}

void Api::run_query(CallId call, QueryKind kind) {
  if (!server_.alive(call)) return;  // nobody to work for
  if (const auto error = denied_query(call, kind)) return refuse(call, *error);
  machine::Reply reply;
  service_.query(machine::etcd::make_query(kind, server_.message(call)), reply);
  answer_reply(call, reply);
}

void Api::answer_reply(CallId call, const machine::Reply& reply) {
  if (const auto error = error_of_reply(reply.code)) {
    refuse(call, *error);
  } else {
    answer(call, reply.revision, reply.body);
  }
}

void Api::answer(CallId call, int64_t revision, const Bytes& body) {
  scratch_.clear();
  header_.write(revision, service_.round(), scratch_);
  server_.answer(call, scratch_, body);
}

std::optional<ApiError> Api::failure(CallId call, const node::Outcome& outcome) const {
  if (const auto* applied = std::get_if<node::Applied>(&outcome)) {
    return error_of_reply(applied->reply.code);
  }
  if (const auto* refused = std::get_if<node::RefusedOutcome>(&outcome)) {
    return refusal(call, refused->why);
  }
  return timed_out(call);
}

ApiError Api::timed_out(CallId call) const {
  const grpc::Call* found = server_.find(call);
  if (found == nullptr) return ApiError::timed_out;
  if (executor_.now() >= found->deadline) return ApiError::deadline_exceeded;
  const bool leader_failed = !service_.leader() || found->tag != service_.round();
  return leader_failed ? ApiError::timed_out_leader_failed : ApiError::timed_out;
}

ApiError Api::refusal(CallId call, RefusedWhy why) const {
  const grpc::Call* found = server_.find(call);
  const bool expired = found != nullptr && executor_.now() >= found->deadline;
  switch (why) {
    case RefusedWhy::no_leader:
      return expired ? ApiError::deadline_exceeded : ApiError::no_leader;
    case RefusedWhy::leader_changed:
      return expired ? ApiError::deadline_exceeded : ApiError::leader_changed;
    case RefusedWhy::too_many_requests:
      return ApiError::too_many_requests;
    case RefusedWhy::too_large:
      return ApiError::request_too_large;
    case RefusedWhy::stopping:
      return ApiError::stopped;
    case RefusedWhy::timed_out:
      return timed_out(call);
    case RefusedWhy::member_exists:
      return ApiError::member_exists;
    case RefusedWhy::urls_exist:
      return ApiError::peer_urls_exist;
    case RefusedWhy::member_not_found:
      return ApiError::member_not_found;
    case RefusedWhy::not_learner:
      return ApiError::not_learner;
    case RefusedWhy::too_many_learners:
      return ApiError::too_many_learners;
    case RefusedWhy::learner_not_ready:
      return ApiError::learner_not_ready;
    case RefusedWhy::no_voter_left:
      return ApiError::not_enough_started;
  }
  CHECK(false, "every refusal has a reason");
}

const machine::etcd::EtcdMachine* Api::machine() const {
  // A look at the type that was seen last is all it costs for each call.
  const machine::StateMachine& now = service_.machine();
  if (&typeid(now) == known_type_) return static_cast<const machine::etcd::EtcdMachine*>(&now);
  const auto* found = dynamic_cast<const machine::etcd::EtcdMachine*>(&now);
  if (found != nullptr) known_type_ = &typeid(now);
  return found;
}

int64_t Api::revision() const {
  const auto* etcd_machine = machine();
  return etcd_machine == nullptr ? 0 : etcd_machine->revisions().current;
}

std::string Api::version_minor() const {
  return options_.version.substr(0, options_.version.rfind('.')) + ".0";
}

}  // namespace quorate::front::etcd
