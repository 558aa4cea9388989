// The part of the Api that asks who calls and what they may.
#include "front/etcd/api.h"
#include "machine/etcd/access_check.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::Access;
using machine::etcd::AuthBook;
using machine::etcd::Caller;
using machine::etcd::Code;
using machine::etcd::CommandKind;
using machine::etcd::QueryKind;

namespace {

std::optional<ApiError> error_of(Code code) { return error_of_reply(static_cast<uint16_t>(code)); }

}  // namespace

const AuthBook* Api::auth() const {
  const auto* found = machine();
  const AuthBook* book = found == nullptr ? nullptr : found->auth();
  return book != nullptr && book->enabled() ? book : nullptr;
}

std::expected<Caller, ApiError> Api::identify(CallId call) {
  const AuthBook* book = auth();
  return book == nullptr ? Caller{} : callers_.identify(call, *book);
}

bool Api::permit(CallId call, Rights rights) {
  const AuthBook* book = auth();
  if (book == nullptr) {
    // Without a state nobody can say whether auth is on.
    if (machine() != nullptr || rights == Rights::user) return true;
    refuse(call, ApiError::unhealthy);
    return false;
  }
  const auto caller = callers_.identify(call, *book);
  if (!caller) {
    refuse(call, caller.error());
    return false;
  }
  const Code code = rights == Rights::root ? book->check_root(*caller) : book->check_user(*caller);
  if (const auto error = error_of(code)) {
    refuse(call, *error);
    return false;
  }
  return true;
}

std::optional<ApiError> Api::denied_range(CallId call, std::string_view key,
                                          std::string_view range_end, Access access) {
  const AuthBook* book = auth();
  if (book == nullptr) return std::nullopt;
  const auto caller = callers_.identify(call, *book);
  if (!caller) return caller.error();
  return error_of(book->check_range(*caller, key, range_end, access));
}

std::optional<ApiError> Api::denied_lease(CallId call, int64_t lease, Access access) {
  const AuthBook* book = auth();
  if (book == nullptr) {
    if (machine() == nullptr) return ApiError::unhealthy;
    return std::nullopt;
  }
  const auto caller = callers_.identify(call, *book);
  if (!caller) return caller.error();
  if (const auto error = error_of(book->check_user(*caller))) return error;
  return error_of(check_lease_keys(*book, *machine()->lease_book(), *caller, lease, access));
}

std::optional<ApiError> Api::denied_query(CallId call, QueryKind kind) {
  const AuthBook* book = auth();
  if (book == nullptr) return std::nullopt;
  const auto caller = callers_.identify(call, *book);
  if (!caller) return caller.error();
  if (kind == QueryKind::range) {
    const auto request = machine::etcd::decode_range_request(server_.message(call));
    if (!request) return ApiError::malformed_request;
    return error_of(check_access(*book, *caller, *request));
  }
  const auto request = machine::etcd::decode_txn_request(server_.message(call));
  if (!request) return ApiError::malformed_request;
  return error_of(check_access(*book, *machine()->lease_book(), *caller, *request));
}

std::expected<Bytes, ApiError> Api::command_of(CallId call, CommandKind kind,
                                               std::string_view request) {
  const AuthBook* book = auth();
  if (book == nullptr) return machine::etcd::make_command(kind, request);
  const auto caller = callers_.identify(call, *book);
  if (!caller) return std::unexpected(caller.error());
  return machine::etcd::make_command(kind, request, *caller);
}

Bytes Api::own_command(CommandKind kind, std::string_view request) const {
  if (auth() == nullptr) return machine::etcd::make_command(kind, request);
  return machine::etcd::make_command(kind, request, Caller{{}, 0, true});
}

bool Api::holds(CallId call) {
  const grpc::Call* found = server_.find(call);
  if (found == nullptr || found->metadata.token.empty()) return false;
  if (!callers_.is_ahead(call, service_.machine().applied())) return false;
  // Whoever has the token was given it after its entry was applied somewhere.
  service_.read_barrier(deadline(call),
                        [tether = tether_, call](std::optional<node::RefusedWhy> why) {
                          Api* api = tether.get();
                          if (api == nullptr) return;
                          if (why) return api->refuse(call, api->refusal(call, *why));
                          api->server_.resume(call);
                        });
  return true;
}

void Api::on_turn_end() {
  if (const AuthBook* book = auth()) {
    callers_.follow(*book);
    auth_was_on_ = true;
  } else if (auth_was_on_) {
    callers_.forget();
    auth_was_on_ = false;
  }
}

}  // namespace quorate::front::etcd
