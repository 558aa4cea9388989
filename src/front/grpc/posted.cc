// The server's part for calls that come as posted JSON: in front of the handlers their body
// becomes a message, behind them the message becomes a page.
#include "base/check.h"
#include "front/grpc/connection.h"
#include "front/grpc/gateway.h"
#include "front/grpc/limits.h"
#include "front/grpc/server.h"

namespace quorate::front::grpc {

int http_status_of(Code code) {
  switch (code) {
    case Code::ok:
      return 200;
    case Code::canceled:
      return 499;
    case Code::invalid_argument:
    case Code::failed_precondition:
    case Code::out_of_range:
      return 400;
    case Code::unauthenticated:
      return 401;
    case Code::permission_denied:
      return 403;
    case Code::not_found:
      return 404;
    case Code::already_exists:
    case Code::aborted:
      return 409;
    case Code::resource_exhausted:
      return 429;
    case Code::unimplemented:
      return 501;
    case Code::unavailable:
      return 503;
    case Code::deadline_exceeded:
      return 504;
    case Code::unknown:
    case Code::internal:
    case Code::data_loss:
      return 500;
  }
  CHECK(false, "every code has an HTTP status");
}

const Method* Server::posted_method(std::string_view path, size_t& route) const {
  if (options_.gateway == nullptr) return nullptr;
  const auto found_route = options_.gateway->find(path.substr(0, path.find('?')));
  if (!found_route) return nullptr;
  route = *found_route;
  const auto found = methods_.find(options_.gateway->method(route));
  if (found == methods_.end() || found->second->stream != nullptr) return nullptr;
  return found->second.get();
}

bool Server::on_post(Call& call) {
  const Method* method = posted_method(call.path, call.route);
  if (method == nullptr) return false;
  call.headers_done = true;
  call.posted = true;
  call.started = now();
  call.method = method;
  ++const_cast<Method*>(method)->started;
  if (call.header_fields > kHeaderFieldsMax || call.header_bytes > kHeaderListBytesMax) {
    call.http_status = 431;
    finish_call(call, {Code::resource_exhausted,
                       "the request's headers are larger than this server takes"});
  }
  return true;
}

size_t Server::posted_bytes_max() const {
  return options_.message_bytes_max * kPostedBytesPerMessageByte;
}

void Server::on_posted_data(Call& call, std::string_view data) {
  Connection& connection = *call.connection;
  if (call.inbound.size() + data.size() > posted_bytes_max()) {
    call.http_status = 413;
    finish_call(call, {Code::resource_exhausted, "the body is larger than " +
                                                     std::to_string(posted_bytes_max()) +
                                                     " bytes; send less at once"});
    return;
  }
  if (connection.unfinished() + data.size() > kUnfinishedBytesMax) {
    finish_call(call,
                {Code::resource_exhausted, "too many unfinished request bytes on one connection"});
    return;
  }
  call.inbound.append(data);
  connection.count_unfinished(data.size());
}

void Server::on_posted_end(Call& call) {
  Connection& connection = *call.connection;
  std::string message;
  Status status = options_.gateway->read(call.route, call.inbound, message);
  connection.count_consumed(call.inbound.size());
  call.inbound.clear();
  if (status.code == Code::ok && message.size() > options_.message_bytes_max) {
    status = {Code::resource_exhausted, "grpc: received message larger than max (" +
                                            std::to_string(message.size()) + " vs. " +
                                            std::to_string(options_.message_bytes_max) + ")"};
  }
  if (status.code != Code::ok) {
    finish_call(call, std::move(status));
    return;
  }
  append_message_prefix(message.size(), call.inbound);
  call.inbound += message;
  connection.count_unfinished(call.inbound.size());
  take_request(call);
}

void Server::render_posted(Call& call) {
  Connection& connection = *call.connection;
  std::string frames;
  const size_t held = call.unsent();
  call.take_output(held, frames);
  connection.count_sent(held);
  if (call.status.code == Code::ok) {
    call.outbound = options_.gateway->write(call.route, read_message_frame(frames).message);
  } else {
    call.outbound = options_.gateway->write_error(call.status);
    if (call.http_status == 200) call.http_status = http_status_of(call.status.code);
  }
  connection.count_unsent(call.outbound.size());
  call.page = true;
  call.page_type = "application/json";
}

}  // namespace quorate::front::grpc
