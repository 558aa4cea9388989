// front/grpc/known_fields.h: what the header fields of a request make of its call, and the fields
// that each request of a connection begins with, recognised.
//
// A client sends the same method, scheme, path, authority, content type and agent with each
// request. HPACK sends most as references to fields that both sides keep, and the library gives
// the very buffers that it keeps: those are known by their address, what is sent anew each time
// (nghttp2's clients do so with the path) by its bytes. What all of them make of a call is copied
// instead of found out again.
//
// Invariant: a call is as if each field had gone through take_field().
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "front/grpc/call.h"

struct nghttp2_rcbuf;

namespace quorate::front::grpc {

// One field, in the order of arrival. `keeps_host`: somebody is going to check it.
void take_field(Call& call, std::string_view name, std::string_view value, bool keeps_host);

// Of one connection.
class KnownFields {
 public:
  KnownFields() = default;
  ~KnownFields() { forget_from(0); }
  KnownFields(const KnownFields&) = delete;
  KnownFields& operator=(const KnownFields&) = delete;

  void begin();  // the fields of a new call follow
  void take(Call& call, nghttp2_rcbuf* name, nghttp2_rcbuf* value, bool keeps_host);
  void end(Call& call, bool keeps_host);  // the last was there

 private:
  // Matching: each field so far was the known one. Learning: each so far is known now.
  enum class State : uint8_t { matching, learning, passing };
  struct Field {  // its bytes are kept alive
    nghttp2_rcbuf* name;
    nghttp2_rcbuf* value;
  };
  struct Outcome {  // of all known fields
    HttpMethod http_method = HttpMethod::none;
    bool grpc_content = false;
    uint32_t header_fields = 0;
    size_t header_bytes = 0;
    RequestFields fields;
    std::string path;
  };

  void stop_matching(Call& call, bool keeps_host);
  void learn(const Call& call, nghttp2_rcbuf* name, nghttp2_rcbuf* value);
  void remember(const Call& call);
  void forget_from(size_t place);

  std::vector<Field> known_;
  Outcome outcome_;
  State state_ = State::passing;
  size_t matched_ = 0;
  uint32_t misses_ = 0;  // since the last request that began with all of them
};

}  // namespace quorate::front::grpc
