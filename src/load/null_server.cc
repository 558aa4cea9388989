#include "load/null_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "base/check.h"
#include "load/limits.h"

namespace quorate::load {
namespace {

constexpr uint32_t kStreamsMax = 100'000;  // as many as a client of this tool may want

nghttp2_nv header(std::string_view name, std::string_view value) {
  auto* name_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(name.data()));
  auto* value_bytes = reinterpret_cast<uint8_t*>(const_cast<char*>(value.data()));
  return {name_bytes, value_bytes, name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

class Peer;

class Server final : public NullServer {
 public:
  Server(int listener, uint16_t port, const NullAnswer& answer);
  ~Server() override;
  uint16_t port() const override { return port_; }
  uint64_t answered() const override { return answered_; }
  void turn(Duration patience) override;
  void drop_connections() override { peers_.clear(); }

  const std::string& message() const { return message_; }
  const std::string& text() const { return answer_.text; }
  // The status of the next answer.
  std::string_view next_status() {
    const bool fails = answer_.status != 0 && answered_ % answer_.fail_one_in == 0;
    ++answered_;
    return fails ? std::string_view(status_) : std::string_view("0");
  }
  std::string& read_buffer() { return read_buffer_; }

 private:
  void accept_all();

  int listener_;
  int poll_;
  uint16_t port_;
  NullAnswer answer_;
  std::string status_;
  std::string message_;
  std::string read_buffer_;
  uint64_t answered_ = 0;
  std::unordered_map<int, std::unique_ptr<Peer>> peers_;
};

class Peer {
 public:
  Peer(Server& server, int socket);
  ~Peer() {
    nghttp2_session_del(session_);
    ::close(socket_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // False: this connection is over.
  bool on_ready();

 private:
  bool flush();
  void answer(int32_t stream);
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self);
  static ssize_t on_read(nghttp2_session*, int32_t stream, uint8_t* target, size_t size,
                         uint32_t* flags, nghttp2_data_source* source, void* self);

  Server& server_;
  int socket_;
  nghttp2_session* session_ = nullptr;
  std::string output_;
  size_t written_ = 0;
};

Peer::Peer(Server& server, int socket) : server_(server), socket_(socket) {
  static nghttp2_session_callbacks* const table = [] {
    nghttp2_session_callbacks* made = nullptr;
    CHECK(nghttp2_session_callbacks_new(&made) == 0, "out of memory at start");
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
    return made;
  }();
  nghttp2_option* option = nullptr;
  CHECK(nghttp2_option_new(&option) == 0, "out of memory");
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_no_http_messaging(option, 1);
  CHECK(nghttp2_session_server_new2(&session_, table, this, option) == 0, "out of memory");
  nghttp2_option_del(option);
  const std::array<nghttp2_settings_entry, 2> settings = {
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreamsMax},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindowBytes}}};
  CHECK(nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0,
        "these settings are valid");
  CHECK(nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                              kConnectionWindowBytes) == 0,
        "this window is valid");
}

int Peer::on_frame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
  const bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const bool asks = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
  if (ends && asks) static_cast<Peer*>(self)->answer(frame->hd.stream_id);
  return 0;
}

void Peer::answer(int32_t stream) {
  const std::array<nghttp2_nv, 2> headers = {header(":status", "200"),
                                             header("content-type", "application/grpc")};
  nghttp2_data_provider provider{};
  provider.source.ptr = nullptr;
  provider.read_callback = on_read;
  nghttp2_submit_response(session_, stream, headers.data(), headers.size(), &provider);
}

// NOLINTNEXTLINE(readability-function-size): the signature is the library's.
ssize_t Peer::on_read(nghttp2_session* session, int32_t stream, uint8_t* target, size_t size,
                      uint32_t* flags, nghttp2_data_source*, void* self) {
  auto& me = *static_cast<Peer*>(self);
  const std::string& message = me.server_.message();
  // Where in the message this stream is stands where nghttp2 keeps a pointer for us.
  const auto* const place =
      static_cast<const char*>(nghttp2_session_get_stream_user_data(session, stream));
  const auto sent = place == nullptr ? 0 : static_cast<size_t>(place - message.data());
  const size_t taken = message.copy(reinterpret_cast<char*>(target), size, sent);
  if (sent + taken < message.size()) {
    auto* const next = const_cast<char*>(message.data() + sent + taken);
    nghttp2_session_set_stream_user_data(session, stream, next);
    return static_cast<ssize_t>(taken);
  }
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  const std::string_view status = me.server_.next_status();
  const bool told = status != "0" && !me.server_.text().empty();
  const std::array<nghttp2_nv, 2> trailers = {header("grpc-status", status),
                                              header("grpc-message", me.server_.text())};
  nghttp2_submit_trailer(session, stream, trailers.data(), told ? 2 : 1);
  return static_cast<ssize_t>(taken);
}

