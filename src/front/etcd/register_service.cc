#include "front/etcd/register_service.h"

#include <algorithm>

#include "node/registers/ask.h"

namespace quorate::front::etcd {
namespace {

constexpr std::string_view kService = "quorate.Registers";
// The answer must leave before the caller stops listening.
constexpr Duration kSpare = std::chrono::milliseconds(100);

std::optional<node::RegisterChange> change_of(std::string_view message) {
  const auto kind = read_field(message, 2);
  const auto value = read_field(message, 3);
  const auto expected = read_field(message, 4);
  const auto unwritten = read_field(message, 5);
  if (!kind || !value || !expected || !unwritten) return std::nullopt;
  switch (kind->number) {
    case 0:
      return node::RegisterGet{};
    case 1:
      return node::RegisterSet{Bytes(value->text)};
    case 2: {
      node::RegisterSwap swap;
      if (unwritten->number == 0) swap.expected = Bytes(expected->text);
      swap.value = Bytes(value->text);
      return swap;
    }
    default:
      return std::nullopt;
  }
}

std::string_view words(node::RegisterWhy why) {
  switch (why) {
    case node::RegisterWhy::none:
      return "too much has happened to the register meanwhile";
    case node::RegisterWhy::too_large:
      return "the name (1 to 256 bytes) or the value (at most 4 KiB) is too large";
    case node::RegisterWhy::busy:
      return "too many changes are under way on this member; try again later";
    case node::RegisterWhy::full:
      return "there are as many registers as the cluster can hold (256)";
    case node::RegisterWhy::timed_out:
      return "no majority of the founding members answered in time; see `quorate status`";
    case node::RegisterWhy::stopped:
      return "this member cannot serve registers: it does not know yet, or its cluster was founded "
             "by a version that had none";
  }
  return "";
}

}  // namespace

RegisterService::RegisterService(Api& api) : api_(api) {
  api_.server().add_unary(kService, "Change", [this](grpc::CallId call, std::string_view message) {
    if (api_.admit(call) && api_.permit(call, Api::Rights::root)) on_change(call, message);
  });
}

void RegisterService::on_change(grpc::CallId call, std::string_view message) {
  const auto name = read_field(message, 1);
  auto change = change_of(message);
  if (!name || !change) return api_.refuse(call, ApiError::malformed_request);
  const Time now = api_.executor().now();
  const Time deadline = std::max(api_.deadline(call) - kSpare, now);
  api_.service().change_register(
      std::string(name->text), std::move(*change), deadline,
      [this, tether = api_.tether(), call](const node::RegisterOutcome& outcome) {
        if (tether.get() == nullptr) return;
        std::string body;
        write_number(1, static_cast<uint64_t>(outcome.verdict) + 1, body);
        write_number(2, outcome.version, body);
        write_text(3, outcome.value.view(), body);
        if (outcome.verdict == node::RegisterVerdict::not_applied ||
            outcome.verdict == node::RegisterVerdict::unknown) {
          write_text(4, words(outcome.why), body);
        }
        api_.server().answer(call, {}, Bytes(body));
      });
}

}  // namespace quorate::front::etcd
