// world/real/connection.h: one TCP connection to a member, from its first byte to its last.
//
// connecting -> greeting -> established -> closed, never back. With a channel of world/secure.h
// the TLS handshake is the first part of greeting, within the same time. The owner judges the hello
// and then either establishes or closes. Who asks instead of greeting gets an answer and is closed.
// Whatever goes wrong ends the connection, once, with a reason; a handshake that takes too long is
// such a thing. Owners may close from any callback.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "world/real/address.h"
#include "world/real/event_loop.h"
#include "world/real/receive_buffer.h"
#include "world/real/send_queue.h"
#include "world/real/tcp_network.h"
#include "world/secure.h"

namespace quorate::world {

// A peer that accepts but never answers would otherwise hold its slot for ever.
inline constexpr Duration kHandshakeTimeout = std::chrono::seconds(3);

class Connection final : public Poller::Handler, public std::enable_shared_from_this<Connection> {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_hello(Connection& connection, const Hello& hello) = 0;
    virtual void on_question(Connection& connection) = 0;  // to be answered with introduce()
    virtual void on_frame(Connection& connection, Bytes frame) = 0;
    virtual void on_bulk_left(Connection& connection, size_t frames) = 0;
    // Not called for a connection the owner closes itself.
    virtual void on_closed(Connection& connection, const std::string& reason) = 0;
  };

  Connection(EventLoop& loop, Owner& owner, NetworkMetrics& metrics)
      : loop_(loop), owner_(owner), metrics_(metrics) {}
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() override { close(); }

  // The connection is to `peer` and greets it as soon as it stands. The address is shown in logs.
  // `channel`: null for a plain one.
  void dial(const SocketAddress& address, NodeId peer, const Hello& hello,
            std::unique_ptr<SecureChannel> channel);
  // Takes over an accepted descriptor and waits for the other side's hello.
  void accept(int descriptor, const SocketAddress& address, std::unique_ptr<SecureChannel> channel);
  void answer(const Hello& hello);
  // Sends that and closes.
  void introduce(const Bytes& introduction);
  void establish(NodeId peer);
  void close();

  // Queues; false when the lane is full or nothing is established. flush() hands it on.
  bool send(Lane lane, const Bytes& frame);
  void flush();

  NodeId peer() const { return peer_; }
  bool dialled() const { return dialled_; }
  bool established() const { return state_ == State::established; }
  bool was_established() const { return was_established_; }
  bool was_asked() const { return was_asked_; }
  // TLS ended it: one side finds fault with what the other one showed.
  bool was_distrusted() const { return channel_ != nullptr && !channel_->problem().empty(); }
  const std::string& address() const { return address_; }
  // Set by the owner while the connection stands on its list of those to flush.
  bool marked = false;

  void on_ready(bool readable, bool writable, bool broken) override;

 private:
  enum class State : uint8_t { fresh, connecting, greeting, answering, established, closed };
  void begin(int descriptor, State state);
  void finish_connecting();
  void read();
  bool receive(std::span<uint8_t> space, size_t& size);
  bool read_plain();
  bool read_sealed();
  void end_sealed();
  bool parse();
  bool parse_hello();
  void end(const std::string& reason);
  bool bulk_allowed() const;
  void wait_for_bulk();
  void watch_writes(bool wanted);
  ssize_t write_some(bool with_bulk, size_t& offered);
  size_t seal_some();
  void flush_sealed();

  EventLoop& loop_;
  Owner& owner_;
  NetworkMetrics& metrics_;
  State state_ = State::fresh;
  int descriptor_ = -1;
  NodeId peer_;
  bool dialled_ = false;
  bool was_established_ = false;
  bool was_asked_ = false;
  bool watching_writes_ = false;
  std::string address_;
  std::string greeting_;  // sent once connected
  TimerId handshake_timer_ = 0;
  TimerId bulk_timer_ = 0;
  std::unique_ptr<SecureChannel> channel_;
  std::string sealed_;  // what the channel gave, on its way to the socket
  size_t sealed_sent_ = 0;
  ReceiveBuffer received_;
  SendQueue queue_;
};

}  // namespace quorate::world
