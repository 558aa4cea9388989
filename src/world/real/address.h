// world/real/address.h: host:port texts, the socket addresses behind them, listening sockets.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quorate::world {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  int family() const { return storage.ss_family; }
  std::string text() const;  // numeric, IPv6 in brackets
};

struct HostPort {
  std::string host;  // without brackets; empty means every address of this machine
  std::string port;
};

// What stands in front of an address that is to be reached by TLS; no part of its host.
inline constexpr std::string_view kSecureScheme = "https://";
inline bool is_secure(std::string_view text) { return text.starts_with(kSecureScheme); }

// "127.0.0.1:2380", "[::1]:2380", "localhost:2380", ":2380", "https://localhost:2380".
Result<HostPort> parse_host_port(const std::string& text);
// A number needs no name service and is answered at once.
bool is_numeric_host(const std::string& host);
// May block on the name service unless the host is a number.
Result<std::vector<SocketAddress>> resolve(const std::string& text, bool for_listening);
// Non-blocking listening sockets, one for each address behind `text`, at least one.
Result<std::vector<int>> listen_on(const std::string& text);

}  // namespace quorate::world
