// load/watch_wire.h: a response of etcd's Watch service, as far as this tool looks into it.
//
// Millions of events come each second, and what reading them costs is counted against the server
// that is measured. So they are decoded where they lie, by code that knows these messages and
// nothing else; the bytes are a server's and are trusted no more than others.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace quorate::load {

struct WatchedEvent {
  int64_t revision = 0;
  std::string_view value;
};

struct WatchedResponse {
  uint64_t watcher = 0;
  bool created = false;
  bool canceled = false;
  std::string_view reason;
  std::vector<WatchedEvent> events;
};

// False: malformed. What it borrows lies in `message`; the memory of `response` is used again.
bool decode_watched(std::string_view message, WatchedResponse& response);

}  // namespace quorate::load
