#include "app/bench/workloads.h"

#include <algorithm>
#include <utility>

#include "load/clock.h"
#include "load/etcd_driver.h"
#include "load/keep_alive_driver.h"
#include "load/watch_driver.h"

namespace quorate::app::bench {
namespace {

using load::unary_driver;

Step load_keys(load::Http2Client& client, load::KeySpace space) {
  space.order = load::KeyOrder::sequential;
  return {"writing " + std::to_string(space.keys) + " keys",
          unary_driver(client, load::put_requests(space), kStepOutstanding), space.keys};
}

std::unique_ptr<load::Requests> requests_of(const Options& options) {
  const std::string& name = options.workload;
  if (name == "put") return load::put_requests(options.space);
  if (name == "get" || name == "range") {
    return load::range_requests(options.space, options.reads);
  }
  if (name == "mixed") {
    return load::mixed_requests(options.space, options.reads, options.reads_percent);
  }
  if (name == "swap") {
    return load::swap_requests(options.space, options.plan.outstanding, options.hot_percent);
  }
  if (name == "txn-put") {
    return load::transaction_put_requests(options.space, options.writes_each);
  }
  if (name == "txn-mixed") {
    return load::transaction_mixed_requests(options.space, options.reads_percent);
  }
  return nullptr;
}

// Numbers that nobody else is likely to have chosen, and different in each run: leases of a run
// that was killed live on for their time.
int64_t first_lease() {
  return (load::clock_now().time_since_epoch().count() & 0x3fff'ffff'ffff) << 16U | 1;
}

Workload with_leases(Workload workload, const Options& options) {
  load::Http2Client& client = *workload.client;
  const int64_t first = first_lease();
  const std::string leases = std::to_string(options.leases) + " leases";
  workload.before.push_back(
      {"granting " + leases,
       unary_driver(client, load::lease_grant_requests(first, options.lease_seconds),
                    kStepOutstanding),
       options.leases});
  workload.driver = load::keep_alive_driver(
      client, options.plan.outstanding,
      {.first_lease = first, .leases = options.leases, .streams = options.streams});
  workload.after.push_back(
      {"revoking " + leases,
       unary_driver(client, load::lease_revoke_requests(first), kStepOutstanding), options.leases});
  return workload;
}

bool reads_keys(const std::string& name) {
  return name == "get" || name == "range" || name == "mixed" || name == "txn-mixed";
}

}  // namespace

Result<Workload> etcd_workload(const Options& options, load::Servers servers, Duration patience) {
  Workload workload;
  workload.client = std::make_unique<load::Http2Client>(std::move(servers), options.connections);
  if (auto connected = workload.client->connect(patience); !connected) {
    return std::unexpected(connected.error());
  }
  load::Http2Client& client = *workload.client;
  if (options.load_first && reads_keys(options.workload)) {
    workload.before.push_back(load_keys(client, options.space));
  }
  if (options.workload == "watch") {
    workload.driver =
        load::watch_driver(client, options.space, options.plan.outstanding,
                           {.watchers = options.watchers, .streams = options.streams});
    return workload;
  }
  if (options.workload == "keep-alive") return with_leases(std::move(workload), options);
  auto requests = requests_of(options);
  if (requests == nullptr) {
    return fail(ErrorKind::invalid, "there is no workload \"" + options.workload + "\"");
  }
  workload.driver = unary_driver(client, std::move(requests), options.plan.outstanding);
  return workload;
}

}  // namespace quorate::app::bench
