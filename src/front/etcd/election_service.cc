#include "front/etcd/election_service.h"

#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::Compare;

namespace {

constexpr std::string_view kService = "v3electionpb.Election";

std::string leader_key(std::string_view name, const LinePlace& place) {
  std::string leader;
  write_text(1, name, leader);
  write_text(2, place.key, leader);
  write_number(3, static_cast<uint64_t>(place.created), leader);
  write_number(4, static_cast<uint64_t>(place.lease), leader);
  return leader;
}

}  // namespace

ElectionService::ElectionService(Api& api, WaitingLine& line)
    : api_(api), line_(line), observers_(api) {
  using Handler = void (ElectionService::*)(CallId, std::string_view);
  const auto add = [this](std::string_view name, Handler handler) {
    api_.server().add_unary(kService, name, [this, handler](CallId call, std::string_view message) {
      if (api_.admit(call)) (this->*handler)(call, message);
    });
  };
  api_.server().add_stream(kService, "Campaign", *this);
  add("Proclaim", &ElectionService::on_proclaim);
  add("Leader", &ElectionService::on_leader);
  api_.server().add_stream(kService, "Observe", observers_);
  add("Resign", &ElectionService::on_resign);
}

void ElectionService::on_message(CallId call, std::string_view message) {
  const auto name = read_field(message, 1);
  const auto lease = read_field(message, 2);
  const auto value = read_field(message, 3);
  if (!name || !lease || !value) return api_.refuse(call, ApiError::malformed_request);
  LineRequest request;
  request.name = name->text;
  request.lease = static_cast<int64_t>(lease->number);
  request.value = value->text;
  request.campaign = true;
  line_.join(call, std::move(request), [this](CallId winner, const LinePlace& place) {
    const std::string_view key = place.key;
    std::string body;
    write_element(2, leader_key(key.substr(0, key.rfind('/')), place), body);
    api_.answer(winner, place.revision, Bytes(body));
  });
}

void ElectionService::on_half_close(CallId call) {
  if (!line_.has(call)) api_.refuse(call, ApiError::malformed_request);  // it said nothing
}

// nullopt: refused.
std::optional<ElectionService::Office> ElectionService::read_office(CallId call,
                                                                    std::string_view message) {
  bool given = false;
  Office office;
  uint32_t number = 0;
  FieldValue field;
  while (!message.empty()) {
    if (!next_field(message, number, field)) {
      api_.refuse(call, ApiError::malformed_request);
      return std::nullopt;
    }
    if (number != 1) continue;
    given = true;
    const auto key = read_field(field.text, 2);
    const auto revision = read_field(field.text, 3);
    const auto lease = read_field(field.text, 4);
    if (!key || !revision || !lease) {
      api_.refuse(call, ApiError::malformed_request);
      return std::nullopt;
    }
    office = {key->text, static_cast<int64_t>(revision->number),
              static_cast<int64_t>(lease->number)};
  }
  if (given && !office.key.empty()) return office;
  api_.refuse(call, given ? ApiError::empty_key : ApiError::election_leader_missing);
  return std::nullopt;
}

void ElectionService::on_proclaim(CallId call, std::string_view message) {
  const auto office = read_office(call, message);
  if (!office) return;
  const auto value = read_field(message, 2);
  if (!value) return api_.refuse(call, ApiError::malformed_request);
  auto txn = if_created_at(office->key, office->revision);
  machine::etcd::PutRequest put;
  put.key = office->key;
  put.value = value->text;
  put.lease = office->lease;
  put.ignore_lease = office->lease == 0;  // it keeps the one it has
  txn.success.push_back({put});
  std::string wire;
  encode(txn, wire);
  propose(call, wire, Unmet::refused);
}

// Who does not lead any more has nothing to resign from, and what was wanted is so already.
void ElectionService::on_resign(CallId call, std::string_view message) {
  const auto office = read_office(call, message);
  if (!office) return;
  auto txn = if_created_at(office->key, office->revision);
  machine::etcd::DeleteRangeRequest key;
  key.key = office->key;
  txn.success.push_back({key});
  std::string wire;
  encode(txn, wire);
  propose(call, wire, Unmet::answered);
}

void ElectionService::propose(CallId call, std::string_view wire, Unmet unmet) {
  if (wire.size() > api_.options().request_bytes_max) {
    return api_.refuse(call, ApiError::request_too_large);
  }
  auto command = api_.command_of(call, CommandKind::txn, wire);
  if (!command) return api_.refuse(call, command.error());
  api_.server().set_tag(call, api_.service().round());
  api_.service().propose(std::move(*command), api_.deadline(call),
                         [this, tether = api_.tether(), call, unmet](const node::Outcome& outcome) {
                           if (tether.get() == nullptr) return;
                           if (const auto error = api_.failure(call, outcome))
                             return api_.refuse(call, *error);
                           const auto& reply = std::get<node::Applied>(outcome).reply;
                           const std::string body(reply.body.view());
                           const auto response = machine::etcd::decode_txn_response(body);
                           const bool met = response && response->succeeded;
                           if (!met && unmet == Unmet::refused) {
                             return api_.refuse(call, ApiError::election_not_leader);
                           }
                           api_.answer(call, reply.revision, Bytes());
                         });
}

void ElectionService::on_leader(CallId call, std::string_view message) {
  if (!read_field(message, 1)) return api_.refuse(call, ApiError::malformed_request);
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(),
                                                    call](std::optional<node::RefusedWhy> why) {
    if (tether.get() == nullptr || !api_.server().alive(call)) return;
    if (why) return api_.refuse(call, api_.refusal(call, *why));
    answer_leader(call);
  });
}

void ElectionService::answer_leader(CallId call) {
  const auto name = read_field(api_.server().message(call), 1);
  if (!name) return api_.refuse(call, ApiError::malformed_request);
  if (const auto error = denied_line(api_, call, name->text)) return api_.refuse(call, *error);
  const auto front = first_in_line(api_, name->text);
  if (!front) return api_.refuse(call, ApiError::unhealthy);
  if (front->key.empty()) return api_.refuse(call, ApiError::election_no_leader);
  std::string body;
  write_element(2, front->record, body);
  api_.answer(call, front->revision, Bytes(body));
}

}  // namespace quorate::front::etcd
