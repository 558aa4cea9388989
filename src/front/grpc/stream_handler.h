// front/grpc/stream_handler.h: who serves the calls of a method that streams.
#pragma once

#include <string_view>

#include "front/grpc/call.h"

namespace quorate::front::grpc {

class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  virtual void on_open(CallId) {}  // its headers are here and in order; it may be refused
  virtual void on_message(CallId call, std::string_view message) = 0;
  virtual void on_half_close(CallId call) = 0;  // the client will send nothing more
  virtual void on_writable(CallId call) = 0;    // everything sent so far has left
  virtual void on_closed(CallId call) = 0;      // over, by whichever side; the id is dead now
};

}  // namespace quorate::front::grpc
