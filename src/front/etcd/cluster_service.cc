#include "front/etcd/cluster_service.h"

#include <algorithm>

#include "base/log.h"

namespace quorate::front::etcd {

using grpc::CallId;
using machine::etcd::CommandKind;
using machine::etcd::MemberAttributes;
using machine::etcd::QueryKind;

namespace {

constexpr Duration kPublishPause = std::chrono::milliseconds(500);

std::string encode_member(const node::MemberView& member, const MemberAttributes* attributes) {
  std::string out;
  write_number(1, member.id.value, out);
  // etcd shows the name only once the member has started and said so itself.
  if (attributes != nullptr) write_text(2, attributes->name, out);
  for (const std::string& url : member.peer_addresses) write_element(3, url, out);
  if (attributes != nullptr) {
    for (const std::string& url : attributes->client_urls) write_element(4, url, out);
  }
  write_flag(5, member.learner, out);
  return out;
}

}  // namespace

ClusterService::ClusterService(Api& api) : api_(api) {
  api_.server().add_unary("etcdserverpb.Cluster", "MemberList",
                          [this](CallId call, std::string_view message) {
                            if (api_.admit(call)) on_member_list(call, message);
                          });
  api_.server().add_unary("etcdserverpb.Maintenance", "Status",
                          [this](CallId call, std::string_view message) {
                            if (api_.admit(call)) on_status(call, message);
                          });
}

void ClusterService::on_member_list(CallId call, std::string_view message) {
  const auto linearizable = read_field(message, 1);
  if (!linearizable) {
    api_.refuse(call, ApiError::malformed_request);
    return;
  }
  if (linearizable->number == 0) {
    answer_member_list(call);
    return;
  }
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(),
                                                    call](std::optional<node::RefusedWhy> why) {
    if (tether.get() == nullptr) return;  // this service lives as long as the Api
    if (why) {
      api_.refuse(call, api_.refusal(call, *why));
    } else {
      answer_member_list(call);
    }
  });
}

void ClusterService::answer_member_list(CallId call) {
  machine::Reply reply;
  api_.service().query(machine::etcd::make_query(QueryKind::member_attributes, {}), reply);
  const auto attributes = machine::etcd::decode_member_attributes_list(reply.body.view());
  std::string out;
  api_.header().write(0, api_.service().round(), out);
  for (const node::MemberView& member : api_.service().status().members) {
    const auto found = std::ranges::find(attributes, member.id.value, &MemberAttributes::id);
    write_element(2, encode_member(member, found == attributes.end() ? nullptr : &*found), out);
  }
  api_.server().answer(call, out, {});
}

void ClusterService::on_status(CallId call, std::string_view) {
  const node::NodeStatus status = api_.service().status();
  std::string out;
  api_.header().write(api_.revision(), api_.service().round(), out);
  write_text(2, api_.options().version, out);
  write_number(3, status.store_bytes, out);
  write_number(4, status.consensus.leader.value, out);
  write_number(5, status.consensus.committed.value, out);
  write_number(6, api_.service().round(), out);
  write_number(7, status.applied.value, out);
  if (!status.consensus.leader) write_element(8, status_of(ApiError::no_leader).text, out);
  write_number(9, status.store_bytes, out);
  const auto self = std::ranges::find(status.members, status.self, &node::MemberView::id);
  write_flag(10, self != status.members.end() && self->learner, out);
  write_text(11, api_.version_minor(), out);
  write_number(12, api_.options().quota_backend_bytes, out);
  api_.server().answer(call, out, {});
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
