// front/grpc/call.h: one request under way, whatever the protocol that carries it.
//
// Calls live in a table and are named by CallId from outside: whoever answers late asks the
// table, and the answer to a call which is over goes nowhere. No pointer to a call outlives a
// turn. Objects are pooled, so that a unary call allocates nothing here.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/types.h"
#include "front/grpc/json_split.h"
#include "front/grpc/output.h"
#include "front/grpc/request_fields.h"
#include "front/grpc/status.h"

namespace quorate::front::grpc {

class Bearer;
struct Method;

// Slot and generation; the generation changes when the slot is used anew.
struct CallId {
  uint32_t slot = 0;
  uint32_t generation = 0;
  bool operator==(const CallId&) const = default;
};

// Headers of a request which handlers may ask for.
struct Metadata {
  std::string token;          // gRPC `token`, or `authorization`
  std::string version;        // client-api-version
  std::string encoding;       // grpc-encoding
  bool needs_leader = false;  // hasleader: true
  void clear();
  // Of a posted call: a header that the gateway passes on, its name without the prefix.
  void take_passed_on(std::string_view name, std::string_view value);
};
inline constexpr std::string_view kPassedOnPrefix = "grpc-metadata-";

enum class HttpMethod : uint8_t { none, get, head, post, options, other };

// Whoever has work for a call that should begin once its client has taken what it was sent.
class RoomWaiter {
 public:
  virtual ~RoomWaiter() = default;
  virtual void on_room(CallId call) = 0;
};

struct Call {
  CallId id;
  Bearer* connection = nullptr;    // null: the slot is free
  const Method* method = nullptr;  // null: a page, or not routed yet
  int32_t stream = 0;              // HTTP/2 only
  Time deadline = kNever;
  Time started;
  uint64_t tag = 0;  // the handler's own
  RoomWaiter* waiter = nullptr;
  Call* older = nullptr;  // the other calls of the connection
  Call* newer = nullptr;

  // Of one that crosses threads (far_end.h).
  CallId twin;           // on the node's side: the call that its client knows
  bool ferried = false;  // this is the node's side; JSON is translated on the other
  bool crossed = false;  // the client's side: the node's side has one as well, not over yet
  bool counted = false;  // the client's side: the node's side has had one, and counted it
  size_t away = 0;       // bytes that crossed and that the client has not taken, as far as told

  // Request.
  HttpMethod http_method = HttpMethod::none;
  bool grpc_content = false;
  bool posted = false;  // its message comes and its answer goes as JSON (gateway.h)
  size_t route = 0;     // of a posted one
  bool timeout_malformed = false;
  bool headers_done = false;
  bool complete = false;       // its messages are all here, the rest is ignored
  bool dispatched = false;     // unary: the handler has seen it
  bool held = false;           // kept from its handler (Gate)
  bool remote_closed = false;  // the client half-closed
  uint32_t header_fields = 0;
  size_t header_bytes = 0;
  RequestFields fields;  // HTTP/2 only
  std::string path;
  std::string content_type;  // kept only when it is not gRPC's
  Metadata metadata;
  std::string inbound;  // frames as received: 5 bytes of prefix, then the message; JSON at first
  std::string json;     // of a posted stream, what is no whole message yet
  JsonSplit split;      // of that
  std::string host;     // of plain HTTP, when names are checked
  std::string origin;   // of plain HTTP: the site whose page asks

  // Response.
  bool submitted = false;  // HTTP/2 knows of the response
  bool deferred = false;   // HTTP/2 waits for more of it
  bool finished = false;   // nothing will be added
  bool page = false;       // plain HTTP, no trailers
  bool streamed = false;   // a page that is a stream of results, and has begun
  int http_status = 200;
  std::string page_type;
  Status status;
  Output output;

  size_t unsent() const { return output.size(); }
  // The first `size` of the unsent bytes go to the end of `target`.
  void take_output(size_t size, Output& target);
  void reset();
};

class CallTable {
 public:
  Call& acquire(Bearer& connection);
  void release(Call& call);
  Call* find(CallId id) const;  // null: over
  size_t in_use() const { return calls_.size() - free_.size(); }

 private:
  std::vector<std::unique_ptr<Call>> calls_;
  std::vector<uint32_t> free_;
};

// The message at the front of `inbound`; `complete` only when all of it has arrived.
struct MessageFrame {
  bool has_prefix = false;
  bool complete = false;
  bool compressed = false;
  size_t size = 0;
  std::string_view message;
};
MessageFrame read_message_frame(std::string_view inbound);
void append_message_prefix(size_t message_bytes, std::string& output);

}  // namespace quorate::front::grpc
