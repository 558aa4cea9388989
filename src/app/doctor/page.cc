#include "app/doctor/page.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>

namespace quorate::app::doctor {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPageBytesMax = size_t{8} << 20U;  // metrics of a busy member are some 100 KiB

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool ready(int descriptor, short what, Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  pollfd entry{descriptor, what, 0};
  return left > 0 && ::poll(&entry, 1, static_cast<int>(left)) > 0;
}

int connected_socket(const std::string& address, Clock::time_point end) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) return -1;
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) != 0) return -1;
  const int made = ::socket(found->ai_family, found->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int error = made < 0 ? EBADF : 0;
  if (error == 0 && ::connect(made, found->ai_addr, found->ai_addrlen) != 0) error = errno;
  ::freeaddrinfo(found);
  if (error == EINPROGRESS && ready(made, POLLOUT, end)) {
    socklen_t size = sizeof(error);
    ::getsockopt(made, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error == 0) return made;
  if (made >= 0) ::close(made);
  return -1;
}

std::optional<std::string> whole_answer(int descriptor, Clock::time_point end) {
  std::string answer;
  char bytes[16384];
  while (answer.size() < kPageBytesMax && ready(descriptor, POLLIN, end)) {
    const ssize_t size = ::recv(descriptor, bytes, sizeof(bytes), 0);
    if (size == 0) return answer;
    if (size < 0) return std::nullopt;
    answer.append(bytes, static_cast<size_t>(size));
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> get_page(const std::string& address, const std::string& path,
                                    Duration patience) {
  const auto end = Clock::now() + patience;
  const Socket socket(connected_socket(address, end));
  if (socket.get() < 0) return std::nullopt;
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: " + address + "\r\nConnection: close\r\n\r\n";
  const ssize_t sent = ::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request.size())) return std::nullopt;
  const auto answer = whole_answer(socket.get(), end);
  if (!answer || !answer->starts_with("HTTP/1.1 200")) return std::nullopt;
  const size_t body = answer->find("\r\n\r\n");
  if (body == std::string::npos) return std::nullopt;
  return answer->substr(body + 4);
}

std::optional<double> metric_value(std::string_view page, std::string_view name) {
  while (!page.empty()) {
    const size_t stop = std::min(page.find('\n'), page.size());
    const std::string_view line = page.substr(0, stop);
    page.remove_prefix(std::min(stop + 1, page.size()));
    if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ' ') continue;
    const std::string_view text = line.substr(name.size() + 1);
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc()) return value;
  }
  return std::nullopt;
}

}  // namespace quorate::app::doctor
