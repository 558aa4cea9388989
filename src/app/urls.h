// app/urls.h: the URLs of etcd's flags: scheme, host and port, nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace quorate::app {

struct Url {
  std::string text;  // as configured
  std::string host;  // without the brackets of an IPv6 address
  uint16_t port = 0;
  bool secure = false;               // https
  std::string address() const;       // host:port, with brackets where needed
  std::string dial_address() const;  // the same, behind https:// if that is its scheme
  bool operator==(const Url&) const = default;
};

// `flag` names the setting in the error.
Result<std::vector<Url>> parse_urls(std::string_view flag, std::string_view list);
// A listener binds to an IP address or localhost, never to a name that DNS could move.
Result<void> check_listen_url(std::string_view flag, const Url& url);
// An endpoint of a client: host:port, http://host:port or https://host:port; default port 2379. As
// front/grpc/client.h takes it. `secure`: those without a scheme are to be reached by TLS.
Result<std::string> endpoint_address(std::string_view text, bool secure = false);

std::vector<std::string> split(std::string_view text, char separator);
std::vector<std::string> texts(const std::vector<Url>& urls);

}  // namespace quorate::app
