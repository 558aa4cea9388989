// The server's part for calls that come as posted JSON: in front of the handlers their body
// becomes a message, behind them the message becomes a page.
#include <utility>

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

std::string_view reason_phrase(int http_status) {
  switch (http_status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "Internal Server Error";
  }
}

const Method* Server::posted_method(std::string_view path, size_t& route) const {
  if (options_.gateway == nullptr) return nullptr;
  const auto found_route = options_.gateway->find(path.substr(0, path.find('?')));
  if (!found_route) return nullptr;
  route = *found_route;
  const auto found = methods_.find(options_.gateway->method(route));
  return found == methods_.end() ? nullptr : found->second.get();
}

// Came under a name that is not this server's, and was told so.
bool Server::turned_away(Call& call) {
  if (options_.access.allows_host(call.host)) return false;
  call.headers_done = true;
  answer_page(call.id, 421, "text/plain; charset=utf-8", misdirected_text(call.host));
  return true;
}

bool Server::on_post(Call& call) {
  if (!offers_json(call.connection->offer())) return false;
  if (turned_away(call)) return true;
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
  } else if (call.timeout_malformed) {
    finish_call(call, {Code::invalid_argument, "malformed grpc-timeout"});
  } else {
    open(call);
  }
  return true;
}

size_t Server::posted_bytes_max() const {
  return options_.message_bytes_max * kPostedBytesPerMessageByte;
}

void Server::on_posted_data(Call& call, std::string_view data) {
  Bearer& connection = *call.connection;
  const bool stream = call.method->stream != nullptr;
  std::string& held = stream ? call.json : call.inbound;
  if (held.size() + data.size() > posted_bytes_max()) {
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
  held.append(data);
  connection.count_unfinished(data.size());
  if (options_.gateway->shape(call.route) == Gateway::Shape::many) take_posted_messages(call);
}

// All that are whole go to the handler at once, as the frames of a gRPC stream.
void Server::take_posted_messages(Call& call) {
  const std::string_view json = call.json;
  size_t taken = 0;
  while (const auto end = call.split.find_end(json.substr(taken))) {
    if (!frame_posted(call, json.substr(taken, *end))) return;
    taken += *end;
  }
  if (taken == 0) return;
  call.connection->count_consumed(taken);
  call.json.erase(0, taken);
  on_stream_data(call, {});
}

// False: it is no such message, and its client was told so.
bool Server::frame_posted(Call& call, std::string_view json) {
  std::string message;
  Status status = options_.gateway->read(call.route, json, message);
  if (status.code == Code::ok && message.size() > options_.message_bytes_max) {
    status = {Code::resource_exhausted, "grpc: received message larger than max (" +
                                            std::to_string(message.size()) + " vs. " +
                                            std::to_string(options_.message_bytes_max) + ")"};
  }
  if (status.code != Code::ok) {
    finish_call(call, std::move(status));
    return false;
  }
  const size_t before = call.inbound.size();
  append_message_prefix(message.size(), call.inbound);
  call.inbound += message;
  call.connection->count_unfinished(call.inbound.size() - before);
  return true;
}

bool Server::on_posted_end(Call& call) {
  const CallId id = call.id;
  const bool stream = call.method->stream != nullptr;
  const bool many = options_.gateway->shape(call.route) == Gateway::Shape::many;
  call.complete = true;
  const std::string json = std::exchange(stream ? call.json : call.inbound, {});
  call.connection->count_consumed(json.size());
  if (!(many && is_blank(json)) && !frame_posted(call, json)) return false;
  if (!stream) {
    take_request(call);
    return false;
  }
  on_stream_data(call, {});
  return calls_.find(id) != nullptr && !call.finished;
}

void Server::send_result(Call& call, std::string_view head, const Bytes& body) {
  std::string message(head);
  message += body.view();
  const std::string line = options_.gateway->write_result(call.route, message);
  call.output.append(line);
  call.streamed = call.page = true;
  call.page_type = "application/json";
  Bearer& connection = *call.connection;
  connection.count_unsent(line.size());
  connection.respond(call);
  mark_dirty(connection);
}

void Server::render_posted(Call& call) {
  Bearer& connection = *call.connection;
  const bool good = call.status.code == Code::ok;
  if (call.streamed) {
    if (good) return;
    const std::string line = options_.gateway->write_late_error(call.status);
    call.output.append(line);
    connection.count_unsent(line.size());
    return;
  }
  std::string frames;
  const size_t held = call.unsent();
  call.output.copy(held, frames);
  connection.count_sent(held);
  if (!good) {
    call.output.append(options_.gateway->write_error(call.status));
    if (call.http_status == 200) call.http_status = http_status_of(call.status.code);
  } else if (options_.gateway->shape(call.route) == Gateway::Shape::one) {
    call.output.append(options_.gateway->write(call.route, read_message_frame(frames).message));
  }
  connection.count_unsent(call.unsent());
  call.page = true;
  call.page_type = "application/json";
}

}  // namespace quorate::front::grpc
