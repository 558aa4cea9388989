// front/grpc/http2_session.h: the HTTP/2 server side of one connection, over nghttp2.
//
// nghttp2 keeps the protocol's rules (frames, header compression, windows, PING answers); this
// class turns its streams into calls and adds the limits it lacks: resets and control frames per
// second, header fields, bytes of unfinished requests.
#pragma once

#include <memory>

#include "front/grpc/connection.h"

namespace quorate::front::grpc {

std::unique_ptr<Session> make_http2_session(Connection& connection);

}  // namespace quorate::front::grpc