bool Peer::flush() {
  for (;;) {
    while (written_ < output_.size()) {
      const ssize_t count =
          ::send(socket_, output_.data() + written_, output_.size() - written_, MSG_NOSIGNAL);
      if (count < 0) return errno == EAGAIN;
      written_ += static_cast<size_t>(count);
    }
    output_.clear();
    written_ = 0;
    while (output_.size() < kWriteBytesMax) {
      const uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) return false;
      if (size == 0) break;
      output_.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
    }
    if (output_.empty()) return true;
  }
}

bool Peer::on_ready() {
  std::string& buffer = server_.read_buffer();
  // Edge-triggered: told once of what there is, so all of it is taken.
  for (;;) {
    const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (count < 0 && errno == EAGAIN) break;
    if (count <= 0) return false;
    const auto* bytes = reinterpret_cast<const uint8_t*>(buffer.data());
    if (nghttp2_session_mem_recv(session_, bytes, static_cast<size_t>(count)) < 0) return false;
    if (static_cast<size_t>(count) < buffer.size()) break;
  }
  return flush();
}

Server::Server(int listener, uint16_t port, const NullAnswer& answer)
    : listener_(listener),
      poll_(::epoll_create1(EPOLL_CLOEXEC)),
      port_(port),
      answer_(answer),
      status_(std::to_string(answer.status)),
      message_(kMessagePrefixBytes + answer.bytes, '\0'),
      read_buffer_(kReadBytesMax, '\0') {
  CHECK(poll_ >= 0, "an epoll descriptor at start");
  for (size_t place = 1; place < kMessagePrefixBytes; ++place) {
    message_[place] = static_cast<char>(answer.bytes >> (8 * (kMessagePrefixBytes - 1 - place)));
  }
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener_;
  CHECK(::epoll_ctl(poll_, EPOLL_CTL_ADD, listener_, &event) == 0, "a fresh descriptor");
}

Server::~Server() {
  peers_.clear();
  ::close(listener_);
  ::close(poll_);
}

void Server::accept_all() {
  for (;;) {
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket < 0) return;
    if (peers_.size() >= kConnectionsMax) {
      ::close(socket);
      continue;
    }
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    peers_[socket] = std::make_unique<Peer>(*this, socket);
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.fd = socket;
    CHECK(::epoll_ctl(poll_, EPOLL_CTL_ADD, socket, &event) == 0, "a fresh descriptor");
  }
}

void Server::turn(Duration patience) {
  std::array<epoll_event, kReadyMax> ready{};
  const timespec wait{static_cast<time_t>(patience.count() / 1'000'000'000),
                      static_cast<long>(patience.count() % 1'000'000'000)};
  const int count = ::epoll_pwait2(poll_, ready.data(), kReadyMax, &wait, nullptr);
  for (int place = 0; place < count; ++place) {
    const int descriptor = ready.at(static_cast<size_t>(place)).data.fd;
    if (descriptor == listener_) {
      accept_all();
    } else if (const auto found = peers_.find(descriptor);
               found != peers_.end() && !found->second->on_ready()) {
      peers_.erase(found);
    }
  }
}

}  // namespace

Result<std::unique_ptr<NullServer>> NullServer::listen(uint16_t port, const NullAnswer& answer) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  CHECK(listener >= 0, "a socket at start");
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener, generic, size) != 0 || ::listen(listener, SOMAXCONN) != 0 ||
      ::getsockname(listener, generic, &size) != 0) {
    const std::string why = std::strerror(errno);
    ::close(listener);
    return fail(ErrorKind::unavailable,
                "cannot listen on 127.0.0.1:" + std::to_string(port) + ": " + why);
  }
  return std::make_unique<Server>(listener, ntohs(address.sin_port), answer);
}

}  // namespace quorate::load
