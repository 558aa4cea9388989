#include "front/etcd/lock_service.h"

#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;

namespace {

constexpr std::string_view kService = "v3lockpb.Lock";

}  // namespace

LockService::LockService(Api& api, WaitingLine& line) : api_(api), line_(line) {
  api_.server().add_stream(kService, "Lock", *this);
  api_.server().add_unary(kService, "Unlock", [this](CallId call, std::string_view message) {
    if (api_.admit(call)) on_unlock(call, message);
  });
}

void LockService::on_message(CallId call, std::string_view message) {
  const auto name = read_field(message, 1);
  const auto lease = read_field(message, 2);
  if (!name || !lease) return api_.refuse(call, ApiError::malformed_request);
  LineRequest request;
  request.name = name->text;
  request.lease = static_cast<int64_t>(lease->number);
  line_.join(call, std::move(request), [this](CallId holder, const LinePlace& place) {
    std::string body;
    write_text(2, place.key, body);
    api_.answer(holder, place.revision, Bytes(body));
  });
}

void LockService::on_half_close(CallId call) {
  if (!line_.has(call)) api_.refuse(call, ApiError::malformed_request);  // it said nothing
}

void LockService::on_unlock(CallId call, std::string_view message) {
  const auto key = read_field(message, 1);
  if (!key) return api_.refuse(call, ApiError::malformed_request);
  if (key->text.empty()) return api_.refuse(call, ApiError::empty_key);
  machine::etcd::DeleteRangeRequest request;
  request.key = key->text;
  std::string wire;
  encode(request, wire);
  auto command = api_.command_of(call, CommandKind::delete_range, wire);
  if (!command) return api_.refuse(call, command.error());
  api_.server().set_tag(call, api_.service().round());
  api_.service().propose(std::move(*command), api_.deadline(call),
                         [this, tether = api_.tether(), call](const node::Outcome& outcome) {
                           if (tether.get() == nullptr) return;
                           if (const auto error = api_.failure(call, outcome)) {
                             return api_.refuse(call, *error);
                           }
                           const auto& reply = std::get<node::Applied>(outcome).reply;
                           api_.answer(call, reply.revision, Bytes());
                         });
}

}  // namespace quorate::front::etcd
