#include "front/etcd/pages.h"

#include "front/etcd/alarm_service.h"
#include "front/etcd/metrics.h"

namespace quorate::front::etcd {

using grpc::CallId;

namespace {

constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kJson = "application/json";

bool has_parameter(std::string_view query, std::string_view wanted) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    if (query.substr(0, end) == wanted) return true;
    if (end == std::string_view::npos) return false;
    query.remove_prefix(end + 1);
  }
  return false;
}

}  // namespace

void Pages::on_request(CallId call, const grpc::PageRequest& request) {
  const bool probes_only = request.offer == grpc::Offer::probes;
  if (request.path == "/health") {
    on_health(call, request.query);
  } else if (request.path == "/version" && !probes_only) {
    answer_version(call);
  } else if (request.path == "/metrics") {
    api_.server().answer_page(call, 200, "text/plain; version=0.0.4; charset=utf-8",
                              render_metrics(api_, watches_.counts()));
  } else if (!probes_.on_request(call, request)) {
    api_.server().answer_page(call, 404, kPlain, "404 page not found\n");
  }
}

void Pages::answer_version(CallId call) {
  const std::string minor = api_.version_minor();
  api_.server().answer_page(call, 200, kJson,
                            R"({"etcdserver":")" + api_.options().version + R"(","etcdcluster":")" +
                                minor + R"(","storage":")" + minor + R"("})");
}

void Pages::answer_health(CallId call, std::string_view reason) {
  const bool healthy = reason.empty();
  ++(healthy ? api_.counts().health_successes : api_.counts().health_failures);
  std::string body = R"({"health":")";
  body += healthy ? "true" : "false";
  body += R"(","reason":")";
  body += reason;
  body += "\"}\n";
  api_.server().answer_page(call, healthy ? 200 : 503, kJson, body);
}

void Pages::on_health(CallId call, std::string_view query) {
  for (const machine::etcd::Alarm& alarm : active_alarms(api_)) {
    const std::string name(alarm_name(alarm.kind));
    if (!has_parameter(query, "exclude=" + name)) return answer_health(call, "ALARM " + name);
  }
  if (has_parameter(query, "serializable=true")) {
    const std::string failure = local_read_failure(api_);
    answer_health(call, failure.empty() ? failure : "RANGE ERROR:" + failure);
    return;
  }
  if (!api_.service().leader()) {
    answer_health(call, "RAFT NO LEADER");
    return;
  }
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(),
                                                    call](std::optional<node::RefusedWhy> why) {
    if (tether.get() == nullptr) return;  // the pages live as long as the Api
    const std::string failure =
        why ? status_of(api_.refusal(call, *why)).text : local_read_failure(api_);
    answer_health(call, failure.empty() ? failure : "RANGE ERROR:" + failure);
  });
}

}  // namespace quorate::front::etcd
