// base/socket_text.h: a socket address as people write it: numeric, "host:port", an IPv6 host in
// brackets. For the internet families only.
#pragma once

#include <sys/socket.h>

#include <string>

namespace quorate {

std::string socket_text(const sockaddr_storage& address);

}  // namespace quorate
