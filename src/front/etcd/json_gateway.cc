#include "front/etcd/json_gateway.h"

#include "base/check.h"
#include "front/etcd/json_codec.h"
#include "front/etcd/json_messages.h"

namespace quorate::front::etcd {
namespace {

constexpr std::string_view kPrefix = "/v3/";
constexpr std::string_view kOldPrefix = "/v3beta/";  // of clients from before 3.4

}  // namespace

std::optional<size_t> JsonGateway::find(std::string_view path) const {
  const bool old = path.starts_with(kOldPrefix);
  if (!old && !path.starts_with(kPrefix)) return std::nullopt;
  const std::string_view rest = path.substr(old ? kOldPrefix.size() : kPrefix.size());
  const auto routes = json_routes();
  for (size_t position = 0; position < routes.size(); ++position) {
    if (routes[position].path.substr(kPrefix.size()) == rest) return position;
  }
  return std::nullopt;
}

std::string JsonGateway::method(size_t route) const {
  const std::string_view name = json_routes()[route].method;
  return (name.contains('.') ? "/" : "/etcdserverpb.") + std::string(name);
}

grpc::Status JsonGateway::read(size_t route, std::string_view body, std::string& message) const {
  auto fault = json_to_message(json_routes()[route].request, body, message);
  if (fault) return {grpc::Code::invalid_argument, std::move(*fault)};
  return {};
}

std::string JsonGateway::write(size_t route, std::string_view message) const {
  return message_to_json(json_routes()[route].response, message);
}

JsonGateway::Shape JsonGateway::shape(size_t route) const {
  switch (json_routes()[route].stream) {
    case JsonStream::none:
      return Shape::one;
    case JsonStream::answers:
      return Shape::many_answers;
    case JsonStream::both:
      return Shape::many;
  }
  CHECK(false, "every route has a shape");
}

std::string JsonGateway::write_result(size_t route, std::string_view message) const {
  return "{\"result\":" + write(route, message) + "}\n";
}

// Clients of 3.5 and older read the first four fields, later ones `code` and `message`.
std::string JsonGateway::write_late_error(const grpc::Status& status) const {
  const int http_status = grpc::http_status_of(status.code);
  const std::string_view number = grpc::code_number(status.code);
  std::string out = "{\"error\":{\"grpc_code\":";
  out += number;
  out += ",\"http_code\":" + std::to_string(http_status) + ",\"message\":";
  append_json_text(status.text, out);
  out += ",\"http_status\":";
  append_json_text(grpc::reason_phrase(http_status), out);
  out += ",\"code\":";
  out += number;
  out += "}}\n";
  return out;
}

std::string JsonGateway::write_error(const grpc::Status& status) const {
  // "error" is what clients of 3.5 and older read, "message" what later ones do.
  std::string out = "{\"error\":";
  append_json_text(status.text, out);
  out += ",\"code\":";
  out += grpc::code_number(status.code);
  out += ",\"message\":";
  append_json_text(status.text, out);
  out += "}";
  return out;
}

}  // namespace quorate::front::etcd
