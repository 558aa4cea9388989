// front/grpc/crossing.h: what the two sides of a client's thread say to each other.
//
// A turn of either side gathers all it has to say in one batch: items in order, and the bytes of
// all of them behind each other, so that a call costs no allocation on its way. Calls are named by
// the id that they have on the client's side. Order is kept, so that what concerns a call comes
// between the item that opens it and the one that ends it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "front/grpc/call.h"
#include "front/grpc/offer.h"
#include "front/grpc/output.h"
#include "front/grpc/server.h"
#include "front/grpc/status.h"

namespace quorate::front::grpc {

// From the client's side to the node's.
struct Inward {
  enum class Kind : uint8_t {
    connected,     // `link` is a connection; bytes: the common name
    disconnected,  // `link` is none any more, all its calls are over
    sent,          // `size` more bytes of `link` have been taken by its client, or are void
    unary,         // bytes: token, version, the message's frame
    stream,        // bytes: token, version
    data,          // bytes: a frame of `call`
    half_closed,   // the client of `call` will say no more
    drained,       // `size` more bytes of `call` have left: everything that had come
    page,          // bytes: the path, with its query
    refused,       // `call` is to end with `code` and bytes: the text
    over,          // `call` has ended here, with `code`
    turned_away    // a call of `method` ended here with `code` before it crossed
  };
  Kind kind = Kind::connected;
  bool posted = false;
  bool needs_leader = false;
  HttpMethod http_method = HttpMethod::none;
  Code code = Code::ok;
  Offer offer = Offer::all;
  CallId call;
  uint32_t method = 0;
  uint32_t token_bytes = 0;
  uint32_t version_bytes = 0;
  uint64_t link = 0;
  size_t size = 0;  // of the last of its bytes, or what the kind says
  Time deadline = kNever;
  Time started;
};

struct InwardBatch {
  std::vector<Inward> items;
  std::string bytes;
  ServerMetrics metrics;  // as they are now
  size_t weight() const { return bytes.size() + items.size() * sizeof(Inward); }
};

// Back: more of the answer to `call`, and perhaps its end.
struct Outward {
  CallId call;
  uint64_t link = 0;
  bool finished = false;
  bool page = false;
  int http_status = 200;
  Code code = Code::ok;
  uint32_t text_bytes = 0;  // of the status, or the page's type
  size_t size = 0;          // of the answer, behind the text
};

struct OutwardBatch {
  std::vector<Outward> items;
  Output bytes;  // large bodies are shared with whoever made them
};

// Cuts the bytes of a batch in the order in which they were appended.
class Cutter {
 public:
  explicit Cutter(std::string_view bytes) : rest_(bytes) {}
  std::string_view take(size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

 private:
  std::string_view rest_;
};

}  // namespace quorate::front::grpc
