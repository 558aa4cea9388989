#include "front/grpc/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"
#include "base/log.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {
namespace {

std::string reason(int code) { return std::generic_category().message(code); }

int open_spare() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

uint16_t local_port(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Result<int> listen_on(const addrinfo& choice, const std::string& address) {
  const int descriptor =
      ::socket(choice.ai_family, choice.ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return fail(ErrorKind::io, "cannot make a socket for " + address + ": " + reason(errno));
  }
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(descriptor, choice.ai_addr, choice.ai_addrlen) != 0 ||
      ::listen(descriptor, kListenBacklog) != 0) {
    const int code = errno;
    ::close(descriptor);
    if (code == EADDRINUSE) {
      return fail(ErrorKind::conflict,
                  "cannot listen on " + address +
                      ": another process uses this port; stop it or choose another address");
    }
    return fail(ErrorKind::io, "cannot listen on " + address + ": " + reason(code) +
                                   "; choose an address of this machine");
  }
  return descriptor;
}

}  // namespace

Result<HostPort> split_address(const std::string& address) {
  const size_t colon = address.rfind(':');
  const auto wrong = [&address] {
    return fail(ErrorKind::invalid,
                "the address \"" + address + "\" is not of the form host:port or [IPv6]:port");
  };
  if (colon == std::string::npos || colon + 1 == address.size()) return wrong();
  HostPort split{address.substr(0, colon), address.substr(colon + 1)};
  if (split.host.size() >= 2 && split.host.front() == '[' && split.host.back() == ']') {
    split.host = split.host.substr(1, split.host.size() - 2);
  } else if (split.host.find_first_of("[]:") != std::string::npos) {
    return wrong();
  }
  if (split.port.size() > 5 || split.port.find_first_not_of("0123456789") != std::string::npos ||
      std::stoi(split.port) > 65535) {
    return wrong();
  }
  return split;
}

Result<std::unique_ptr<Listener>> Listener::open(world::Poller& poller, const std::string& address,
                                                 Accepted accepted) {
  auto split = split_address(address);
  if (!split) return std::unexpected(split.error());
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(split->host.empty() ? nullptr : split->host.c_str(),
                                    split->port.c_str(), &hints, &found);
  if (failure != 0) {
    return fail(ErrorKind::invalid, "cannot resolve " + address + ": " + ::gai_strerror(failure));
  }
  // A name is listened on by its IPv4 address if it has one, as other servers of this API do;
  // no name at all means every interface of both families.
  const int preferred = split->host.empty() ? AF_INET6 : AF_INET;
  const addrinfo* choice = found;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    if (each->ai_family == preferred) {
      choice = each;
      break;
    }
  }
  auto descriptor = listen_on(*choice, address);
  if (!descriptor && split->host.empty() && choice != found) {
    descriptor = listen_on(*found, address);  // a machine without IPv6
  }
  ::freeaddrinfo(found);
  if (!descriptor) return std::unexpected(descriptor.error());
  std::unique_ptr<Listener> listener(
      new Listener(poller, *descriptor, local_port(*descriptor), std::move(accepted)));
  if (auto watched = poller.watch(*descriptor, true, false, *listener); !watched) {
    return std::unexpected(watched.error());
  }
  return listener;
}

Listener::Listener(world::Poller& poller, int descriptor, uint16_t port, Accepted accepted)
    : poller_(poller),
      descriptor_(descriptor),
      spare_(open_spare()),
      port_(port),
      accepted_(std::move(accepted)) {}

Listener::~Listener() {
  poller_.forget(descriptor_);
  ::close(descriptor_);
  if (spare_ >= 0) ::close(spare_);
}

bool Listener::shed_one() {
  if (spare_ < 0) return false;
  ::close(spare_);
  const int descriptor = ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC);
  if (descriptor >= 0) ::close(descriptor);
  spare_ = open_spare();
  log(LogLevel::warn,
      "a client was turned away: the process has no file descriptor left; raise its limit "
      "(ulimit -n)");
  return descriptor >= 0;
}

void Listener::on_ready(bool, bool, bool) {
  for (int count = 0; count < kAcceptsPerWakeMax; ++count) {
    const int descriptor = ::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      const int on = 1;
      ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      ::setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
      accepted_(descriptor);
      continue;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if ((errno == EMFILE || errno == ENFILE) && shed_one()) continue;
    return;
  }
}

}  // namespace quorate::front::grpc
