#include "load/dial.h"

#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace quorate::load {
namespace {

struct Addresses {
  addrinfo* list = nullptr;
  Addresses() = default;
  Addresses(const Addresses&) = delete;
  Addresses& operator=(const Addresses&) = delete;
  ~Addresses() {
    if (list != nullptr) ::freeaddrinfo(list);
  }
};

}  // namespace

Endpoint::Endpoint(std::string_view whole, std::string_view default_port)
    : text(whole), secured(whole.starts_with(kSecureScheme)) {
  authority = secured ? text.substr(kSecureScheme.size()) : text;
  const size_t colon = authority.rfind(':');
  host = authority.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  port = colon == std::string::npos ? std::string(default_port) : authority.substr(colon + 1);
}

int begin_connect(const Endpoint& endpoint, std::string& problem) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  Addresses found;
  const int code = ::getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &found.list);
  if (code != 0) {
    problem = endpoint.text + ": " + ::gai_strerror(code);
    return -1;
  }
  const int made = ::socket(found.list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made < 0) {
    problem = endpoint.text + ": no socket: " + std::strerror(errno);
    return -1;
  }
  const int on = 1;
  ::setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::connect(made, found.list->ai_addr, found.list->ai_addrlen) != 0 && errno != EINPROGRESS) {
    problem = endpoint.text + ": " + std::strerror(errno);
    ::close(made);
    return -1;
  }
  return made;
}

}  // namespace quorate::load
