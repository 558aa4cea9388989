#include "front/etcd/cluster_service.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::MemberAttributes;
using machine::etcd::QueryKind;
using node::ChangeKind;
using node::MemberChange;

namespace {

constexpr std::string_view kService = "etcdserverpb.Cluster";
constexpr Duration kPublishPause = std::chrono::milliseconds(500);

std::string encode_member(const node::MemberView& member,
                          const std::vector<MemberAttributes>& published) {
  const auto found = std::ranges::find(published, member.id.value, &MemberAttributes::id);
  const bool started = found != published.end();
  std::string out;
  write_number(1, member.id.value, out);
  write_text(2, started ? found->name : member.name, out);
  for (const std::string& url : member.peer_addresses) write_element(3, url, out);
  if (started) {
    for (const std::string& url : found->client_urls) write_element(4, url, out);
  }
  write_flag(5, member.learner, out);
  return out;
}

}  // namespace

ClusterService::ClusterService(Api& api) : api_(api) {
  api_.server().add_unary(kService, "MemberList", [this](CallId call, std::string_view message) {
    if (api_.admit(call) && api_.permit(call, Api::Rights::user)) on_member_list(call, message);
  });
  add(kService, "MemberAdd", MemberRequestKind::add);
  add(kService, "MemberRemove", MemberRequestKind::remove);
  add(kService, "MemberUpdate", MemberRequestKind::update);
  add(kService, "MemberPromote", MemberRequestKind::promote);
  add("quorate.Members", "Replace", MemberRequestKind::replace);
}

void ClusterService::add(std::string_view service, std::string_view name, MemberRequestKind kind) {
  api_.server().add_unary(service, name, [this, kind](CallId call, std::string_view message) {
    if (api_.admit(call) && api_.permit(call, Api::Rights::root)) on_request(call, kind, message);
  });
}

void ClusterService::on_member_list(CallId call, std::string_view message) {
  const auto linearizable = read_field(message, 1);
  if (!linearizable) return api_.refuse(call, ApiError::malformed_request);
  if (linearizable->number == 0) return answer_members(call, 2);
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(),
                                                    call](std::optional<node::RefusedWhy> why) {
    if (tether.get() == nullptr) return;  // this service lives as long as the Api
    if (why) {
      api_.refuse(call, api_.refusal(call, *why));
    } else {
      answer_members(call, 2);
    }
  });
}

std::vector<MemberAttributes> ClusterService::attributes() const {
  machine::Reply reply;
  api_.service().query(machine::etcd::make_query(QueryKind::member_attributes, {}), reply);
  return machine::etcd::decode_member_attributes_list(reply.body.view());
}

void ClusterService::answer_members(CallId call, uint32_t list_field, NodeId added) {
  const auto published = attributes();
  std::string out;
  api_.header().write(0, api_.service().round(), out);
  for (const node::MemberView& member : api_.service().status().members) {
    const std::string encoded = encode_member(member, published);
    if (added && member.id == added) write_element(2, encoded, out);
    write_element(list_field, encoded, out);
  }
  api_.server().answer(call, out, {});
}

std::optional<ApiError> ClusterService::make_change(MemberRequestKind kind,
                                                    const MemberRequest& request,
                                                    MemberChange& change) const {
  change.member = NodeId{request.id};
  if (kind == MemberRequestKind::add || kind == MemberRequestKind::update) {
    auto urls = peer_urls(request.urls);
    if (!urls) return ApiError::bad_member_urls;
    change.urls = std::move(*urls);
  }
  switch (kind) {
    case MemberRequestKind::add: {
      change.kind = request.learner ? ChangeKind::add_learner : ChangeKind::add_voter;
      const int64_t now = api_.executor().wall_nanoseconds();
      change.member = NodeId{api_.options().new_member_id(change.urls, now)};
      return std::nullopt;
    }
    case MemberRequestKind::remove:
      change.kind = ChangeKind::remove;
      break;
    case MemberRequestKind::update:
      change.kind = ChangeKind::update;
      break;
    case MemberRequestKind::promote:
      change.kind = ChangeKind::promote;
      break;
    case MemberRequestKind::replace:
      change.kind = ChangeKind::replace;
      change.leaving = NodeId{request.leaving};
      if (!change.leaving) return ApiError::member_not_found;
      break;
  }
  if (!change.member) return ApiError::member_not_found;
  return std::nullopt;
}

std::optional<ApiError> ClusterService::check(const MemberChange& change) const {
  if (!api_.options().strict_reconfig_check) return std::nullopt;
  const node::NodeStatus status = api_.service().status();
  const MembersSeen seen{status.self, api_.executor().now(), status.members, attributes()};
  switch (change.kind) {
    case ChangeKind::add_voter:
      return check_adding_voter(seen);
    case ChangeKind::remove:
      return check_removing(seen, change.member);
    case ChangeKind::promote:
      return check_promoting(seen);
    case ChangeKind::add_learner:  // takes nothing from the majority
    case ChangeKind::update:
    case ChangeKind::replace:  // one comes for the one that goes, and is in sync
      return std::nullopt;
  }
  CHECK(false, "every kind of change is known");
}

void ClusterService::on_request(CallId call, MemberRequestKind kind, std::string_view message) {
  const auto request = decode_member_request(kind, message);
  if (!request) return api_.refuse(call, ApiError::malformed_request);
  MemberChange change;
  if (const auto error = make_change(kind, *request, change)) return api_.refuse(call, *error);
  if (const auto error = check(change)) return api_.refuse(call, *error);
  api_.server().set_tag(call, api_.service().round());
  api_.service().change_members(
      change, api_.deadline(call),
      [this, tether = api_.tether(), call, change](const node::Outcome& outcome) {
        if (tether.get() != nullptr) finish(call, change, outcome);
      });
}

void ClusterService::finish(CallId call, const MemberChange& change, const node::Outcome& outcome) {
  if (const auto* refused = std::get_if<node::RefusedOutcome>(&outcome)) {
    api_.refuse(call, api_.refusal(call, refused->why));
  } else if (std::holds_alternative<node::Unknown>(outcome)) {
    api_.refuse(call, api_.refusal(call, node::RefusedWhy::timed_out));
  } else if (change.kind == ChangeKind::add_voter || change.kind == ChangeKind::add_learner) {
    answer_members(call, 3, change.member);
  } else {
    answer_members(call, 2);
  }
}

void ClusterService::publish() {
  MemberAttributes attributes;
  attributes.id = api_.service().status().self.value;
  attributes.name = api_.options().name;
  attributes.client_urls = api_.options().advertise_client_urls;
  Bytes command = machine::etcd::make_command(CommandKind::member_attributes,
                                              machine::etcd::encode_member_attributes(attributes));
  api_.service().propose(std::move(command), api_.executor().now() + api_.options().request_timeout,
                         [this, tether = api_.tether()](node::Outcome outcome) {
                           if (tether.get() == nullptr) return;
                           if (std::holds_alternative<node::Applied>(outcome)) return;
                           const auto* refused = std::get_if<node::RefusedOutcome>(&outcome);
                           const bool stopping =
                               refused != nullptr && refused->why == node::RefusedWhy::stopping;
                           // Publishing twice changes nothing, so an unknown fate is retried.
                           if (!stopping) publish_later();
                         });
}

void ClusterService::publish_later() {
  api_.executor().at(api_.executor().now() + kPublishPause, [this, tether = api_.tether()] {
    if (tether.get() != nullptr) publish();
  });
}

}  // namespace quorate::front::etcd
