#include "world/real/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/socket_text.h"

namespace quorate::world {
namespace {

// Connections the kernel completes before we accept them; far above any cluster's size, so that
// a burst of reconnecting peers is not turned away.
constexpr int kListenBacklog = 256;

std::string explain_bind_failure(const std::string& text, const std::string& action, int code) {
  std::string explained = "cannot " + action + " " + text + ": " + std::strerror(code);
  if (code == EADDRINUSE) {
    explained += "; stop the process that listens there, or choose another port";
  } else if (code == EADDRNOTAVAIL) {
    explained += "; the host is no address of this machine, choose one that is";
  } else if (code == EACCES) {
    explained += "; choose a port above 1023 or run with the right to use this one";
  }
  return explained;
}

struct Bound {
  int descriptor = -1;
  int code = 0;  // errno when there is no descriptor
};

Bound bind_and_listen(const SocketAddress& address) {
  const int descriptor = ::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return {-1, errno};
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6) {
    // Each family has a socket of its own, so that listening on both never collides.
    ::setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
  if (::bind(descriptor, generic, address.size) == 0 && ::listen(descriptor, kListenBacklog) == 0) {
    return {descriptor, 0};
  }
  const int code = errno;
  ::close(descriptor);
  return {-1, code};
}

}  // namespace

std::string SocketAddress::text() const { return socket_text(storage); }

Result<HostPort> parse_host_port(const std::string& text) {
  if (is_secure(text)) return parse_host_port(text.substr(kSecureScheme.size()));
  const size_t colon = text.rfind(':');
  const std::string advice = "; write host:port, with an IPv6 host in brackets";
  if (colon == std::string::npos) {
    return fail(ErrorKind::invalid, "address \"" + text + "\" names no port" + advice);
  }
  HostPort parsed{text.substr(0, colon), text.substr(colon + 1)};
  const bool digits = !parsed.port.empty() && parsed.port.size() <= 5 &&
                      std::ranges::all_of(parsed.port, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || std::stoul(parsed.port) > 65535) {
    return fail(ErrorKind::invalid,
                "address \"" + text + "\" has no port between 0 and 65535" + advice);
  }
  const bool bracketed =
      parsed.host.size() >= 2 && parsed.host.front() == '[' && parsed.host.back() == ']';
  if (bracketed) {
    parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  } else if (parsed.host.find_first_of(":[]") != std::string::npos) {
    return fail(ErrorKind::invalid, "address \"" + text + "\" has a malformed host" + advice);
  }
  return parsed;
}

bool is_numeric_host(const std::string& host) {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, host.c_str(), &ignored) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

Result<std::vector<SocketAddress>> resolve(const std::string& text, bool for_listening) {
  const Result<HostPort> parsed = parse_host_port(text);
  if (!parsed.has_value()) return std::unexpected<Error>(parsed.error());
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = (for_listening ? AI_PASSIVE : 0) |
                   (is_numeric_host(parsed->host) ? AI_NUMERICHOST : 0) | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  // People write [::] for "everywhere", IPv4 included.
  const bool everywhere = parsed->host.empty() || (for_listening && parsed->host == "::");
  const int code = ::getaddrinfo(everywhere ? nullptr : parsed->host.c_str(), parsed->port.c_str(),
                                 &hints, &found);
  if (code != 0) {
    return fail(ErrorKind::unavailable, "cannot find the host of address \"" + text +
                                            "\": " + ::gai_strerror(code) +
                                            "; check the name and the name service");
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

Result<std::vector<int>> listen_on(const std::string& text) {
  const Result<std::vector<SocketAddress>> addresses = resolve(text, true);
  if (!addresses.has_value()) return std::unexpected<Error>(addresses.error());
  std::vector<int> descriptors;
  int absent_family = EADDRNOTAVAIL;
  for (const SocketAddress& address : *addresses) {
    const Bound bound = bind_and_listen(address);
    if (bound.descriptor >= 0) {
      descriptors.push_back(bound.descriptor);
      continue;
    }
    // A name may stand for an address of a family this machine does not have.
    absent_family = bound.code;
    if (bound.code == EADDRNOTAVAIL || bound.code == EAFNOSUPPORT) continue;
    for (const int descriptor : descriptors) ::close(descriptor);
    return fail(bound.code == EADDRINUSE ? ErrorKind::conflict : ErrorKind::io,
                explain_bind_failure(text, "listen on", bound.code));
  }
  if (descriptors.empty()) {
    return fail(ErrorKind::io, explain_bind_failure(text, "listen on", absent_family));
  }
  return descriptors;
}

}  // namespace quorate::world
