#include "app/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace quorate::app {

void notify_systemd(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un target{};
  target.sun_family = AF_UNIX;
  const size_t size = path == nullptr ? 0 : std::strlen(path);
  if (size < 2 || size >= sizeof(target.sun_path)) return;
  if (path[0] != '/' && path[0] != '@') return;
  std::memcpy(target.sun_path, path, size);
  if (path[0] == '@') target.sun_path[0] = '\0';  // a name outside of the file system
  const int descriptor = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return;
  // Lost news of this kind harm nobody here: systemd itself notices, and says so.
  ::sendto(descriptor, state.data(), state.size(), MSG_NOSIGNAL,
           reinterpret_cast<const sockaddr*>(&target),
           static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + size));
  ::close(descriptor);
}

}  // namespace quorate::app
