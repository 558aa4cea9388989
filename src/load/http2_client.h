// load/http2_client.h: gRPC calls over many HTTP/2 connections, as cheaply as they can be made.
//
// One thread, one epoll. Calls come from a pool and keep their memory; a body is copied once into
// the frame; an answer that nobody looks into is only counted. What is started between two turns
// leaves in one write per connection.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "load/dial.h"
#include "load/limits.h"
#include "load/outcome.h"
#include "world/secure.h"

namespace quorate::load {

class Connection;
struct Call;

class CallHandler {
 public:
  // One message of the answer; only for calls that keep them.
  virtual void on_message(Call& call, std::string_view message) = 0;
  // The call is over and goes back to the pool. `text` is what the server said about it.
  virtual void on_end(Call& call, Outcome outcome, std::string_view text) = 0;

 protected:
  ~CallHandler() = default;
};

struct Call {
  CallHandler* handler = nullptr;
  uint64_t tag = 0;             // the caller's
  size_t answer_bytes = 0;      // of all messages so far, with their prefixes
  bool keeps_messages = false;  // else they are only counted
  bool streams = false;         // more messages may follow: send()
  // The client's own.
  Connection* connection = nullptr;
  size_t place = 0;  // among the calls of its connection
  int32_t stream = 0;
  bool status_came = false;
  bool deferred = false;
  Outcome outcome = Outcome::no_status;
  std::string text;
  std::string output;
  size_t sent = 0;
  std::string input;  // of a message that is not whole yet
};

// Who is asked, and as whom.
struct Servers {
  std::vector<std::string> endpoints = {};  // host:port, https://host:port
  world::Security* security = nullptr;      // for those that are https://; outlives the client
  std::string token = {};                   // sent with every call; empty: none
};

class Http2Client {
 public:
  // Connections are dealt out to the endpoints in turn.
  Http2Client(Servers servers, uint32_t connections);
  ~Http2Client();
  Http2Client(const Http2Client&) = delete;
  Http2Client& operator=(const Http2Client&) = delete;

  // Until all connections are open, or `patience` is over.
  Result<void> connect(Duration patience);
  bool ready() const { return open_ != 0; }
  // Only when ready(). `path` must live for ever. The next connection in turn takes the call.
  Call& start(std::string_view path, std::string_view message, CallHandler& handler, uint64_t tag,
              bool keeps_messages);
  // A stream of messages in both directions.
  Call& open_stream(std::string_view path, CallHandler& handler, uint64_t tag);
  void send(Call& call, std::string_view message);
  // Sends what was started, waits up to `patience` for something to happen, and handles it.
  void turn(Duration patience);
  uint64_t connections_lost() const { return lost_; }
  // When the bytes came that are being handled: the clock is read once for all of them.
  Time read_at() const { return read_at_; }

 private:
  friend class Connection;

  Call& take_call(CallHandler& handler, uint64_t tag);
  void give_back(Call& call);
  Connection& next_open();
  void mark(Connection& connection);
  void flush_marked();
  void reconnect_due();

  std::vector<Endpoint> endpoints_;
  world::Security* security_;
  std::string token_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Connection*> marked_;
  std::vector<Connection*> flushing_;
  std::vector<std::unique_ptr<Call>> all_calls_;
  std::vector<Call*> free_calls_;
  std::string read_buffer_;
  std::string plain_buffer_;  // what a secured connection has read; empty without such
  std::string unsealed_;      // what it is about to write
  std::string last_problem_;  // why a connection could not be opened or was lost
  Time read_at_;
  int poll_ = -1;
  size_t turn_ = 0;
  uint32_t open_ = 0;
  uint32_t closed_ = 0;  // wait to be tried again
  uint64_t lost_ = 0;
};

}  // namespace quorate::load
