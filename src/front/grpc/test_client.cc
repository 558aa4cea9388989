#include "front/grpc/test_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "front/grpc/call.h"
#include "front/grpc/status.h"

namespace quorate::front::grpc {

TestSocket::TestSocket(uint16_t port) : descriptor_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(::connect(descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0,
        "the server under test listens");
  const int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

TestSocket::~TestSocket() { ::close(descriptor_); }

void TestSocket::shrink_receive_buffer() {
  const int size = 4096;
  ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

void TestSocket::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

bool TestSocket::receive_some(std::string& target, std::chrono::milliseconds patience) {
  pollfd wanted{descriptor_, POLLIN, 0};
  if (closed_ || ::poll(&wanted, 1, static_cast<int>(patience.count())) <= 0) return false;
  std::array<char, 65536> buffer{};
  const ssize_t got = ::recv(descriptor_, buffer.data(), buffer.size(), 0);
  if (got <= 0) {
    closed_ = true;
  } else {
    target.append(buffer.data(), static_cast<size_t>(got));
  }
  return true;
}

std::string TestSocket::receive_until(std::string_view marker, std::chrono::milliseconds patience) {
  std::string all;
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!closed_ && (marker.empty() || all.find(marker) == std::string::npos)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !receive_some(all, left)) break;
  }
  return all;
}

int TestAnswer::grpc_status() const {
  const auto found = headers.find("grpc-status");
  return found == headers.end() ? -1 : std::stoi(found->second);
}

std::string TestAnswer::grpc_message() const {
  const auto found = headers.find("grpc-message");
  return found == headers.end() ? "" : percent_decode(found->second);
}

std::string TestAnswer::first_message() const {
  return std::string(read_message_frame(body).message);
}

struct TestClient::Callbacks {
  static TestClient& client(void* user) { return *static_cast<TestClient*>(user); }
  // NOLINTNEXTLINE(readability-function-size): the signature is the library's.
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                       size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                       void* user) {
    client(user)
        .answers_[frame->hd.stream_id]
        .headers[std::string(reinterpret_cast<const char*>(name), name_size)] =
        std::string(reinterpret_cast<const char*>(value), value_size);
    return 0;
  }
  static int on_chunk(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                      void* user) {
    client(user).answers_[stream].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t stream, uint32_t error, void* user) {
    client(user).answers_[stream].ended = true;
    client(user).answers_[stream].error = error;
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      client(user).goaway = true;
      client(user).goaway_error = frame->goaway.error_code;
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
      ++client(user).ping_acks;
    }
    return 0;
  }
  // NOLINTNEXTLINE(readability-function-size): the signature is the library's.
  static ssize_t on_read(nghttp2_session*, int32_t stream, uint8_t* target, size_t size,
                         uint32_t* flags, nghttp2_data_source*, void* user) {
    Body& body = client(user).bodies_[stream];
    const size_t taken = std::min(size, body.bytes.size() - body.sent);
    if (taken == 0 && !body.end) return NGHTTP2_ERR_DEFERRED;
    std::copy_n(body.bytes.data() + body.sent, taken, target);
    body.sent += taken;
    if (body.sent == body.bytes.size() && body.end) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(taken);
  }
};

TestClient::TestClient(uint16_t port) : socket_(port) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_chunk);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_client_new(&session_, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
}

TestClient::~TestClient() { nghttp2_session_del(session_); }

std::string TestClient::frame(std::string_view message) {
  std::string framed;
  append_message_prefix(message.size(), framed);
  return framed.append(message);
}

Headers TestClient::grpc_headers(std::string_view path, Headers more) {
  Headers headers = {{":method", "POST"},
                     {":scheme", "http"},
                     {":path", std::string(path)},
                     {":authority", "test"},
                     {"content-type", "application/grpc"},
                     {"te", "trailers"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return headers;
}

int32_t TestClient::start(const Headers& headers, std::string body, bool end) {
  std::vector<nghttp2_nv> list;
  for (const auto& [name, value] : headers) {
    list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(),
                    value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::on_read;
  const bool no_body = body.empty() && end;
  const int32_t stream = nghttp2_submit_request(session_, nullptr, list.data(), list.size(),
                                                no_body ? nullptr : &provider, nullptr);
  bodies_[stream] = {std::move(body), 0, end};
  return stream;
}

void TestClient::send(int32_t stream, std::string_view bytes, bool end) {
  Body& body = bodies_[stream];
  body.bytes.append(bytes);
  body.end = end;
  nghttp2_session_resume_data(session_, stream);
}

void TestClient::reset(int32_t stream, uint32_t error) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, error);
}

void TestClient::ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void TestClient::flush() {
  std::string output;
  const uint8_t* data = nullptr;
  ssize_t size = 0;
  while ((size = nghttp2_session_mem_send(session_, &data)) > 0) {
    output.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
  socket_.send(output);
}

void TestClient::pump(std::chrono::milliseconds patience) {
  flush();
  std::string input;
  if (!socket_.receive_some(input, patience)) return;
  nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(input.data()), input.size());
  flush();
}

TestAnswer& TestClient::wait(int32_t stream) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!answers_[stream].ended && !socket_.closed() && std::chrono::steady_clock::now() < end) {
    pump(std::chrono::milliseconds(50));
  }
  return answers_[stream];
}

TestAnswer TestClient::take(int32_t stream) {
  TestAnswer taken = std::move(answers_[stream]);
  answers_.erase(stream);
  bodies_.erase(stream);
  return taken;
}

TestAnswer TestClient::call(std::string_view path, std::string_view message, Headers more) {
  return wait(start(grpc_headers(path, std::move(more)), frame(message)));
}

}  // namespace quorate::front::grpc
