// front/grpc/test_client.h: for tests: a client that can misbehave. Blocking, one socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct nghttp2_session;

namespace quorate::front::grpc {

// A plain TCP connection to this machine.
class TestSocket {
 public:
  explicit TestSocket(uint16_t port);
  ~TestSocket();
  TestSocket(const TestSocket&) = delete;
  TestSocket& operator=(const TestSocket&) = delete;
  void send(std::string_view bytes);  // stops quietly when the server has closed
  // What arrives until `marker` has been seen, the server closes, or the time is over.
  std::string receive_until(std::string_view marker,
                            std::chrono::milliseconds patience = std::chrono::seconds(5));
  // False: nothing within the time. An empty string appended: closed.
  bool receive_some(std::string& target, std::chrono::milliseconds patience);
  bool closed() const { return closed_; }
  void shrink_receive_buffer();

 private:
  int descriptor_;
  bool closed_ = false;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct TestAnswer {
  std::map<std::string, std::string> headers;  // trailers too
  std::string body;
  bool ended = false;
  uint32_t error = 0;  // of RST_STREAM
  int grpc_status() const;
  std::string grpc_message() const;  // decoded
  std::string first_message() const;
};

class TestClient {
 public:
  explicit TestClient(uint16_t port);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  static std::string frame(std::string_view message);  // with its 5-byte prefix
  static Headers grpc_headers(std::string_view path, Headers more = {});

  // One unary call, whole.
  TestAnswer call(std::string_view path, std::string_view message, Headers more = {});
  int32_t start(const Headers& headers, std::string body, bool end = true);
  void send(int32_t stream, std::string_view bytes, bool end = false);  // more of its body
  void reset(int32_t stream, uint32_t error);
  void ping();
  // Sends and receives until the stream has ended, or `done` says so, or 5 s are over.
  TestAnswer& wait(int32_t stream);
  void pump(std::chrono::milliseconds patience);
  void flush();
  TestAnswer& answer(int32_t stream) { return answers_[stream]; }
  TestAnswer take(int32_t stream);  // and forgets the stream

  bool goaway = false;
  uint32_t goaway_error = 0;
  int ping_acks = 0;
  bool connection_closed() const { return socket_.closed(); }
  TestSocket& socket() { return socket_; }

 private:
  struct Body {
    std::string bytes;
    size_t sent = 0;
    bool end = true;
  };
  struct Callbacks;

  TestSocket socket_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, TestAnswer> answers_;
  std::map<int32_t, Body> bodies_;
};

}  // namespace quorate::front::grpc
