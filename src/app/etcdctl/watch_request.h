// app/etcdctl/watch_request.h: what opens a watch, or adds one to a stream that is open.
#pragma once

#include <cstdint>
#include <string>

namespace quorate::app::etcdctl {

struct WatchRequest {
  std::string key;
  std::string end;    // empty: the key alone
  int64_t start = 0;  // the first revision it tells of; 0: from now on
  bool progress_notify = false;
  bool previous = false;
  int64_t id = 0;  // 0: the server chooses
};

// On the wire: a WatchRequest whose union holds a create request.
std::string encode(const WatchRequest& watch);

}  // namespace quorate::app::etcdctl
