#include "front/etcd/probes.h"

#include <utility>

#include "base/check.h"
#include "machine/etcd/messages.h"

namespace quorate::front::etcd {

using grpc::CallId;

namespace {

constexpr std::string_view kPlain = "text/plain; charset=utf-8";
constexpr std::string_view kLivez = "/livez";
constexpr std::string_view kReadyz = "/readyz";
constexpr std::string_view kExclude = "exclude=";

}  // namespace

std::string local_read_failure(Api& api) {
  // The cheapest read there is: how many pairs the key "health" has.
  machine::etcd::RangeRequest request;
  request.key = "health";
  request.serializable = true;
  request.count_only = true;
  std::string message;
  machine::etcd::encode(request, message);
  machine::Reply reply;
  api.service().query(machine::etcd::make_query(machine::etcd::QueryKind::range, message), reply);
  if (reply.code == machine::kStateUnavailable) return status_of(ApiError::unhealthy).text;
  if (reply.code != 0) return "reading failed with code " + std::to_string(reply.code);
  return {};
}

void Probes::apply_query(std::string_view query, bool excludable, Selection& selection) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const std::string_view parameter = query.substr(0, end);
    if (parameter.substr(0, parameter.find('=')) == "verbose") selection.verbose = true;
    if (excludable && parameter.starts_with(kExclude)) {
      // A name nobody knows excludes nothing: manifests outlive the checks they name.
      for (const Named& each : kChecks) {
        if (each.name == parameter.substr(kExclude.size())) selection.remove(each.check);
      }
    }
    if (end == std::string_view::npos) return;
    query.remove_prefix(end + 1);
  }
}

bool Probes::on_request(CallId call, const grpc::PageRequest& request) {
  const bool livez = request.path.starts_with(kLivez);
  if (!livez && !request.path.starts_with(kReadyz)) return false;
  const std::string_view below = request.path.substr((livez ? kLivez : kReadyz).size());
  Selection selection;
  for (const Named& each : kChecks) {
    if (livez && !each.of_livez) continue;
    const bool wanted = below.empty() || (below.starts_with('/') && below.substr(1) == each.name);
    if (wanted) selection.add(each.check);
  }
  if (selection.checks == 0) return false;
  apply_query(request.query, below.empty(), selection);
  run(call, selection);
  return true;
}

void Probes::run(CallId call, Selection selection) {
  if (!selection.has(Check::linearizable_read)) return answer(call, selection, {});
  if (!api_.service().leader()) {
    // The read would wait for its whole time: a probe is better told at once.
    return answer(call, selection, status_of(ApiError::no_leader).text);
  }
  api_.server().set_tag(call, api_.service().round());
  api_.service().read_barrier(api_.deadline(call), [this, tether = api_.tether(), call, selection](
                                                       std::optional<node::RefusedWhy> why) {
    if (tether.get() == nullptr) return;  // the probes live as long as the Api
    answer(call, selection, why ? status_of(api_.refusal(call, *why)).text : std::string());
  });
}

std::string Probes::failure(Check check, const std::string& barrier) const {
  switch (check) {
    case Check::data_corruption:
      if (api_.machine() != nullptr) return {};
      return "the store was found damaged and a replacement from another member is awaited";
    case Check::serializable_read:
      return local_read_failure(api_);
    case Check::linearizable_read:
      return barrier.empty() ? local_read_failure(api_) : barrier;
    case Check::non_learner:
      if (api_.service().is_learner()) return "not supported for learner";
      if (api_.service().status().ready) return {};
      return "this member has not caught up since its start, or has no vote until the others have "
             "re-admitted it";
  }
  CHECK(false, "every check is known");
}

void Probes::answer(CallId call, Selection selection, const std::string& barrier) {
  std::string report;
  bool healthy = true;
  for (const Named& each : kChecks) {
    if (!selection.has(each.check)) continue;
    const std::string why = failure(each.check, barrier);
    if (why.empty()) {
      report += "[+]" + std::string(each.name) + " ok\n";
    } else {
      healthy = false;
      report += "[-]" + std::string(each.name) + " failed: " + why + "\n";
    }
  }
  if (!healthy) return api_.server().answer_page(call, 503, kPlain, report + "\n");
  api_.server().answer_page(call, 200, kPlain, selection.verbose ? report + "ok\n" : "ok\n");
}

}  // namespace quorate::front::etcd
