// front/grpc/server.h: a gRPC server and a small HTTP server on the same ports.
//
// Runs inside the node's event loop: sockets are read in large gulps, every complete request is
// handed to its handler at once, and what a turn answered leaves at its end with one write per
// connection. Handlers name calls by CallId and may answer any time later; an answer to a call
// which is over is dropped. Construct it after the node, so that the node's answers of a turn
// are there when the server's end of the turn comes.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/histogram.h"
#include "base/result.h"
#include "front/grpc/call.h"
#include "front/grpc/http_access.h"
#include "front/grpc/offer.h"
#include "front/grpc/stream_handler.h"
#include "world/executor.h"
#include "world/poller.h"
#include "world/secure.h"

namespace quorate::front::grpc {

class Bearer;
class Connection;
class Gateway;
class Listener;

// Views are valid during the call of the handler; for unary calls Server::message() gives the
// same bytes until the call is over.
using UnaryHandler = std::function<void(CallId, std::string_view message)>;

struct PageRequest {
  std::string_view path;     // without the query
  std::string_view query;    // behind the '?'
  Offer offer = Offer::all;  // of the address that was asked
};
using PageHandler = std::function<void(CallId, const PageRequest&)>;

// From five milliseconds to ten seconds: what dashboards for gRPC servers expect.
inline constexpr std::array<Duration, 11> kCallBounds = {
    std::chrono::milliseconds(5),    std::chrono::milliseconds(10),
    std::chrono::milliseconds(25),   std::chrono::milliseconds(50),
    std::chrono::milliseconds(100),  std::chrono::milliseconds(250),
    std::chrono::milliseconds(500),  std::chrono::milliseconds(1000),
    std::chrono::milliseconds(2500), std::chrono::milliseconds(5000),
    std::chrono::milliseconds(10000)};
using CallTimes = Histogram<kCallBounds>;

struct Method {
  size_t position = 0;  // in the order of registration
  std::string service;
  std::string name;
  UnaryHandler unary;               // exactly one of the two is set
  StreamHandler* stream = nullptr;  // outlives the server
  std::array<uint64_t, kCodeCount> handled{};
  uint64_t started = 0;
  uint64_t messages_received = 0;
  uint64_t messages_sent = 0;
  CallTimes times;  // of those handled
};

struct ServerMetrics {
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t connections = 0;
  uint64_t connections_refused = 0;
  uint64_t handshakes_failed = 0;  // of TLS
};

// What stands at the door of a port: nothing, TLS, or TLS for those who begin with it.
struct Door {
  world::Security* security = nullptr;  // null: plain; outlives the server
  bool plain_too = false;
  Offer offer = Offer::all;
};

// May keep a call from its handler for a while.
class Gate {
 public:
  virtual ~Gate() = default;
  virtual bool holds(CallId call) = 0;  // true: resume() or finish() comes later
};

// Where calls only pass through, on their way to the node's thread: hears when they are over.
class Departures {
 public:
  virtual ~Departures() = default;
  // What its client sent next is refused here. The other side ends it with that status, so that
  // the client sees first what it is answered to everything before.
  virtual void on_refusal(const Call& call, const Status& status) = 0;
  virtual void on_call_over(const Call& call) = 0;
  virtual void on_connection_over(const Bearer& connection) = 0;
};

// Takes a client's socket, and what secures it, in place of the server that accepted it.
using Receiver = std::function<void(int descriptor, std::unique_ptr<world::SecureChannel> channel,
                                    const Door& door)>;

struct ServerOptions {
  size_t message_bytes_max = size_t{2} << 20U;
  PageHandler pages;                 // GET and HEAD that are not gRPC
  const Gateway* gateway = nullptr;  // POST that is not gRPC; outlives the server
  HttpAccess access = {};            // of both
  Gate* gate = nullptr;              // outlives the server
  Departures* departures = nullptr;  // outlives the server
  size_t sharers = 1;                // servers among which the process divides its maxima
};

class Server {
 public:
  Server(world::Executor& executor, world::Poller& poller, ServerOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void add_unary(std::string_view service, std::string_view name, UnaryHandler handler);
  void add_stream(std::string_view service, std::string_view name, StreamHandler& handler);
  Result<uint16_t> listen(const std::string& address, Door door = {});
  // From now on what is accepted goes there.
  void receive_elsewhere(Receiver receiver) { receiver_ = std::move(receiver); }
  void drain();
  void close_all();  // at once; stream handlers hear of it, so call it while they live

  // ---- For handlers. Each takes a call that may be over already.
  bool alive(CallId id) const { return calls_.find(id) != nullptr; }
  // The call, to read from; never kept beyond the current task.
  const Call* find(CallId id) const { return calls_.find(id); }
  std::string_view message(CallId id) const;  // of a unary call
  void release_message(CallId id);            // its bytes are not needed any more
  void set_tag(CallId id, uint64_t tag);
  // Who calls, by the certificate that the client had to show; empty if none had to be shown, and
  // for JSON, which a proxy may have brought here under its own certificate.
  std::string_view peer_common_name(CallId id) const;
  // One message of two parts, so that a shared body needs no copy to get a header in front.
  void send(CallId id, std::string_view head, const Bytes& body);
  void finish(CallId id, Status status);
  void answer(CallId id, std::string_view head, const Bytes& body);  // send, then finish: OK
  void answer_page(CallId id, int http_status, std::string_view type, std::string_view body);
  size_t unsent_bytes(CallId id) const;
  void resume(CallId id);           // the gate held it
  bool congested(CallId id) const;  // its connection holds more than its client reads
  // Whether the call must wait until its client has read; then the waiter, which lives
  // as long as the server takes turns, hears of it, unless the call is over by then. Never more
  // than one for a call.
  bool must_wait(CallId id, RoomWaiter& waiter);

  Time now() const { return executor_.now(); }
  ServerMetrics metrics() const;  // with what is counted elsewhere
  const std::vector<const Method*>& methods() const { return methods_in_order_; }

  // ---- For the connections.
  CallTable& calls() { return calls_; }
  world::Poller& poller() { return poller_; }
  ServerMetrics& counters() { return metrics_; }
  std::string& read_buffer() { return read_buffer_; }
  // What TLS opened of one read, and what it is to seal for one write.
  std::string& plain_buffer() { return plain_buffer_; }
  Output& plain_output() { return plain_output_; }
  // What is about to be written.
  Output& output_buffer() { return output_buffer_; }
  void count_handshake(int change) { handshakes_ += static_cast<size_t>(change); }
  bool may_shake_hands();
  void complain(const std::string& text);  // of what strangers can provoke: at a bounded rate
  const ServerOptions& options() const { return options_; }
  bool draining() const { return draining_; }
  void on_accepted(int descriptor, const Door& door = {});
  // What another server has accepted.
  void take_over(int descriptor, std::unique_ptr<world::SecureChannel> channel, const Door& door);
  void mark_dirty(Bearer& connection);
  void forget_bearer(Bearer& bearer);       // it will be gone
  void enter_event() { in_event_ = true; }  // a turn end is sure to follow
  void leave_event() { in_event_ = false; }
  void retire(Connection& connection);  // destroyed at the end of the turn
  void on_headers(Call& call);          // all of a gRPC call's headers have arrived
  void on_data(Call& call, std::string_view data);
  void on_half_close(Call& call);
  // The headers of a POST that is not gRPC. False: the gateway has no such path; nothing is done.
  bool on_post(Call& call);
  size_t posted_bytes_max() const;
  void take_request(Call& call);  // its message is complete
  void run_unary(Call& call);
  void dispatch(Call& call);  // a unary call whose message is complete
  void on_page(Call& call);
  void run_page(Call& call);
  void forget_call(Call& call);  // the transport is done with it

  // ---- For calls that cross threads: on the node's side,
  void count_started(const Call& call) { ++counts_of(call).started; }
  void begin(Call& call);  // its headers were found in order, its deadline is a moment
  void take_stream_data(Call& call, std::string_view frame);
  void abandon(Call& call, Code code);  // ended on the client's side
  void count_elsewhere(const ServerMetrics& before, const ServerMetrics& after);
  void count_turned_away(size_t method, Code code);
  // and on the client's: moves whole messages, each with its prefix, to the call's output.
  void send_frames(Call& call, size_t size, Output& from);

 private:
  struct Shared;
  bool admits_handshake();
  bool admits(bool secured);
  void adopt(int descriptor, std::unique_ptr<world::SecureChannel> channel, const Door& door);
  void on_turn_end();
  void on_sweep();
  void arm_sweep();
  Status check_headers(Call& call);
  void arm_deadline(const Call& call);
  static Method& counts_of(const Call& call);  // of a call with a method
  void count_handled(const Call& call, Code code);
  void finish_call(Call& call, Status status);
  Status check_frame(const Call& call, const MessageFrame& frame) const;
  void on_stream_data(Call& call, std::string_view data);
  const Method* posted_method(std::string_view path, size_t& route) const;
  void on_posted_data(Call& call, std::string_view data);
  // True: it is a stream that goes on.
  bool on_posted_end(Call& call);
  void take_posted_messages(Call& call);
  bool frame_posted(Call& call, std::string_view json);
  void send_result(Call& call, std::string_view head, const Bytes& body);
  bool turned_away(Call& call);
  void open(Call& call);
  void render_posted(Call& call);

  world::Executor& executor_;
  world::Poller& poller_;
  ServerOptions options_;
  CallTable calls_;
  ServerMetrics metrics_;
  ServerMetrics elsewhere_;
  Receiver receiver_;  // empty: we keep what we accept
  // Keyed by path: "/package.Service/Method".
  std::unordered_map<std::string, std::unique_ptr<Method>> methods_;
  std::vector<const Method*> methods_in_order_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<Bearer*> dirty_;
  std::vector<Connection*> retired_;
  std::string read_buffer_;
  std::string plain_buffer_;  // empty until there is TLS
  Output plain_output_;
  Output output_buffer_;
  std::string path_scratch_;
  size_t handshakes_ = 0;    // under way
  int handshake_steps_ = 0;  // in this turn
  Time complaints_since_;
  int complaints_ = 0;              // since then
  std::shared_ptr<Shared> shared_;  // what outlives us in the executor asks it for us
  world::TimerId sweep_timer_ = 0;
  bool draining_ = false;
  bool in_event_ = false;
  bool turn_requested_ = false;
};

}  // namespace quorate::front::grpc
