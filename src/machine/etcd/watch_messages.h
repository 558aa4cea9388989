// machine/etcd/watch_messages.h: the messages of the etcd v3 Watch service.
//
// Requests are decoded as in messages.h: views borrow, unknown fields are skipped, malformed
// bytes give nullopt. Responses are written in pieces, because their parts are shared: a head of
// one watcher, then events which many watchers get.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace quorate::machine::etcd {

struct WatchCreateRequest {
  std::string_view key;          // 1
  std::string_view range_end;    // 2
  int64_t start_revision = 0;    // 3
  bool progress_notify = false;  // 4
  bool no_put = false;           // 5, an element 0
  bool no_delete = false;        // 5, an element 1
  bool prev_kv = false;          // 6
  int64_t watch_id = 0;          // 7
  bool fragment = false;         // 8
};
struct WatchCancelRequest {
  int64_t watch_id = 0;  // 1
};
struct WatchProgressRequest {};

// 1 create, 2 cancel, 3 progress; monostate when the client sent none.
using WatchRequest =
    std::variant<std::monostate, WatchCreateRequest, WatchCancelRequest, WatchProgressRequest>;
std::optional<WatchRequest> decode_watch_request(std::string_view wire);

// WatchResponse without its header (1) and its events (11).
struct WatchResponseHead {
  int64_t watch_id = 0;            // 2
  bool created = false;            // 3
  bool canceled = false;           // 4
  int64_t compact_revision = 0;    // 5
  std::string_view cancel_reason;  // 6
  bool fragment = false;           // 7
};
void encode(const WatchResponseHead& head, std::string& out);

struct WatchEvent {
  bool removed = false;
  int64_t revision = 0;
  std::string_view record;                   // as in Change
  std::optional<std::string_view> previous;  // the record before it
};
// A put that brought its key to life: a client gets no previous record with it, not even where the
// same transaction removed the key before.
bool is_creation(const WatchEvent& event);
// As one element of WatchResponse.events.
void encode(const WatchEvent& event, std::string& out);

}  // namespace quorate::machine::etcd
