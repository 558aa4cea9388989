// load/dial.h: where a server is, and the beginning of a connection to it.
#pragma once

#include <string>
#include <string_view>

namespace quorate::load {

inline constexpr std::string_view kSecureScheme = "https://";

// Of "host:port", "[address]:port" or "https://..."; the port may be missing.
struct Endpoint {
  Endpoint(std::string_view text, std::string_view default_port);
  std::string text;  // as it was given
  std::string authority;
  std::string host;
  std::string port;
  bool secured = false;
};

// A socket that does not block and is on its way to `endpoint`; -1 with the reason in `problem`.
int begin_connect(const Endpoint& endpoint, std::string& problem);

}  // namespace quorate::load
