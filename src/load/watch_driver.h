// load/watch_driver.h: puts under a prefix that many watch; what is timed is how long each event
// takes from the put's intended time to each watcher, on one clock.
//
// Operations are the puts; the events are a side result. The time of a put travels in its value.
#pragma once

#include <memory>

#include "load/driver.h"
#include "load/etcd_requests.h"
#include "load/http2_client.h"

namespace quorate::load {

struct WatchOptions {
  uint32_t watchers = 100;
  uint32_t streams = 10;  // watchers are dealt out to them in turn
  Duration setup_max = std::chrono::seconds(60);
  // For events behind the last put. What has not come by then is late; but where nothing comes
  // for as long as `silence_max`, it was lost.
  Duration delivery_max = std::chrono::seconds(30);
  Duration silence_max = std::chrono::seconds(10);
};
inline constexpr uint32_t kWatchersMax = 10'000'000;
inline constexpr size_t kWatchedValueBytesMin = 8;  // the time of the put

std::unique_ptr<Driver> watch_driver(Http2Client& client, const KeySpace& space, uint32_t slots,
                                     const WatchOptions& options);

}  // namespace quorate::load
