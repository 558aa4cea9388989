// load/keep_alive_driver.h: leases kept alive over streams that stay open.
//
// The leases exist already. Each operation renews the next one in turn; the answers of a stream
// come in the order of its requests, and each must name its lease and give it time.
#pragma once

#include <memory>

#include "load/driver.h"
#include "load/http2_client.h"

namespace quorate::load {

struct KeepAliveOptions {
  int64_t first_lease = 1;
  uint64_t leases = 1000;
  uint32_t streams = 10;  // leases are dealt out to them in turn
};
inline constexpr uint64_t kLeasesMax = 10'000'000;

std::unique_ptr<Driver> keep_alive_driver(Http2Client& client, uint32_t slots,
                                          const KeepAliveOptions& options);

}  // namespace quorate::load
