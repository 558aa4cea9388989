// app/bench/workloads.h: what a workload is made of: steps before, the driver under measurement,
// steps behind.
//
// A step is a run of its own that nobody measures: keys to be read are put, leases granted.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/bench/options.h"
#include "load/driver.h"
#include "load/http2_client.h"

namespace quorate::app::bench {

struct Step {
  std::string what;  // "writing the keys"
  std::unique_ptr<load::Driver> driver;
  uint64_t operations = 0;
};

struct Workload {
  std::unique_ptr<load::Http2Client> client;  // which the drivers below use; first in, last out
  std::vector<Step> before;
  std::unique_ptr<load::Driver> driver;
  std::vector<Step> after;
};

// Connected already.
Result<Workload> etcd_workload(const Options& options, load::Servers servers, Duration patience);

// Steps go as fast as the server takes them.
inline constexpr uint32_t kStepOutstanding = 500;

}  // namespace quorate::app::bench
