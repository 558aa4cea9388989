#include "front/grpc/server.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "front/grpc/connection.h"
#include "front/grpc/gateway.h"
#include "front/grpc/limits.h"
#include "front/grpc/listener.h"

namespace quorate::front::grpc {

// Hooks and timers cannot be taken back from every executor: they hold this, and find out.
struct Server::Shared {
  Server* server = nullptr;
};

Server::Server(world::Executor& executor, world::Poller& poller, ServerOptions options)
    : executor_(executor),
      poller_(poller),
      options_(std::move(options)),
      read_buffer_(kReadBytesMax, '\0'),
      shared_(std::make_shared<Shared>()) {
  shared_->server = this;
  executor_.at_turn_end([shared = shared_] {
    if (shared->server != nullptr) shared->server->on_turn_end();
  });
}

Server::~Server() {
  shared_->server = nullptr;
  if (sweep_timer_ != 0) executor_.cancel(sweep_timer_);
  close_all();
  connections_.clear();
}

void Server::close_all() {
  listeners_.clear();
  for (const auto& connection : connections_) connection->close();
}

void Server::add_unary(std::string_view service, std::string_view name, UnaryHandler handler) {
  auto method = std::make_unique<Method>();
  method->position = methods_in_order_.size();
  method->service = service;
  method->name = name;
  method->unary = std::move(handler);
  methods_in_order_.push_back(method.get());
  methods_["/" + method->service + "/" + method->name] = std::move(method);
}

void Server::add_stream(std::string_view service, std::string_view name, StreamHandler& handler) {
  auto method = std::make_unique<Method>();
  method->position = methods_in_order_.size();
  method->service = service;
  method->name = name;
  method->stream = &handler;
  methods_in_order_.push_back(method.get());
  methods_["/" + method->service + "/" + method->name] = std::move(method);
}

Result<uint16_t> Server::listen(const std::string& address, Door door) {
  if (door.security != nullptr) plain_buffer_.resize(kReadBytesMax);
  auto listener = Listener::open(poller_, address,
                                 [this, door](int descriptor) { on_accepted(descriptor, door); });
  if (!listener) return std::unexpected(listener.error());
  const uint16_t port = (*listener)->port();
  listeners_.push_back(std::move(*listener));
  return port;
}

void Server::drain() {
  draining_ = true;
  listeners_.clear();
  for (const auto& connection : connections_) connection->drain();
}

// A stranger that only opens connections fills the room for a moment, never for good.
bool Server::admits_handshake() {
  if (handshakes_ < kHandshakesMax / options_.sharers) return true;
  Connection* oldest = nullptr;
  for (const auto& connection : connections_) {
    if (!connection->shaking_hands()) continue;
    if (oldest == nullptr || connection->opened() < oldest->opened()) oldest = connection.get();
  }
  const bool gives_way = oldest != nullptr && now() - oldest->opened() >= kHandshakePatience;
  complain(std::to_string(handshakes_) + " TLS handshakes are under way: " +
           (gives_way ? "gave up the oldest" : "turned a client away") +
           "; look for what floods the client port");
  if (gives_way) oldest->close();
  return gives_way;
}

bool Server::may_shake_hands() {
  if (handshake_steps_ >= kHandshakeStepsPerTurnMax) return false;
  ++handshake_steps_;
  return true;
}

void Server::complain(const std::string& text) {
  if (now() - complaints_since_ >= std::chrono::seconds(1)) {
    complaints_since_ = now();
    complaints_ = 0;
  }
  if (++complaints_ <= kComplaintsPerSecondMax) log(LogLevel::warn, text);
}

bool Server::admits(bool secured) {
  if (connections_.size() < kConnectionsMax / options_.sharers) {
    if (!secured || admits_handshake()) return true;
  }
  ++metrics_.connections_refused;
  return false;
}

void Server::on_accepted(int descriptor, const Door& door) {
  // Made here in any case: what secures this port is asked on one thread only.
  const bool secured = door.security != nullptr;
  if (receiver_) {
    return receiver_(descriptor, secured ? door.security->accept() : nullptr, door);
  }
  if (!admits(secured)) {
    ::close(descriptor);
    return;
  }
  adopt(descriptor, secured ? door.security->accept() : nullptr, door);
}

void Server::take_over(int descriptor, std::unique_ptr<world::SecureChannel> channel,
                       const Door& door) {
  if (channel != nullptr) plain_buffer_.resize(kReadBytesMax);
  if (!admits(channel != nullptr)) {
    ::close(descriptor);
    return;
  }
  adopt(descriptor, std::move(channel), door);
}

void Server::adopt(int descriptor, std::unique_ptr<world::SecureChannel> channel,
                   const Door& door) {
  auto connection = std::make_unique<Connection>(*this, descriptor, std::move(channel), door);
  connection->position = connections_.size();
  Connection& taken = *connection;
  connections_.push_back(std::move(connection));
  metrics_.connections = connections_.size();
  if (auto started = taken.start(); !started) {
    log(LogLevel::warn, "a client was turned away: " + started.error().text);
    taken.close();
    return;
  }
  if (sweep_timer_ == 0) arm_sweep();
}

void Server::arm_sweep() {
  sweep_timer_ = executor_.at(now() + kSweepInterval, [shared = shared_] {
    if (shared->server != nullptr) shared->server->on_sweep();
  });
}

void Server::on_sweep() {
  sweep_timer_ = 0;
  const Time now_time = now();
  for (const auto& connection : connections_) connection->sweep(now_time);
  if (!connections_.empty()) arm_sweep();
}

void Server::mark_dirty(Bearer& connection) {
  if (connection.dirty) return;
  connection.dirty = true;
  dirty_.push_back(&connection);
  if (in_event_ || turn_requested_) return;
  // The call may come from a hook that runs behind ours: make sure that another turn ends.
  turn_requested_ = true;
  executor_.post([] {});
}

void Server::forget_bearer(Bearer& bearer) {
  if (std::exchange(bearer.dirty, false)) std::erase(dirty_, &bearer);
}

void Server::retire(Connection& connection) {
  if (options_.departures != nullptr) options_.departures->on_connection_over(connection);
  retired_.push_back(&connection);
}

void Server::on_turn_end() {
  turn_requested_ = false;
  handshake_steps_ = 0;
  std::vector<Bearer*> round;
  round.swap(dirty_);
  for (Bearer* connection : round) connection->dirty = false;
  for (Bearer* connection : round) {
    if (connection->flush()) mark_dirty(*connection);
  }
  for (Connection* connection : retired_) {
    if (connection->dirty) std::erase(dirty_, static_cast<Bearer*>(connection));
    const size_t position = connection->position;
    std::swap(connections_[position], connections_.back());
    connections_[position]->position = position;
    connections_.pop_back();
  }
  retired_.clear();
  metrics_.connections = connections_.size();
  if (dirty_.empty()) {
    round.clear();
    dirty_.swap(round);  // keeps the allocation
  }
}

std::string_view Server::message(CallId id) const {
  const Call* call = calls_.find(id);
  if (call == nullptr) return {};
  return read_message_frame(call->inbound).message;
}

void Server::release_message(CallId id) {
  Call* call = calls_.find(id);
  if (call == nullptr || !call->dispatched) return;
  if (call->inbound.capacity() > kKeptBufferBytesMax) std::string().swap(call->inbound);
}

void Server::set_tag(CallId id, uint64_t tag) {
  if (Call* call = calls_.find(id); call != nullptr) call->tag = tag;
}

std::string_view Server::peer_common_name(CallId id) const {
  const Call* call = calls_.find(id);
  return call == nullptr || call->posted ? std::string_view() : call->connection->common_name();
}

size_t Server::unsent_bytes(CallId id) const {
  const Call* call = calls_.find(id);
  return call == nullptr ? 0 : call->unsent() + call->away;
}

bool Server::congested(CallId id) const {
  const Call* call = calls_.find(id);
  return call != nullptr && call->connection->unsent() > kUnsentBytesMax;
}

bool Server::must_wait(CallId id, RoomWaiter& waiter) {
  Call* call = calls_.find(id);
  if (call == nullptr || !call->connection->full()) return false;
  CHECK(call->waiter == nullptr, "a call waits for one thing");
  call->waiter = &waiter;
  call->connection->wait_for_room(id);
  return true;
}

void Server::send(CallId id, std::string_view head, const Bytes& body) {
  Call* call = calls_.find(id);
  if (call == nullptr || call->finished) return;
  if (call->posted && !call->ferried &&
      options_.gateway->shape(call->route) != Gateway::Shape::one) {
    return send_result(*call, head, body);
  }
  if (call->method != nullptr) ++counts_of(*call).messages_sent;
  append_message_prefix(head.size() + body.size(), call->output.text());
  call->output.add(head, body);
  Bearer& connection = *call->connection;
  connection.count_unsent(kMessagePrefixBytes + head.size() + body.size());
  if (call->posted && !call->ferried) return;  // a page leaves whole, at the end
  connection.respond(*call);
  mark_dirty(connection);
}

void Server::send_frames(Call& call, size_t size, Output& from) {
  from.move(size, call.output);
  Bearer& connection = *call.connection;
  connection.count_unsent(size);
  connection.respond(call);
  mark_dirty(connection);
}

void Server::finish(CallId id, Status status) {
  Call* call = calls_.find(id);
  if (call != nullptr && !call->finished) finish_call(*call, std::move(status));
}

Method& Server::counts_of(const Call& call) { return const_cast<Method&>(*call.method); }

void Server::count_handled(const Call& call, Code code) {
  Method& counts = counts_of(call);
  ++counts.handled.at(static_cast<size_t>(code));
  counts.times.add(now() - call.started);
}

void Server::finish_call(Call& call, Status status) {
  if (call.crossed) {
    call.complete = true;  // whatever else its client sends
    return options_.departures->on_refusal(call, status);
  }
  call.finished = true;
  call.status = std::move(status);
  if (call.method != nullptr) count_handled(call, call.status.code);
  if (call.posted && !call.ferried) render_posted(call);
  Bearer& connection = *call.connection;
  connection.respond(call);  // HTTP/1.1 lets go of the call in here
  mark_dirty(connection);
}

void Server::answer(CallId id, std::string_view head, const Bytes& body) {
  send(id, head, body);
  finish(id, Status{});
}

void Server::answer_page(CallId id, int http_status, std::string_view type, std::string_view body) {
  Call* call = calls_.find(id);
  if (call == nullptr || call->finished) return;
  call->page = true;
  call->http_status = http_status;
  call->page_type = type;
  call->output.append(body);
  call->connection->count_unsent(body.size());
  finish_call(*call, Status{});
}

// Codes and words are those of grpc-go, which clients of this API know.
Status Server::check_headers(Call& call) {
  if (call.http_method != HttpMethod::post) {
    call.http_status = 405;
    return {Code::internal, "http2Server.operateHeaders received a method which should be POST"};
  }
  if (call.header_fields > kHeaderFieldsMax || call.header_bytes > kHeaderListBytesMax) {
    call.http_status = 431;
    return {Code::resource_exhausted, "the request's headers are larger than this server takes"};
  }
  if (!call.grpc_content) {
    call.http_status = 415;
    return {Code::invalid_argument,
            "invalid gRPC request content-type \"" + call.content_type + "\""};
  }
  if (call.timeout_malformed) {
    call.http_status = 400;
    return {Code::internal, "malformed grpc-timeout"};
  }
  path_scratch_ = call.path;
  const auto found = methods_.find(path_scratch_);
  if (found == methods_.end()) {
    const size_t slash = call.path.rfind('/');
    if (slash == 0 || slash == std::string::npos || call.path[0] != '/') {
      return {Code::unimplemented, "malformed method name: \"" + call.path + "\""};
    }
    const std::string service = call.path.substr(1, slash - 1);
    for (const Method* method : methods_in_order_) {
      if (method->service != service) continue;
      return {Code::unimplemented,
              "unknown method " + call.path.substr(slash + 1) + " for service " + service};
    }
    return {Code::unimplemented, "unknown service " + service};
  }
  call.method = found->second.get();
  ++found->second->started;
  if (!call.metadata.encoding.empty() && call.metadata.encoding != "identity") {
    return {Code::unimplemented, "grpc: Decompressor is not installed for grpc-encoding \"" +
                                     call.metadata.encoding + "\""};
  }
  return {};
}

void Server::on_headers(Call& call) {
  call.headers_done = true;
  call.started = now();
  if (!offers_calls(call.connection->offer())) {
    return finish_call(call, {Code::unimplemented,
                              "this address serves pages over HTTP, not gRPC; use one of "
                              "--advertise-client-urls"});
  }
  if (Status status = check_headers(call); status.code != Code::ok) {
    finish_call(call, std::move(status));
    return;
  }
  open(call);
}

// Its headers are in order.
void Server::open(Call& call) {
  if (call.deadline != kNever) {
    // The header gave a span; the call began when its headers were complete.
    call.deadline = call.started + call.deadline.time_since_epoch();
  }
  begin(call);
}

void Server::begin(Call& call) {
  if (call.method->stream == nullptr) return;
  // Where it only passes through, the node's side keeps the time.
  if (call.deadline != kNever && options_.departures == nullptr) arm_deadline(call);
  call.held = options_.gate != nullptr && options_.gate->holds(call.id);
  if (!call.held) call.method->stream->on_open(call.id);
}

void Server::resume(CallId id) {
  Call* call = calls_.find(id);
  if (call == nullptr || !std::exchange(call->held, false) || call->finished) return;
  if (call->method->stream == nullptr) return run_unary(*call);
  call->method->stream->on_open(id);
  if (calls_.find(id) == nullptr) return;
  on_stream_data(*call, {});
  if (calls_.find(id) == nullptr || call->finished || !call->remote_closed) return;
  call->method->stream->on_half_close(id);
}

void Server::arm_deadline(const Call& call) {
  executor_.at(call.deadline, [shared = shared_, id = call.id] {
    if (shared->server == nullptr) return;
    shared->server->finish(id, {Code::deadline_exceeded, "context deadline exceeded"});
  });
}

Status Server::check_frame(const Call& call, const MessageFrame& frame) const {
  if (frame.compressed) {
    if (call.metadata.encoding.empty() || call.metadata.encoding == "identity") {
      return {Code::internal, "grpc: compressed flag set with identity or empty encoding"};
    }
    return {Code::unimplemented, "grpc: Decompressor is not installed"};
  }
  if (frame.size > options_.message_bytes_max) {
    return {Code::resource_exhausted, "grpc: received message larger than max (" +
                                          std::to_string(frame.size) + " vs. " +
                                          std::to_string(options_.message_bytes_max) + ")"};
  }
  return {};
}

void Server::on_data(Call& call, std::string_view data) {
  if (call.finished || call.complete || call.method == nullptr) return;
  if (call.posted) return on_posted_data(call, data);
  Bearer& connection = *call.connection;
  if (connection.unfinished() + data.size() > kUnfinishedBytesMax) {
    finish_call(call,
                {Code::resource_exhausted, "too many unfinished request bytes on one connection"});
    return;
  }
  call.inbound.append(data);
  connection.count_unfinished(data.size());
  if (call.method->stream != nullptr) {
    on_stream_data(call, data);
    return;
  }
  const MessageFrame frame = read_message_frame(call.inbound);
  if (!frame.has_prefix) return;
  if (Status status = check_frame(call, frame); status.code != Code::ok) {
    finish_call(call, std::move(status));
    return;
  }
  if (frame.complete) take_request(call);
}

void Server::take_request(Call& call) {
  call.complete = true;
  if (call.connection->full()) {
    call.connection->wait_for_room(call.id);
  } else {
    dispatch(call);
  }
}

void Server::dispatch(Call& call) {
  call.held = options_.gate != nullptr && options_.gate->holds(call.id);
  if (!call.held) run_unary(call);
}

void Server::run_unary(Call& call) {
  call.connection->count_consumed(call.inbound.size());
  call.dispatched = true;
  ++counts_of(call).messages_received;
  call.method->unary(call.id, read_message_frame(call.inbound).message);
}

void Server::on_stream_data(Call& call, std::string_view) {
  const CallId id = call.id;
  size_t consumed = 0;
  while (!call.finished && !call.held) {
    const MessageFrame frame = read_message_frame(std::string_view(call.inbound).substr(consumed));
    if (!frame.has_prefix) break;
    if (Status status = check_frame(call, frame); status.code != Code::ok) {
      finish_call(call, std::move(status));
      break;
    }
    if (!frame.complete) break;
    consumed += kMessagePrefixBytes + frame.size;
    ++counts_of(call).messages_received;
    call.method->stream->on_message(id, frame.message);
    if (calls_.find(id) == nullptr) return;  // HTTP/1.1 has let go of it
  }
  call.connection->count_consumed(consumed);
  call.inbound.erase(0, consumed);
}

void Server::on_half_close(Call& call) {
  call.remote_closed = true;
  if (call.finished || call.method == nullptr) return;
  const bool json = call.posted && !call.ferried;
  if (json && !call.complete && !on_posted_end(call)) return;
  if (call.method->stream != nullptr) {
    if (!call.held) call.method->stream->on_half_close(call.id);
  } else if (!call.complete) {
    finish_call(call, {Code::internal, "the request ended before its message was complete"});
  }
}

void Server::on_page(Call& call) {
  call.headers_done = true;
  call.page = true;
  if (turned_away(call)) return;
  if (call.http_method == HttpMethod::options) return answer_page(call.id, 200, {}, {});
  run_page(call);
}

void Server::run_page(Call& call) {
  const std::string path = call.path;
  const size_t mark = path.find('?');
  PageRequest request;
  request.offer = call.connection->offer();
  request.path = std::string_view(path).substr(0, mark);
  if (mark != std::string::npos) request.query = std::string_view(path).substr(mark + 1);
  if (request.offer == Offer::calls) {
    answer_page(call.id, 404, "text/plain; charset=utf-8",
                "this address serves gRPC only; pages are at --listen-client-http-urls\n");
  } else if (size_t route = 0;
             offers_json(request.offer) && posted_method(request.path, route) != nullptr) {
    answer_page(call.id, 501, "application/json",
                options_.gateway->write_error({Code::unimplemented, "Method Not Allowed"}));
  } else if (options_.pages) {
    options_.pages(call.id, request);
  } else {
    answer_page(call.id, 404, "text/plain; charset=utf-8", "404 page not found\n");
  }
}

void Server::forget_call(Call& call) {
  const CallId id = call.id;
  const Method* method = call.method;
  if (method != nullptr && !call.finished) count_handled(call, Code::canceled);
  if (options_.departures != nullptr) options_.departures->on_call_over(call);
  call.connection->drop(call);
  calls_.release(call);
  if (method != nullptr && method->stream != nullptr) method->stream->on_closed(id);
}

// ---- The node's side of calls that cross threads.

void Server::take_stream_data(Call& call, std::string_view frame) {
  if (call.finished) return;
  if (call.connection->unfinished() + frame.size() > kUnfinishedBytesMax) {
    finish_call(call,
                {Code::resource_exhausted, "too many unfinished request bytes on one connection"});
    return;
  }
  call.inbound.append(frame);
  call.connection->count_unfinished(frame.size());
  on_stream_data(call, {});
}

void Server::abandon(Call& call, Code code) {
  if (code != Code::canceled && call.method != nullptr && !std::exchange(call.finished, true)) {
    count_handled(call, code);
  }
  forget_call(call);
}

void Server::count_turned_away(size_t method, Code code) {
  Method& counts = const_cast<Method&>(*methods_in_order_.at(method));
  ++counts.started;
  ++counts.handled.at(static_cast<size_t>(code));
  counts.times.add({});
}

void Server::count_elsewhere(const ServerMetrics& before, const ServerMetrics& after) {
  elsewhere_.bytes_received += after.bytes_received - before.bytes_received;
  elsewhere_.bytes_sent += after.bytes_sent - before.bytes_sent;
  elsewhere_.connections += after.connections - before.connections;
  elsewhere_.connections_refused += after.connections_refused - before.connections_refused;
  elsewhere_.handshakes_failed += after.handshakes_failed - before.handshakes_failed;
}

ServerMetrics Server::metrics() const {
  ServerMetrics sum = metrics_;
  sum.bytes_received += elsewhere_.bytes_received;
  sum.bytes_sent += elsewhere_.bytes_sent;
  sum.connections += elsewhere_.connections;
  sum.connections_refused += elsewhere_.connections_refused;
  sum.handshakes_failed += elsewhere_.handshakes_failed;
  return sum;
}

}  // namespace quorate::front::grpc
