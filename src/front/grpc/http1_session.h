// front/grpc/http1_session.h: HTTP/1.1 for pages that probes and Prometheus ask for, and for
// posted JSON.
//
// GET and HEAD without bodies, POST with a length or in chunks; kept-alive and pipelined requests,
// one at a time. Everything else is answered with its proper status and the connection closed.
#pragma once

#include <memory>

#include "front/grpc/connection.h"

namespace quorate::front::grpc {

std::unique_ptr<Session> make_http1_session(Connection& connection);

}  // namespace quorate::front::grpc
