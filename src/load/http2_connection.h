// load/http2_connection.h: one socket of the client with its HTTP/2 session.
//
// Closed, connecting, securing (a handshake of TLS) or open; a lost one fails its calls with
// `connection_lost` and is tried again, at the next endpoint.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"
#include "load/http2_client.h"

struct nghttp2_session;

namespace quorate::load {

class Connection {
 public:
  enum class State : uint8_t { closed, connecting, securing, open };

  Connection(Http2Client& client, size_t endpoint) : client_(client), endpoint_(endpoint) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  State state() const { return state_; }
  Time retry_at() const { return retry_at_; }
  void dial();
  void on_ready(bool readable, bool writable);
  void flush();
  void submit(Call& call, std::string_view path);
  void resume(Call& call);

 private:
  friend struct SessionCallbacks;

  const Endpoint& endpoint() const;
  void connected();
  void opened();
  void read();
  void unseal(std::string_view sealed);
  void take(std::string_view plain);
  bool write_pending();  // false: the socket takes no more now, or is broken
  void interest(bool writable);
  void lose(const std::string& why);
  void adopt(Call& call);
  void forget(Call& call);
  void end(Call& call, Outcome outcome);
  bool take_data(Call& call, std::string_view bytes);

  Http2Client& client_;
  size_t endpoint_;
  State state_ = State::closed;
  int socket_ = -1;
  std::unique_ptr<world::SecureChannel> channel_;  // null: plain
  nghttp2_session* session_ = nullptr;
  bool marked_ = false;
  bool wants_write_ = false;
  Time retry_at_;
  std::vector<Call*> calls_;
  std::string output_;  // as the socket takes it
  size_t written_ = 0;

  friend class Http2Client;
};

}  // namespace quorate::load
