// front/grpc/connection.h: one client's socket, and the protocol that its first bytes chose.
// Between the two there may be TLS: then everything below is what a channel has opened.
//
// Input flows into a Session all the time, since it carries the window updates that let answers
// out. While too many answers wait for the client, complete unary calls wait too, unrun; their
// number and bytes are bounded. Output is gathered and written once per turn.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "front/grpc/bearer.h"
#include "front/grpc/call.h"
#include "front/grpc/server.h"
#include "world/poller.h"
#include "world/secure.h"

namespace quorate::front::grpc {

// HTTP/2 or HTTP/1.1 on one connection.
class Session {
 public:
  virtual ~Session() = default;
  // Takes all of `input`. False: the connection is beyond repair, close it after the output.
  virtual bool feed(std::string_view input) = 0;
  virtual void fill(Output& output) = 0;  // appends what is ready, up to a limit
  virtual bool finished() const = 0;      // nothing more to read and nothing to write
  virtual void respond(Call& call) = 0;   // the call has new output or has finished
  virtual void drain() = 0;               // no new calls, please
  virtual Time deadline() const = 0;      // close it if nothing changed by then
  virtual bool on_input_end() = 0;        // the client sends no more; false: close now
};

class Connection final : public Bearer, public world::Poller::Handler {
 public:
  // Without a channel the connection is plain. `plain_too`: or if the client begins so.
  Connection(Server& server, int descriptor, std::unique_ptr<world::SecureChannel> channel,
             const Door& door);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<void> start();
  void on_ready(bool readable, bool writable, bool broken) override;
  bool flush() override;  // with one write
  void respond(Call& call) override { session_->respond(call); }
  void sweep(Time now);
  void drain();
  bool closed() const override { return descriptor_ < 0; }
  bool shaking_hands() const { return shaking_hands_; }
  Time opened() const { return opened_; }
  std::string_view common_name() const override {
    return channel_ == nullptr ? std::string_view() : channel_->common_name();
  }
  void close();

  size_t unsent() const override { return unsent_ + output_.size(); }

  size_t position = 0;  // in the server's table

 private:
  void read();
  void run_input(std::string_view input);
  void run_sealed(std::string_view input);
  void end_handshake();
  void turn_away(bool sent_plain_text);
  void say_goodbye();
  void fill(Output& output);
  bool write(Output& output);
  bool write_fresh();
  bool write_ready();
  bool choose_session(std::string_view& input);
  void update_interest();

  int descriptor_;
  std::unique_ptr<world::SecureChannel> channel_;
  std::unique_ptr<Session> session_;
  Time opened_;
  std::string input_;       // while the protocol is unknown
  Output output_;           // not yet written
  bool closing_ = false;    // close once the output is gone
  bool plain_too_ = false;  // until the first byte has come
  bool shaking_hands_ = false;
  bool reading_ = true;
  bool write_blocked_ = false;
  bool watching_read_ = true;
  bool watching_write_ = false;
};

}  // namespace quorate::front::grpc
