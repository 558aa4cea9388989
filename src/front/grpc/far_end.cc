#include "front/grpc/far_end.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "front/grpc/bearer.h"
#include "front/grpc/ferry.h"
#include "front/grpc/limits.h"

namespace quorate::front::grpc {

FarEnd::FarEnd(const Server& node, ClientLoop loop, ServerOptions options, HandOver hand_over)
    : hand_over_(std::move(hand_over)),
      self_(std::make_shared<FarEnd*>(this)),
      server_(*loop.executor, *loop.poller, passing_on(std::move(options))) {
  for (const Method* method : node.methods()) {
    if (method->stream != nullptr) {
      server_.add_stream(method->service, method->name, *this);
    } else {
      server_.add_unary(method->service, method->name,
                        [this](CallId id, std::string_view) { on_unary(id); });
    }
  }
  // Behind the hook of the server: what that sent and ran is told in the same turn.
  loop.executor->at_turn_end([self = self_] {
    if (*self != nullptr) (*self)->on_turn_end();
  });
}

FarEnd::~FarEnd() { *self_ = nullptr; }

ServerOptions FarEnd::passing_on(ServerOptions options) {
  if (options.pages) {
    options.pages = [this](CallId id, const PageRequest&) { on_page(id); };
  }
  options.gate = nullptr;  // it stands on the node's side
  options.departures = this;
  return options;
}

InwardBatch& FarEnd::batch() {
  if (batch_ == nullptr) batch_ = std::make_unique<InwardBatch>();
  return *batch_;
}

Inward& FarEnd::add(Inward::Kind kind, CallId call) {
  Inward& item = batch().items.emplace_back();
  item.kind = kind;
  item.call = call;
  return item;
}

void FarEnd::announce(Bearer& connection) {
  if (connection.link != 0) return;
  connection.link = ++links_;
  Inward& item = add(Inward::Kind::connected, {});
  item.link = connection.link;
  item.offer = connection.offer();
  const std::string_view name = connection.common_name();
  item.size = name.size();
  batch().bytes += name;
}

Inward& FarEnd::cross(Inward::Kind kind, Call& call) {
  announce(*call.connection);
  call.crossed = call.counted = true;
  Inward& item = add(kind, call.id);
  item.link = call.connection->link;
  item.http_method = call.http_method;
  item.posted = call.posted;
  item.started = call.started;
  if (call.method == nullptr) return item;
  item.method = static_cast<uint32_t>(call.method->position);
  item.deadline = call.deadline;
  item.needs_leader = call.metadata.needs_leader;
  item.token_bytes = static_cast<uint32_t>(call.metadata.token.size());
  item.version_bytes = static_cast<uint32_t>(call.metadata.version.size());
  batch().bytes += call.metadata.token;
  batch().bytes += call.metadata.version;
  return item;
}

void FarEnd::on_unary(CallId id) {
  Call& call = *server_.calls().find(id);
  Inward& item = cross(Inward::Kind::unary, call);
  item.size = call.inbound.size();
  batch().bytes += call.inbound;
  server_.release_message(id);
  hand_over_if_much();
}

void FarEnd::on_page(CallId id) {
  Call& call = *server_.calls().find(id);
  Inward& item = cross(Inward::Kind::page, call);
  item.size = call.path.size();
  batch().bytes += call.path;
}

void FarEnd::on_open(CallId id) { cross(Inward::Kind::stream, *server_.calls().find(id)); }

void FarEnd::on_message(CallId id, std::string_view message) {
  Inward& item = add(Inward::Kind::data, id);
  item.size = kMessagePrefixBytes + message.size();
  append_message_prefix(message.size(), batch().bytes);
  batch().bytes += message;
  hand_over_if_much();
}

void FarEnd::on_half_close(CallId id) { add(Inward::Kind::half_closed, id); }

void FarEnd::on_writable(CallId id) {
  Call* call = server_.calls().find(id);
  if (call == nullptr || call->away == 0) return;
  add(Inward::Kind::drained, id).size = std::exchange(call->away, 0);
}

void FarEnd::on_refusal(const Call& call, const Status& status) {
  Inward& item = add(Inward::Kind::refused, call.id);
  item.code = status.code;
  item.size = status.text.size();
  batch().bytes += status.text;
}

void FarEnd::on_call_over(const Call& call) {
  const Code code = call.finished ? call.status.code : Code::canceled;
  if (call.crossed) {
    add(Inward::Kind::over, call.id).code = code;
  } else if (call.method != nullptr && !call.counted) {
    Inward& item = add(Inward::Kind::turned_away, call.id);
    item.method = static_cast<uint32_t>(call.method->position);
    item.code = code;
  }
}

void FarEnd::on_connection_over(const Bearer& connection) {
  if (connection.link == 0) return;
  std::erase(owing_, &connection);
  add(Inward::Kind::disconnected, {}).link = connection.link;
}

void FarEnd::take(OutwardBatch& batch) {
  server_.enter_event();  // the end of this turn is still to come
  for (const Outward& item : batch.items) {
    std::string text;
    batch.bytes.copy(item.text_bytes, text);
    deliver(item, std::move(text), batch.bytes);
  }
  server_.leave_event();
}

void FarEnd::deliver(const Outward& item, std::string text, Output& bytes) {
  Call* call = server_.calls().find(item.call);
  if (call == nullptr || call->finished) {
    if (call != nullptr && item.finished) call->crossed = false;
    if (item.size == 0) return;
    bytes.drop(item.size);
    Inward& told = add(Inward::Kind::sent, {});  // nobody will take it
    told.link = item.link;
    told.size = item.size;
    return;
  }
  Bearer& connection = *call->connection;
  if (connection.owed == 0 && item.size > 0) owing_.push_back(&connection);
  connection.owed += item.size;
  call->away += item.size;
  if (item.finished) call->crossed = false;
  if (item.page) {
    std::string body;
    bytes.copy(item.size, body);
    return server_.answer_page(item.call, item.http_status, text, body);
  }
  if (item.size > 0) pass_answers(*call, item.size, bytes);
  if (item.finished) server_.finish(item.call, {item.code, std::move(text)});
}

void FarEnd::pass_answers(Call& call, size_t size, Output& bytes) {
  if (!call.posted) return server_.send_frames(call, size, bytes);
  const CallId id = call.id;
  std::string frames;
  bytes.copy(size, frames);
  std::string_view rest = frames;
  while (!rest.empty()) {
    const MessageFrame frame = read_message_frame(rest);
    CHECK(frame.complete, "whole messages cross");
    server_.send(id, frame.message, Bytes());
    rest.remove_prefix(kMessagePrefixBytes + frame.size);
  }
}

void FarEnd::hand_over_if_much() {
  if (batch_->weight() < kCrossingBatchBytesMax) return;
  batch_->metrics = server_.metrics();
  hand_over_(std::move(batch_));
}

// A message that became JSON, or that is on its way through TLS, is longer or shorter than what
// crossed: so never more is told than came, and everything once nothing is left.
void FarEnd::tell_what_was_sent() {
  std::erase_if(owing_, [this](Bearer* connection) {
    const size_t left = std::min(connection->unsent(), connection->owed);
    if (left == connection->owed) return false;
    Inward& item = add(Inward::Kind::sent, {});
    item.link = connection->link;
    item.size = connection->owed - left;
    connection->owed = left;
    return left == 0;
  });
}

void FarEnd::on_turn_end() {
  tell_what_was_sent();
  const ServerMetrics metrics = server_.metrics();
  if (batch_ == nullptr && metrics.connections == connections_told_) return;
  connections_told_ = metrics.connections;
  batch().metrics = metrics;
  hand_over_(std::move(batch_));
}

}  // namespace quorate::front::grpc
