// load/etcd_driver.h: operations that are one gRPC call each.
#pragma once

#include <memory>

#include "load/driver.h"
#include "load/etcd_requests.h"
#include "load/http2_client.h"

namespace quorate::load {

// `client` is connected, and outlives the driver; several may use it in turn.
std::unique_ptr<Driver> unary_driver(Http2Client& client, std::unique_ptr<Requests> requests,
                                     uint32_t slots);

}  // namespace quorate::load
