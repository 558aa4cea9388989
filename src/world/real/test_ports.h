// world/real/test_ports.h: a port for a test that closes it and opens it again.
//
// Below those that the kernel gives to outgoing connections, of which one could take it meanwhile,
// and below those of tests/e2e/cluster.py.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <random>

namespace quorate::world {

inline uint16_t free_port() {
  constexpr uint32_t kFirst = 5000;
  constexpr uint32_t kCount = 6000;
  std::random_device chance;
  while (true) {
    const auto port = static_cast<uint16_t>(kFirst + chance() % kCount);
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free =
        ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(descriptor);
    if (free) return port;
  }
}

}  // namespace quorate::world
